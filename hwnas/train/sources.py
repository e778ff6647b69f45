"""Where images come from: folders with one subfolder per class, or the digits that scikit-learn carries.

A source lists names and labels and knows how to decode one image; listing opens no image file. Whatever has to be
divided (test from train, validation from train, a small subset) is divided by a hash of the name, never by a random
generator or by the order in which a disk lists its files: every machine gets the same division, and adding a
file moves hardly any other.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hwnas.errors import HwnasError, UsageError
from hwnas.train.fingerprints import array_fingerprint, file_fingerprint, name_bytes
from hwnas.train.images import decode_array, decode_file

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif")
TEST_FRACTION = 0.2


class LabelledImage(NamedTuple):
    """One image: its name inside the source (``cat/1.jpg``, forward slashes) and the index of its class."""

    name: str
    label: int


@dataclass(frozen=True)
class ImageSource:
    """Names and labels of two splits, and ``decode(name, resolution)``: uint8 pixels (3, resolution, resolution).

    ``train`` is in the order of names; ``test`` is mixed, so that any stretch of it holds all classes.
    ``decode`` can be sent to another process; it raises `hwnas.train.images.BrokenImageError`. ``fingerprint(name)``
    is the SHA-256 of what is stored of an image.
    """

    title: str
    classes: tuple[str, ...]
    train: tuple[LabelledImage, ...]
    test: tuple[LabelledImage, ...]
    decode: Callable[[str, int], npt.NDArray[np.uint8]]
    fingerprint: Callable[[str], bytes]


def folder_source(folder: Path) -> ImageSource:
    """The images under `folder`: ``train/<class>/*`` and ``test/<class>/*``, or ``<class>/*`` alone.

    In the second layout about 20 % of each class become its test images, and at least one. Classes are in sorted order.
    Hidden files and other extensions than `EXTENSIONS` are ignored. Raises HwnasError where there is nothing to learn.
    """
    try:
        if not folder.is_dir():
            found = "a file" if folder.exists() else "not there"
            raise HwnasError(
                f"images are read from a folder, and {str(folder)!r} is {found}. "
                "Give a folder with one subfolder of images per class, or 'digits' for the embedded data set."
            )
        subfolders = _subfolders(folder)
        if "train" in subfolders and _subfolders(folder / "train"):
            classes, train, test = _list_two_splits(folder, has_test="test" in subfolders)
        else:
            classes, train, test = _list_one_level(folder, subfolders)
    except OSError as error:
        raise HwnasError(
            f"{str(error.filename or folder)!r} cannot be read: {error.strerror}. Every folder of an image data set "
            "must be readable by the user who runs hwnas; correct its permissions (chmod -R u+rX), or the path."
        ) from error
    decode, fingerprint = partial(decode_file, folder), partial(file_fingerprint, folder)
    return ImageSource(str(folder), classes, tuple(train), tuple(mixed(test)), decode, fingerprint)


def digits_source() -> ImageSource:
    """The 1,797 handwritten digits of scikit-learn (8x8, grey, ten classes), split as a one-level folder is.

    Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    grey = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    arrays = {f"{label}/{index:04d}": grey[index] for index, label in enumerate(digits.target)}
    train, test = split_test(LabelledImage(name, int(name[0])) for name in arrays)
    classes = tuple(str(name) for name in digits.target_names)
    decode, fingerprint = partial(decode_array, arrays), partial(array_fingerprint, arrays)
    return ImageSource("digits", classes, tuple(train), tuple(mixed(test)), decode, fingerprint)


def stable_fraction(text: str) -> float:
    """A number in [0, 1) that depends on `text` only: equal on every machine, and in every version of Python."""
    # 53 bits are what a float holds: with all 64 the largest would be rounded up to 1
    return (int.from_bytes(hashlib.blake2b(name_bytes(text), digest_size=8).digest(), "big") >> 11) / 2**53


def mixed(images: Iterable[LabelledImage]) -> list[LabelledImage]:
    """`images` in an order that looks random and is always the same."""
    return sorted(images, key=lambda image: stable_fraction(image.name))


def split_test(images: Iterable[LabelledImage]) -> tuple[list[LabelledImage], list[LabelledImage]]:
    """Divide `images` into (train, test) by their names; each class of two or more images gets at least one of each."""
    train, test = [], []
    for members in _by_class(images):
        ordered = mixed(members)
        below = sum(stable_fraction(image.name) < TEST_FRACTION for image in ordered)
        cut = min(max(below, 1), len(ordered) - 1)
        test += ordered[:cut]
        train += ordered[cut:]
    return sorted(train), test


def split_validation(
    images: Iterable[LabelledImage], val_fraction: float, limit_train: int | None, seed: int
) -> tuple[list[LabelledImage], list[LabelledImage]]:
    """Divide training images into (train, val): `val_fraction` of each class, chosen by `seed`; one stays in train.
    Val comes mixed.

    `limit_train` then keeps that many of the training images, as equally from the classes as their sizes allow. It
    leaves val as it is, and a smaller limit keeps a subset of what a larger one keeps.
    """
    train_by_class: list[list[LabelledImage]] = []
    val: list[LabelledImage] = []
    for members in _by_class(images):
        ordered = sorted(members, key=lambda image: stable_fraction(f"{seed}/{image.name}"))
        wanted = max(1, round(len(ordered) * val_fraction)) if val_fraction > 0 else 0
        cut = min(wanted, len(ordered) - 1)
        val += ordered[:cut]
        train_by_class.append(ordered[cut:])
    quotas = _equal_quotas([len(members) for members in train_by_class], limit_train)
    train = [image for members, quota in zip(train_by_class, quotas, strict=True) for image in members[:quota]]
    return sorted(train), mixed(val)


def _equal_quotas(sizes: Sequence[int], limit: int | None) -> list[int]:
    """How many to take of each class: as equal as `sizes` allow, `limit` in all. Raises UsageError below one each."""
    if limit is None:
        return list(sizes)
    if limit < len(sizes):
        raise UsageError(f"limit_train must leave each of the {len(sizes)} classes an image; {limit} is too few.")
    quotas = [0] * len(sizes)
    # smallest class first: what it cannot give is shared by those after it
    for position, index in enumerate(sorted(range(len(sizes)), key=lambda index: sizes[index])):
        quotas[index] = min(sizes[index], limit // (len(sizes) - position))
        limit -= quotas[index]
    return quotas


def _by_class(images: Iterable[LabelledImage]) -> list[list[LabelledImage]]:
    members: dict[int, list[LabelledImage]] = {}
    for image in images:
        members.setdefault(image.label, []).append(image)
    return [members[label] for label in sorted(members)]


def _list_two_splits(folder: Path, has_test: bool) -> tuple[tuple[str, ...], list[LabelledImage], list[LabelledImage]]:
    if not has_test:
        raise HwnasError(
            f"{str(folder)!r} has train/ but no test/. Add test/<class>/* with images that no search may see, or give "
            f"{str(folder / 'train')!r} itself: then about 20 % of its images become the test split."
        )
    classes = _checked_classes(folder / "train", _subfolders(folder / "train"))
    test_classes = _subfolders(folder / "test")
    unknown = sorted(set(test_classes) - set(classes))
    if unknown:
        raise HwnasError(
            f"every class of test/ must be one of train/, and {', '.join(map(repr, unknown))} in "
            f"{str(folder / 'test')!r} is not. Rename the folder, remove it, or add its training images."
        )
    train = _list_images(folder, "train/", classes, classes)
    test = _list_images(folder, "test/", test_classes, classes)
    if not test:
        raise HwnasError(f"{str(folder / 'test')!r} holds no image; put images into test/<class>/.")
    return classes, train, test


def _list_one_level(
    folder: Path, subfolders: list[str]
) -> tuple[tuple[str, ...], list[LabelledImage], list[LabelledImage]]:
    classes = _checked_classes(folder, subfolders)
    train, test = split_test(_list_images(folder, "", classes, classes))
    return classes, train, test


def _checked_classes(folder: Path, classes: list[str]) -> tuple[str, ...]:
    """`classes` if they can be learnt: two or more, with two or more images each. Raises HwnasError."""
    if len(classes) < 2:
        raise HwnasError(
            f"images are sorted into one subfolder per class, at least two, and {str(folder)!r} has "
            f"{f'only {classes[0]!r}' if classes else 'no subfolder'}. Move the images into {folder}/<class>/."
        )
    for name in classes:
        count = len(_image_names(folder / name))
        if count < 2:
            raise HwnasError(
                f"a class needs at least two images, and {str(folder / name)!r} holds {count} that end in "
                f"{', '.join(EXTENSIONS)}. Add images, or move the folder away if it is no class."
            )
    return tuple(classes)


def _list_images(folder: Path, prefix: str, chosen: Sequence[str], classes: Sequence[str]) -> list[LabelledImage]:
    return [
        LabelledImage(f"{prefix}{name}/{file}", classes.index(name))
        for name in chosen
        for file in _image_names(folder / f"{prefix}{name}")
    ]


def _subfolders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))


def _image_names(folder: Path) -> list[str]:
    """Sorted names of the image files. A dangling link counts: it is reported as broken, not passed over in silence."""
    return sorted(
        entry.name
        for entry in os.scandir(folder)
        if entry.name.lower().endswith(EXTENSIONS)
        and not entry.name.startswith(".")
        and (entry.is_file() or (entry.is_symlink() and not entry.is_dir()))
    )
