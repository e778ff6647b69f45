"""Fingerprints of images: of the bytes of a file, of decoded pixels, and one digest for a whole data set."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hwnas.train.division import LabelledImage, name_bytes

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


def fingerprints(content: Callable[[str], bytes], images: Sequence[LabelledImage], threads: int) -> list[Fingerprint]:
    """Name, label and content of each image. Reading the files takes most of the time, so threads help."""
    with ThreadPoolExecutor(max(1, threads)) as pool:
        contents = pool.map(content, (image.name for image in images))
        return [Fingerprint(*image, found) for image, found in zip(images, contents, strict=True)]


def data_digest(classes: Iterable[str], splits: Mapping[str, Iterable[Fingerprint]]) -> str:
    """One SHA-256, in hexadecimal, for the classes and the images of each split, in whatever order it is listed."""
    whole = hashlib.sha256()
    for name in classes:
        whole.update(b"class\0" + name_bytes(name) + b"\n")
    for split in sorted(splits):
        whole.update(b"split\0" + name_bytes(split) + b"\n")
        for line in sorted(name_bytes(name) + b"\0%d\0" % label + content for name, label, content in splits[split]):
            whole.update(line)
    return whole.hexdigest()
