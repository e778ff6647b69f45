"""Dividing images: test from train, validation from train, a small subset; and how often each class is drawn.

By a hash of their names, never by a random generator or by the order in which a disk lists its files: every machine
gets the same division, and adding a file moves hardly any other.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwnas.errors import HwnasError, UsageError

TEST_FRACTION = 0.2
VAL_FRACTION = 0.1
"""Of the images, and of the training images of each class, where the folder has no split of its own."""


class LabelledImage(NamedTuple):
    """One image: its name inside the source (``cat/1.jpg``, forward slashes) and the index of its class."""

    name: str
    label: int


def name_bytes(name: str) -> bytes:
    """The bytes of a file's name, equal on every machine; also of a name that is not UTF-8."""
    # macOS hands out decomposed letters where Linux and Windows hand out composed ones
    return unicodedata.normalize("NFC", name).encode("utf-8", "surrogateescape")


def name_order(name: str) -> tuple[bytes, str]:
    """What names are sorted by, to be in one order on every machine."""
    return name_bytes(name), name


def _by_name(image: LabelledImage) -> tuple[bytes, str, int]:
    return *name_order(image.name), image.label


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
    return sorted(train, key=_by_name), test


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
    return sorted(train, key=_by_name), mixed(val)


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


def drawn_shares(labels: NDArray[np.int64], counts: NDArray[np.int64], balance: float) -> NDArray[np.float64]:
    """How often each image is drawn, in all 1: one of a class with n images in proportion to n ** -balance."""
    weights: NDArray[np.float64] = np.power(counts[labels].astype(np.float64), -balance)
    return np.divide(weights, weights.sum())


def check_divided(title: str, classes: Sequence[str], train_labels: Iterable[int], lacks_validation: bool) -> None:
    """Refuse a class that has lost all its images, and a validation split that stays empty. Raises HwnasError."""
    present = set(train_labels)
    for label, name in enumerate(classes):
        if label not in present:
            raise HwnasError(
                f"class {name!r} of {title!r} has no training image that can be decoded; repair its files, or remove "
                "the class."
            )
    if lacks_validation:
        raise HwnasError(
            f"validation images are cut out of the training images, and no class of {title!r} has two of them to "
            "spare one. Add images, or give the folder a val/ of its own."
        )
