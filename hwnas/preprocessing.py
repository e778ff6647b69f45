"""The Preprocessing: what becomes of a photograph before a network sees it. It is as much a part of a model as weights.

A network that learnt from antialiased squares gives other answers where an app stretches photographs to a square, or
shrinks them with a filter that passes over pixels. So it stands in every file, on its card, and in the report.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from hwnas.errors import UsageError
from hwnas.foreign import parse_json, typed

if TYPE_CHECKING:
    from PIL import Image

Crop = Literal["largest-centred", "none"]
"""The largest centred part of the photograph that has the shape of the input, a square as a rule; or all of it."""
Resize = Literal["antialiased-bilinear"]
Layout = Literal["NHWC", "NCHW"]

LARGEST_CENTRED: Crop = "largest-centred"
WHOLE: Crop = "none"
ANTIALIASED_BILINEAR: Resize = "antialiased-bilinear"

RESIZE_TEXT = (
    "antialiased bilinear: each new pixel is the mean of the old ones below a triangle twice as wide as the pixels "
    "that it stands for, as Pillow's image.resize(size, Image.Resampling.BILINEAR) computes it. Plain bilinear, which "
    "OpenCV, Android's createScaledBitmap and most others mean by the word, passes over pixels and loses accuracy"
)


@dataclass(frozen=True)
class Preprocessing:
    """From a photograph to the input of a network.

    Args:
        mean, std: Of each channel, of pixels from 0 to 1; the network learnt from (pixel / 255 - mean) / std.
        crop: Which part of the photograph is taken; None: not recorded.
        resize: The filter that brings it to `size`; None: not recorded.
        size: (height, width) in pixels; None: any, or not recorded.
        inside: The file normalises by itself: it takes pixels from 0 to 255.
        layout: Of the file's input; None: no file is meant.
        dtype: Of the file's input: ``float32``, ``uint8``; None: no file is meant.
        color_order: Of the channels.

    Raises UsageError unless there is one positive, finite deviation for each mean.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop: Crop | None = None
    resize: Resize | None = None
    size: tuple[int, int] | None = None
    inside: bool = False
    layout: Layout | None = None
    dtype: str | None = None
    color_order: Literal["RGB"] = "RGB"

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

    def inputs(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The input of the file, float32 (N, C, H, W), made of pixels in 0..255 of the same shape."""
        return pixels.astype(np.float32) if self.inside else self.normalised(pixels)

    def of_file(self, size: tuple[int, int], inside: bool, layout: Layout) -> Preprocessing:
        """The same for a file whose input is of this (height, width) and layout."""
        return replace(self, size=size, inside=inside, layout=layout, dtype="uint8" if inside else "float32")

    @property
    def steps(self) -> tuple[str, ...]:
        """The steps of an app with a photograph, one sentence each."""
        to = "to the size of the input" if self.size is None else f"to {self.size[1]}x{self.size[0]} pixels"
        shape = "square" if self.size is None or self.size[0] == self.size[1] else "part of the input's shape"
        crop = {
            LARGEST_CENTRED: f"Cut out the largest centred {shape}; what hangs over is lost, nothing is stretched.",
            WHOLE: "Take all of the photograph: it is stretched where its shape is another.",
            None: "Which part of a photograph is to be taken was not recorded: do as in training.",
        }
        resize = "The filter was not recorded: do as in training." if self.resize is None else f"{RESIZE_TEXT}."
        return (
            "Turn the photograph upright (EXIF), make it RGB with 8 bits, transparent parts over white.",
            crop[self.crop],
            f"Resize it {to}. {resize[0].upper()}{resize[1:]}",
            self.normalisation_text,
        )

    @property
    def normalisation_text(self) -> str:
        """The step from pixels to the values of the input."""
        if self.inside:
            return "RGB, 0 to 255, as they are: the normalisation is inside."
        return f"RGB, (pixel / 255 - mean) / std with mean {list(self.mean)} and std {list(self.std)}."

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return json.loads(json.dumps(asdict(self)))  # type: ignore[no-any-return]

    def text(self) -> str:
        """JSON in one line for a model file: the fields, and what they mean in words."""
        return json.dumps(self.to_json() | {"steps": list(self.steps)}, ensure_ascii=False)

    @staticmethod
    def of_text(text: str) -> Preprocessing | None:
        """Read the text of `text`; None for any other text, such as a stranger's or a damaged file has."""
        try:
            found = parse_json(text)
            fields = {name: found[name] for name in Preprocessing.__dataclass_fields__ if name in found}
            recorded: Preprocessing = typed(Preprocessing, fields)
        except (ValueError, TypeError, KeyError, UsageError):
            return None
        return recorded


def fitted(image: Image.Image, size: tuple[int, int], crop: Crop = LARGEST_CENTRED) -> Image.Image:
    """A picture, cut and resized to (height, width) as training, evaluation and the snippets of cards all do."""
    from PIL import Image, ImageOps

    height, width = size
    if crop == WHOLE:
        return image.resize((width, height), Image.Resampling.BILINEAR)
    return ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)


def check_of_unit_pixels(mean: Sequence[float]) -> None:
    """Raise UsageError for a mean that is of pixels up to 255."""
    if max(map(abs, mean), default=0) > 1:
        raise UsageError(
            f"mean and std are of pixels from 0 to 1, (pixel / 255 - mean) / std, and the mean {list(mean)} is above "
            "1; divide both by 255."
        )
