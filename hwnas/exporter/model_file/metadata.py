"""The metadata of an exported file, so that an app needs nothing else: preprocessing, labels, output."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from hwnas.errors import HwnasError
from hwnas.preprocessing import Layout, Preprocessing

_NO_LABEL = ("Cc", "Cs", "Zl", "Zp")
"""Unicode's categories of control characters, of halves of characters, and of what breaks lines."""


@dataclass(frozen=True)
class ModelMetadata:
    """Input and output of a classifier.

    Args:
        image_size: (height, width) in pixels.
        preprocessing: What the network was trained to see; None: not known.
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

    def preprocessing_of(self, layout: Layout) -> Preprocessing | None:
        """The steps of an app from a photograph to an input of this layout; None: not known."""
        if self.preprocessing is None:
            return None
        return self.preprocessing.of_file(self.image_size, self.uint8_input, layout)

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
