"""The image files below a folder, and why the others are none."""

from __future__ import annotations

import os
from pathlib import Path

from hwnas.train.division import name_order
from hwnas.train.findings import printable
from hwnas.train.images import is_image

EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".bmp", ".dib", ".webp", ".gif"),
    *(".tif", ".tiff", ".avif", ".jp2", ".j2k", ".ppm", ".pgm", ".pbm", ".pnm"),
)
"""Of files that are taken for images unseen, in whatever case. What else there is must be recognised by its content."""

FOREIGN = (
    *(".heic", ".heif", ".hif", ".jxl", ".psd", ".svg", ".eps", ".ico", ".tga", ".exr", ".hdr", ".xcf"),
    *(".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf"),
)
"""Of pictures that are not read, although some of them hold a thumbnail that could be."""

JUNK = ("__macosx", "@eadir", "$recycle.bin", "system volume information", "thumbs.db", "ehthumbs.db", "desktop.ini")
"""Files that operating systems leave in folders. They are passed over without a word."""

LeftOut = dict[str, list[str]]
"""By reason, the names of files that are not used."""


def subfolders(folder: Path) -> list[str]:
    """Sorted names of the folders in `folder`, without hidden ones and those of operating systems."""
    found = (entry.name for entry in os.scandir(folder) if not _is_passed_over(entry.name) and _is_folder(entry))
    return sorted(found, key=name_order)


def image_files(root: Path, folder: str, left_out: LeftOut) -> list[str]:
    """Sorted names, below `root`, of the images under `folder`, at any depth. Other files are added to `left_out`.

    A dangling link with the name of an image counts as one: it is reported as broken, not passed over in silence.
    """
    names: list[str] = []
    parents = frozenset(_identity(root / parent) for parent in Path(folder).parents)
    waiting = [(folder, parents)]
    while waiting:
        name, above = waiting.pop()
        identity = _identity(root / name)
        if identity in above:
            left_out.setdefault("a link to a folder that it is in", []).append(name)
            continue
        for entry in os.scandir(root / name):
            path = f"{name}/{entry.name}"
            if not _is_passed_over(entry.name) and _is_folder(entry):
                waiting.append((path, above | {identity}))
            elif reason := _why_not(entry):
                left_out.setdefault(reason, []).append(path)
            elif not _is_passed_over(entry.name):
                names.append(path)
    return sorted(names, key=name_order)


def loose_files(root: Path, folder: str) -> list[str]:
    """Sorted names, below `root`, of the files in `folder` itself that are called as images are."""
    found = (entry.name for entry in os.scandir(root / folder) if not _is_folder(entry))
    return [f"{folder}/{name}" if folder else name for name in sorted(found, key=name_order) if _is_called_image(name)]


def files_below(root: Path, folder: str) -> list[str]:
    """Names, below `root`, of the files under `folder`, at any depth, that are called as images are."""
    found = (Path(parent, name) for parent, _, names in os.walk(root / folder) for name in names)
    called = (path.relative_to(root).as_posix() for path in found if _is_called_image(path.name))
    return sorted(called, key=name_order)


def _why_not(entry: os.DirEntry[str]) -> str:
    """Why a file is no image to be used; nothing if it is one, or if it is passed over without a word."""
    extension = Path(entry.name).suffix.lower()
    if _is_passed_over(entry.name):
        hidden = extension in EXTENSIONS and not entry.name.startswith("._")  # macOS: not the image, but notes on it
        return "hidden by a dot at the start of the name" if hidden else ""
    if extension in FOREIGN:
        return f"in a format that hwnas cannot read ({extension}; convert to JPEG or PNG)"
    if extension in EXTENSIONS and entry.is_symlink():
        return ""
    if not _is_file(entry):
        return "neither file nor folder"
    if extension in EXTENSIONS or is_image(Path(entry.path)):
        return ""
    return f"not an image ({printable(extension) or 'no extension'})"


def _identity(folder: Path) -> tuple[int, int]:
    """The identity of a folder, which every link to it shares."""
    status = folder.stat()
    return status.st_dev, status.st_ino


def _is_called_image(name: str) -> bool:
    return not _is_passed_over(name) and name.lower().endswith((*EXTENSIONS, *FOREIGN))


def _is_passed_over(name: str) -> bool:
    return name.startswith(".") or name.lower() in JUNK


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False
