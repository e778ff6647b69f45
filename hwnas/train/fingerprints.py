"""Fingerprints of images: of the bytes of a file, of decoded pixels, and one digest for a whole data set."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

UNREADABLE = bytes(hashlib.sha256().digest_size)
"""Stands for the content of a file that cannot be opened."""


class Fingerprint(NamedTuple):
    """One image of a split: its name inside the source, the index of its class, SHA-256 of its bytes."""

    name: str
    label: int
    content: bytes


def file_fingerprint(folder: Path, name: str) -> bytes:
    """SHA-256 of a file's bytes, 32 bytes. The file is not decoded, and need not be an image."""
    try:
        with (folder / name).open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return UNREADABLE


def array_fingerprint(arrays: Mapping[str, npt.NDArray[np.uint8]], name: str) -> bytes:
    """SHA-256 of the array (H, W) that `arrays` holds under `name`, with its shape."""
    array = arrays[name]
    return hashlib.sha256(repr(array.shape).encode() + array.tobytes()).digest()


def pixel_fingerprint(pixels: npt.NDArray[np.uint8]) -> int:
    """64 bits of the pixels: equal for equal pixels, and for others with a probability of 1 in 10^19."""
    return int.from_bytes(hashlib.sha256(pixels.tobytes()).digest()[:8], "big")


def data_digest(classes: Iterable[str], splits: Mapping[str, Iterable[Fingerprint]]) -> str:
    """One SHA-256, in hexadecimal, for the classes and for what each split holds, in whatever order it is listed."""
    whole = hashlib.sha256()
    for name in classes:
        whole.update(b"class\0" + name_bytes(name) + b"\n")
    for split in sorted(splits):
        whole.update(b"split\0" + name_bytes(split) + b"\n")
        for line in sorted(name_bytes(name) + b"\0%d\0" % label + content for name, label, content in splits[split]):
            whole.update(line)
    return whole.hexdigest()


def name_bytes(name: str) -> bytes:
    """The bytes of a file's name, equal on every machine; also of a name that is not UTF-8."""
    # macOS hands out decomposed letters where Linux and Windows hand out composed ones
    return unicodedata.normalize("NFC", name).encode("utf-8", "surrogateescape")
