"""The content of a file, as the readers of all formats give it, and helpers that they share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite

from hwnas.inspection.info import EndInfo, MetadataInfo, Size
from hwnas.inspection.network import FileNetwork

IMAGE_CHANNELS = (1, 3, 4)


@dataclass(frozen=True)
class FileContent:
    """Everything that is read from a file."""

    version: str
    network: FileNetwork
    inputs: tuple[EndInfo, ...]
    outputs: tuple[EndInfo, ...]
    metadata: MetadataInfo
    warnings: list[str]
    """Sentences on parts of the file that were left out."""


def finite(numbers: Iterable[float]) -> tuple[float, ...]:
    """The numbers of a normalisation; none of them if one is infinite or not a number, which JSON cannot say."""
    found = tuple(float(number) for number in numbers)
    return found if all(map(isfinite, found)) else ()


def layout_of(shape: Sequence[Size], habit: str) -> str | None:
    """``NHWC`` or ``NCHW`` by which dimension has an image's number of channels; `habit` where that does not tell."""
    if len(shape) != 4:
        return None
    channels_first, channels_last = shape[1] in IMAGE_CHANNELS, shape[3] in IMAGE_CHANNELS
    if channels_first == channels_last:
        return habit
    return "NCHW" if channels_first else "NHWC"
