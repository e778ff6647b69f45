"""The images of one split, once read: which can be decoded, their labels, and their pixels where memory allows.

Pixels that fit are kept as 8 bits each; otherwise the files are decoded anew for every batch. Both give the same
numbers, because what is left out and the statistics come from one pass over the files in either case.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from hwnas.errors import HwnasError
from hwnas.train.division import LabelledImage
from hwnas.train.findings import Examples, described
from hwnas.train.fingerprints import Fingerprint
from hwnas.train.images import ImageReader, Pixels
from hwnas.train.memory import available_bytes

Progress = Callable[[int, int], None]
"""Called as ``progress(done, total)`` with counts of images."""

Channels = tuple[float, float, float]
"""A number for red, green and blue."""

IMAGES_PER_READ, BYTES_PER_READ = 64, 64 * 2**20
"""At most, in what a worker hands over at once."""

MOST_BROKEN = 0.1


@dataclass(frozen=True)
class ImageSet:
    """N readable images: names, labels (N) int64, and pixels (N, 3, H, W) uint8, or None if they are not kept.

    ``sums`` (N, 2, 3) holds the sum and the sum of squares of each image's channels, ``pixel_prints`` (N) uint64 and
    ``contents`` (N, 32) uint8 the fingerprints of its pixels and of its file.
    """

    reader: ImageReader
    names: list[str]
    labels: torch.Tensor
    sums: npt.NDArray[np.int64]
    pixel_prints: npt.NDArray[np.uint64]
    contents: npt.NDArray[np.uint8]
    pixels: torch.Tensor | None

    def __len__(self) -> int:
        return len(self.names)

    def part(self, start: int, stop: int) -> ImageSet:
        """The images from `start` to before `stop`; pixels are shared, not copied."""
        chosen = slice(start, stop)
        pixels = None if self.pixels is None else self.pixels[chosen]
        return ImageSet(
            self.reader,
            self.names[chosen],
            self.labels[chosen],
            self.sums[chosen],
            self.pixel_prints[chosen],
            self.contents[chosen],
            pixels,
        )

    def fingerprints(self) -> Iterator[Fingerprint]:
        """Name, label and content of each image."""
        for name, label, content in zip(self.names, self.labels.tolist(), self.contents, strict=True):
            yield Fingerprint(name, label, content.tobytes())

    def statistics(self) -> tuple[Channels, Channels]:
        """Mean and standard deviation of each channel, pixels in 0..1. No deviation is below one grey level of 255."""
        # whole numbers up to here: the sums, and so the statistics, do not depend on the order of the additions
        total, squares = (int_sum.astype(float) for int_sum in self.sums.sum(axis=0))
        pixel_count = len(self) * self.reader.resolution**2
        mean = total / pixel_count
        deviation = np.sqrt(np.maximum(squares / pixel_count - mean**2, 1.0))
        return _channels(mean / 255), _channels(deviation / 255)

    def batches(self, positions: Sequence[npt.NDArray[np.int64]]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Pixels (len, 3, H, W) uint8 and labels (len) at each list of positions. Raises HwnasError if a file that
        could be decoded before cannot be any more."""
        if self.pixels is not None:
            for indices in map(torch.from_numpy, positions):
                yield self.pixels[indices], self.labels[indices]
            return
        names = [[self.names[position] for position in chosen] for chosen in positions]
        for chosen, decoded in zip(positions, self.reader.read(names), strict=True):
            for position, reason in decoded.broken.items():
                raise HwnasError(
                    f"image {self.names[chosen[position]]!r} could be read when training began, and cannot be now: "
                    f"{reason}. The images must stay as they are while hwnas runs; restore the file and resume."
                )
            for position in np.flatnonzero(self.pixel_prints[chosen] != np.array(decoded.pixel_prints, np.uint64)):
                raise HwnasError(
                    f"image {self.names[chosen[position]]!r} has changed since training began. The images must stay as "
                    "they are while hwnas runs; restore the file and resume."
                )
            yield torch.from_numpy(decoded.pixels), self.labels[torch.from_numpy(chosen)]


def read_images(
    images: Sequence[LabelledImage], *, reader: ImageReader, memory_share: float, progress: Progress | None
) -> tuple[ImageSet, dict[str, str]]:
    """Decode all `images` once. Pixels are kept if they take no more than `memory_share` of the available memory.

    Returns the set of those that can be decoded, in the same order, and by name why the others cannot. Raises
    HwnasError if the others are more than 10 %.
    """
    shape = (len(images), 3, reader.resolution, reader.resolution)
    keep = math.prod(shape) <= memory_share * available_bytes()
    kept = np.empty(shape if keep else (0,), np.uint8)
    sums = np.empty((len(images), 2, 3), np.int64)
    pixel_prints, contents = np.empty(len(images), np.uint64), np.empty((len(images), 32), np.uint8)
    readable: list[LabelledImage] = []
    broken: dict[str, str] = {}
    per_read = max(1, min(IMAGES_PER_READ, BYTES_PER_READ // math.prod(shape[1:])))
    chunks = [images[start : start + per_read] for start in range(0, len(images), per_read)]
    for chunk, decoded in zip(chunks, reader.read([[image.name for image in chunk] for chunk in chunks]), strict=True):
        broken |= {chunk[position].name: reason for position, reason in decoded.broken.items()}
        start = len(readable)
        readable += [image for position, image in enumerate(chunk) if position not in decoded.broken]
        sums[start : len(readable)] = _channel_sums(decoded.pixels)
        pixel_prints[start : len(readable)] = decoded.pixel_prints
        if decoded.contents:
            contents[start : len(readable)] = np.frombuffer(b"".join(decoded.contents), np.uint8).reshape(-1, 32)
        if keep:
            kept[start : len(readable)] = decoded.pixels
        if progress:
            progress(len(readable) + len(broken), len(images))
    check_broken(broken, len(images))
    count = len(readable)
    labels = torch.tensor([image.label for image in readable], dtype=torch.int64)
    pixels = torch.from_numpy(kept[:count]) if keep else None
    # what is decoded anew was fingerprinted once
    again, names = replace(reader, fingerprint=None), [image.name for image in readable]
    return ImageSet(again, names, labels, sums[:count], pixel_prints[:count], contents[:count], pixels), broken


def check_broken(broken: Mapping[str, str], count: int) -> None:
    """Raise HwnasError if more than 10 % of `count` images cannot be decoded; `broken` says by name why not."""
    if len(broken) > MOST_BROKEN * count:
        raise HwnasError(
            f"{len(broken)} of {count} images cannot be decoded, and hwnas goes on without at most "
            f"{MOST_BROKEN:.0%} of them; the first: {Examples.of(described(broken))}. "
            "Repair or remove these files."
        )


def _channel_sums(pixels: Pixels) -> npt.NDArray[np.int64]:
    """Sum and sum of squares (N, 2, 3) over the pixels (N, 3, H, W) of each image."""
    squares = np.square(pixels, dtype=np.uint16)
    return np.stack([pixels.sum(axis=(2, 3), dtype=np.int64), squares.sum(axis=(2, 3), dtype=np.int64)], axis=1)


def _channels(values: npt.NDArray[np.float64]) -> Channels:
    red, green, blue = values.tolist()
    return red, green, blue
