"""The metadata of an exported file, so that an app needs nothing else: input, normalisation, labels, output."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwnas.errors import HwnasError, UsageError

_NO_LABEL = ("Cc", "Cs", "Zl", "Zp")
"""Unicode's categories of control characters, of halves of characters, and of what breaks lines."""


@dataclass(frozen=True)
class Preprocessing:
    """Normalisation of pixels in 0..1 by the mean and deviation of each channel: (x - mean) / std.

    Raises UsageError unless there is one positive, finite deviation for each mean.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        numbers = np.array([*self.mean, *self.std], np.float64)
        if len(self.mean) != len(self.std) or not np.isfinite(numbers).all() or min(self.std, default=0) <= 0:
            raise UsageError(
                f"normalisation needs one finite mean and one positive deviation per channel, not mean={self.mean} and "
                f"std={self.std}."
            )

    def normalised(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """float32 of the same shape (N, C, H, W), of pixels in 0..255. Rounded once, from float64."""
        mean, std = (np.array(values, np.float64).reshape(-1, 1, 1) for values in (self.mean, self.std))
        values: NDArray[np.float32] = ((pixels / 255.0 - mean) / std).astype(np.float32)
        return values


@dataclass(frozen=True)
class ModelMetadata:
    """Input and output of a classifier.

    Args:
        image_size: (height, width) in pixels.
        preprocessing: Normalisation that the app applies to pixels, in float32; None: not known.
        uint8_input: Whether pixels go in as they are, uint8; the normalisation is inside then.
        classes: Name of each output; () if they are not known.
        softmax: Whether the scores are probabilities; logits otherwise.
    """

    image_size: tuple[int, int]
    preprocessing: Preprocessing | None
    uint8_input: bool = False
    classes: tuple[str, ...] = ()
    softmax: bool = False

    def __post_init__(self) -> None:
        check_class_names(self.classes)

    def __repr__(self) -> str:
        height, width = self.image_size
        pixels = "uint8" if self.uint8_input else "float32"
        return f"ModelMetadata({height}x{width} {pixels}, {len(self.classes)} classes)"

    @property
    def labels(self) -> str:
        """The classes, one per line."""
        return "".join(f"{name}\n" for name in self.classes)

    @property
    def pixel_mean_and_std(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """(mean, std) that an app applies, (pixel - mean) / std with pixels in 0..255; None: not told."""
        if self.uint8_input:
            return (0.0,), (1.0,)
        if self.preprocessing is None:
            return None
        mean, std = (tuple(255 * x for x in values) for values in (self.preprocessing.mean, self.preprocessing.std))
        return mean, std

    @property
    def output_text(self) -> str:
        return "probability of each class" if self.softmax else "logit of each class"


def check_class_names(classes: Sequence[str]) -> None:
    """Raise HwnasError for a name that labels, one per line in UTF-8, cannot hold."""
    for name in classes:
        if not name.strip() or any(unicodedata.category(character) in _NO_LABEL for character in name):
            raise HwnasError(
                f"labels are stored one per line, and the class {name!a} is not one line of UTF-8 text; rename it (its "
                "folder, if it has one) and repeat the command."
            )
