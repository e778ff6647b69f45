"""The images of an export: some calibrate int8, some choose between files, and others only evaluate them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.exporter.model_file.metadata import check_class_names
from hwnas.preprocessing import Preprocessing

LabelledPixels = Iterable[tuple[NDArray[np.uint8], NDArray[np.int64]]]
"""Batches of pixels (N, C, H, W) uint8 and labels (N) int64. It is gone through once per question asked of it."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """Images on which the ranges of activations are observed: pixels (N, C, H, W) uint8, and the seed of the choice."""

    pixels: NDArray[np.uint8]
    seed: int

    def __repr__(self) -> str:
        return f"Calibration({len(self.pixels)} images of {self.pixels.shape[1:]}, seed {self.seed})"

    def to_json(self) -> dict[str, Any]:
        """How many images, chosen by which seed, and the SHA-256 of their pixels: the same digest is the same file."""
        digest = hashlib.sha256(repr(self.pixels.shape).encode() + np.ascontiguousarray(self.pixels).tobytes())
        return {"images": len(self.pixels), "seed": self.seed, "pixels_sha256": digest.hexdigest()}


@dataclass(frozen=True, eq=False)
class ExportImages:
    """The user's images, as an export needs them.

    Args:
        preprocessing: How the network was trained to see pixels.
        classes: Name of each output; (): they only calibrate, and no accuracy or label is stated.
        calibration: Of the training images.
        validation: May choose which layers stay in float; the test images, which evaluate the result, never do.
        test: For the accuracy that is reported.
    """

    preprocessing: Preprocessing
    classes: tuple[str, ...]
    calibration: Calibration
    validation: LabelledPixels
    test: LabelledPixels

    def __post_init__(self) -> None:
        check_class_names(self.classes)

    def __repr__(self) -> str:
        return f"ExportImages({len(self.classes)} classes, {self.calibration})"


def evenly_over_classes(labels: Sequence[int], count: int, seed: int) -> list[int]:
    """Up to `count` positions in `labels`, chosen by `seed`: as many of each class as of any other, if it has them."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(labels))
    # the first of every class, then the second of every class, and so on; which class comes first is random too
    seen: dict[int, int] = {}
    ranked = []
    for turn, position in enumerate(order.tolist()):
        rank = seen[labels[position]] = seen.get(labels[position], -1) + 1
        ranked.append((rank, turn, position))
    return sorted(position for _rank, _turn, position in sorted(ranked)[:count])
