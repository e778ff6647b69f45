"""Images that are there twice: in a split that teaches and in one that judges, or in two classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwnas.train.findings import Examples
from hwnas.train.fingerprints import Fingerprint
from hwnas.train.image_set import ImageSet

Prints = npt.NDArray[np.uint64]
"""64 bits (N) of a fingerprint of each image."""


@dataclass(frozen=True)
class Duplicates:
    """What is there twice.

    Attributes:
        leaked: by split ("val", "test") and position in it, in words, copies of images that the network learns from;
            a test image is compared with the training and the validation images.
        contradictory: pictures that have several labels, in all splits together.
    """

    leaked: dict[str, dict[int, str]]
    contradictory: Examples


def listed_duplicates(train: ImageSet, val: ImageSet, test: Sequence[Fingerprint]) -> Duplicates:
    """Copies before a test image is decoded: by their pixels, and those of `test` by the bytes of their files."""
    contents = np.frombuffer(b"".join(image.content[:8] for image in test), np.uint64)
    seen = np.concatenate([_first_64_bits(train.contents), _first_64_bits(val.contents)])
    leaked = {
        "val": _copies(val.names, val.pixel_prints, train.names, train.pixel_prints),
        "test": _copies([image.name for image in test], contents, train.names + val.names, seen),
    }
    return Duplicates(leaked, _contradictions([train, val]))


def duplicates(train: ImageSet, val: ImageSet, test: ImageSet) -> Duplicates:
    """Copies by their pixels at the resolution of the network, which equal files share."""
    seen = np.concatenate([train.pixel_prints, val.pixel_prints])
    leaked = {
        "val": _copies(val.names, val.pixel_prints, train.names, train.pixel_prints),
        "test": _copies(test.names, test.pixel_prints, train.names + val.names, seen),
    }
    return Duplicates(leaked, _contradictions([train, val, test]))


def _copies(names: Sequence[str], prints: Prints, of_names: Sequence[str], of_prints: Prints) -> dict[int, str]:
    """By position in `names`, in words, the images whose fingerprint is that of one of `of_names`."""
    found = np.flatnonzero(np.isin(prints, of_prints))
    wanted = {int(prints[at]) for at in found}
    first: dict[int, str] = {}
    for at in np.flatnonzero(np.isin(of_prints, prints)) if wanted else ():
        first.setdefault(int(of_prints[at]), of_names[at])
    return {int(at): f"{names[at]!r} is {first[int(prints[at])]!r}" for at in found}


def _contradictions(splits: Sequence[ImageSet]) -> Examples:
    """The pictures that are there with several labels, each with the names of its images."""
    names = [name for split in splits for name in split.names]
    labels = np.concatenate([split.labels.numpy() for split in splits])
    prints = np.concatenate([split.pixel_prints for split in splits])
    order = np.lexsort((labels, prints))
    differs = (prints[order][1:] == prints[order][:-1]) & (labels[order][1:] != labels[order][:-1])
    groups: dict[int, list[str]] = {}
    for at in np.flatnonzero(np.isin(prints, prints[order][1:][differs])):
        groups.setdefault(int(prints[at]), []).append(repr(names[at]))
    return Examples.of([" = ".join(group) for group in groups.values()])


def _first_64_bits(contents: npt.NDArray[np.uint8]) -> Prints:
    return np.ascontiguousarray(contents[:, :8]).view(np.uint64).reshape(-1)
