"""Names of classes: folder names that can stand in a file of labels, in JSON and on a page."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from pathlib import Path

from hwnas.errors import HwnasError

UNUSABLE = {"Cc": "a control character", "Cs": "bytes that are not UTF-8", "Zl": "a line break", "Zp": "a line break"}
"""Unicode's categories of characters that break a line, or that no UTF-8 file can hold."""


def class_names(folder: Path, subfolders: Iterable[str]) -> dict[str, str]:
    """By the name of its folder, the name of each class: letters composed, as macOS decomposes them.

    Raises HwnasError for a name that a list of labels cannot hold, and for two that look the same.
    """
    names: dict[str, str] = {}
    for subfolder in subfolders:
        name = unicodedata.normalize("NFC", subfolder)
        fault = next((UNUSABLE[kind] for kind in map(unicodedata.category, name) if kind in UNUSABLE), None)
        if not name.strip():
            fault = "nothing but blanks"
        if fault:
            raise HwnasError(
                f"the folder of a class gives it its name, and {subfolder!r} in {str(folder)!r} holds {fault}. "
                "Rename the folder, for instance with `mv -i` and the Tab key, or many with `convmv -f latin1 -t utf8`."
            )
        twin = next((old for old, known in names.items() if known.strip() == name.strip()), None)
        if twin is not None:
            raise HwnasError(
                f"each class has a name of its own, and {twin!a} and {subfolder!a} in {str(folder)!r} look "
                "the same. Put their images into one folder, or rename one of them."
            )
        names[subfolder] = name
    return names
