"""The Usage: the facts of an exported file that snippets of every language use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import PurePath

from hwnas.preprocessing import Preprocessing


@dataclass(frozen=True)
class Usage:
    """The facts of a file that a snippet uses.

    Args:
        file: Its name.
        shape: Of the input as the file has it.
        input_name, output_name: Of the tensors.
        pixels: The input is uint8, 0 to 255; float32 and normalised otherwise.
        layout: Of the input, ``NHWC`` or ``NCHW``.
        preprocessing: From a photograph to the input; None: not recorded.
        labels: Of the outputs; empty: not recorded.
    """

    file: str
    shape: tuple[int, ...]
    input_name: str
    output_name: str
    pixels: bool
    layout: str
    preprocessing: Preprocessing | None
    labels: tuple[str, ...]

    @property
    def format(self) -> str:
        return PurePath(self.file).suffix[1:]

    @property
    def stem(self) -> str:
        return PurePath(self.file).stem

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the input."""
        height, width = self.shape[1:3] if self.layout == "NHWC" else self.shape[2:4]
        return height, width

    @property
    def channels(self) -> int:
        """3, or 1 of a network of grey pictures."""
        return self.shape[3] if self.layout == "NHWC" else self.shape[1]

    @property
    def image(self) -> str:
        """The values that an app puts into the input, in words."""
        order = "row by row, channels together" if self.layout == "NHWC" else "one channel after the other"
        if self.pixels:
            return f"{prod(self.shape)} bytes: the pixels, 0 to 255, {order}"
        return f"{prod(self.shape)} floats, normalised, {order}"

    def values(self, written: Callable[[int, tuple[float, ...], tuple[float, ...]], tuple[str, ...]]) -> str:
        """The lines that make `image` of the output of ``prepared``, in one language.

        Args:
            written: (pixels in a channel, or 0 where channels lie together; mean; std) -> the lines.
        """
        if self.preprocessing is None or self.preprocessing.crop is None or self.channels != 3:
            return ""
        height, width = self.size
        mean, std = (
            () if self.pixels else _of_each_channel(x) for x in (self.preprocessing.mean, self.preprocessing.std)
        )
        return "\n".join(written(0 if self.layout == "NHWC" else height * width, mean, std)) + "\n"


def _of_each_channel(numbers: tuple[float, ...]) -> tuple[float, ...]:
    return numbers * 3 if len(numbers) == 1 else numbers
