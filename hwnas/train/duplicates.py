"""Images that are there twice: in a split that teaches and in one that judges, or in two classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwnas.train.findings import Examples
from hwnas.train.fingerprints import Fingerprint
from hwnas.train.image_set import ImageSet
from hwnas.train.saved_again import SamePixels, saved_again, saved_again_with_another_label

Prints = npt.NDArray[np.uint64]
"""64 bits (N) of a fingerprint of each image."""


@dataclass(frozen=True)
class Duplicates:
    """The images that are there twice.

    Attributes:
        leaked: by split ("val", "test") and position in it, in words, copies of images that the network learns from;
            a test image is compared with the training and the validation images.
        contradictory: pictures that have several labels, in all splits together.
        labelled_again: of these, in words, those that were saved again in another format.
    """

    leaked: dict[str, dict[int, str]]
    contradictory: Examples
    labelled_again: tuple[str, ...]


def listed_duplicates(train: ImageSet, val: ImageSet, test: Sequence[Fingerprint], same: SamePixels) -> Duplicates:
    """Copies before a test image is decoded: by their pixels, and those of `test` by the bytes of their files."""
    contents = np.frombuffer(b"".join(image.content[:8] for image in test), np.uint64)
    seen = np.concatenate([_first_64_bits(train.contents), _first_64_bits(val.contents)])
    leaked = {
        "val": _leaked(val, train, same),
        "test": _copies([image.name for image in test], contents, train.names + val.names, seen),
    }
    again = _labelled_again(((train, train), (val, train), (val, val)), same)
    return Duplicates(leaked, _contradictions([train, val], again), again)


def with_test(before: Duplicates, train: ImageSet, val: ImageSet, test: ImageSet, same: SamePixels) -> Duplicates:
    """The duplicates found `before`, and copies in the test split by their pixels, which equal files share."""
    leaked = {"val": before.leaked["val"], "test": _leaked(test, train, same) | _leaked(test, val, same)}
    again = before.labelled_again + _labelled_again(((test, train), (test, val), (test, test)), same)
    return Duplicates(leaked, _contradictions([train, val, test], again), again)


def _leaked(images: ImageSet, of: ImageSet, same: SamePixels) -> dict[int, str]:
    """Copies by their pixels, at the resolution of the network or at full size."""
    equal = _copies(images.names, images.pixel_prints, of.names, of.pixel_prints)
    again = saved_again(images, of, same)
    return dict(sorted(({at: _pair(images.names[at], name) for at, name in again.items()} | equal).items()))


def _copies(names: Sequence[str], prints: Prints, of_names: Sequence[str], of_prints: Prints) -> dict[int, str]:
    """By position in `names`, in words, the images whose fingerprint is that of one of `of_names`."""
    found = np.flatnonzero(np.isin(prints, of_prints))
    wanted = {int(prints[at]) for at in found}
    first: dict[int, str] = {}
    for at in np.flatnonzero(np.isin(of_prints, prints)) if wanted else ():
        first.setdefault(int(of_prints[at]), of_names[at])
    return {int(at): _pair(names[at], first[int(prints[at])]) for at in found}


def _pair(name: str, original: str) -> str:
    return f"{name!r} is {original!r}"


def _labelled_again(splits: Iterable[tuple[ImageSet, ImageSet]], same: SamePixels) -> tuple[str, ...]:
    """In words, pictures that were saved again in another format and in another class; of two images each."""
    return tuple(
        " = ".join(map(repr, sorted(pair)))
        for one, other in splits
        for pair in saved_again_with_another_label(one, other, same)
    )


def _contradictions(splits: Sequence[ImageSet], labelled_again: Sequence[str]) -> Examples:
    """The pictures that are there with several labels, each with the names of its images."""
    names = [name for split in splits for name in split.names]
    labels = np.concatenate([split.labels.numpy() for split in splits])
    prints = np.concatenate([split.pixel_prints for split in splits])
    order = np.lexsort((labels, prints))
    differs = (prints[order][1:] == prints[order][:-1]) & (labels[order][1:] != labels[order][:-1])
    groups: dict[int, list[str]] = {}
    for at in np.flatnonzero(np.isin(prints, prints[order][1:][differs])):
        groups.setdefault(int(prints[at]), []).append(repr(names[at]))
    equal = [" = ".join(group) for group in groups.values()]
    return Examples.of(list(dict.fromkeys([*equal, *labelled_again])))


def _first_64_bits(contents: npt.NDArray[np.uint8]) -> Prints:
    return np.ascontiguousarray(contents[:, :8]).view(np.uint64).reshape(-1)
