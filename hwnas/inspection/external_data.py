"""Weights that an .onnx keeps in other files (``external data``): regular files of its own folder, and nothing else.

ONNX's own words on them: https://onnx.ai/onnx/repo-docs/ExternalData.html
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hwnas.errors import HwnasError
from hwnas.inspection.network import printable

TENSOR = "onnx.TensorProto"


def check_external_data(message: Any, folder: Path) -> None:
    """Raise HwnasError if a weight anywhere in an ONNX message is to be read from anything but a regular file in
    `folder`, or from beyond its end."""
    for tensor in _tensors(message):
        entries = [(entry.key, entry.value) for entry in tensor.external_data]
        for location in (value for key, value in entries if key == "location"):
            size = _size_in(folder, location)
            if size is None:
                raise HwnasError(
                    f"its weight {printable(tensor.name)} is to be read from {printable(location)}, outside its folder "
                    "or no regular file there. That is refused: a model must not read other files. Put the weights "
                    "beside the model"
                )
            offset, length = (_whole_number(entries, key) for key in ("offset", "length"))
            if offset is None or length is None or offset + length > size:
                raise HwnasError(
                    f"its weight {printable(tensor.name)} is to be read from {printable(location)} beyond the end of "
                    f"that file, which has {size} bytes"
                )


def _tensors(message: Any) -> Iterator[Any]:
    """Every tensor in a message, however deep: constants, sparse ones, attributes, branches, functions, training."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for inner in (value,) if hasattr(value, "ListFields") else value:  # a message, or several
            if field.message_type.full_name == TENSOR:
                yield inner
            else:
                yield from _tensors(inner)


def _size_in(folder: Path, location: str) -> int | None:
    """Bytes of a regular file that lies in `folder` itself or below; None for anything else."""
    path = folder / location
    try:
        found = path.lstat()
        inside = path.resolve(strict=True).is_relative_to(folder.resolve())
    except (OSError, ValueError):  # it does not exist, or is no path at all
        return None
    return found.st_size if inside and stat.S_ISREG(found.st_mode) else None


def _whole_number(entries: list[tuple[str, str]], key: str) -> int | None:
    """The largest value of an entry, 0 if there is none; None if one is no whole number from 0 on."""
    values = [value for found, value in entries if found == key]
    return max(map(int, values), default=0) if all(v.isascii() and v.isdigit() for v in values) else None
