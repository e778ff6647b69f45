"""From image files to pixels: decode one file, or many in worker processes.

Every image becomes three channels of 8 bits: turned upright as its EXIF data say, transparent parts laid over white,
16-bit grey scaled down to 8. It is cut to the largest centred square and resized with Pillow's antialiased bilinear
filter: the shorter side fits, what hangs over on the longer side is lost, and nothing is distorted.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps
from torch.utils.data import DataLoader

from hwnas.errors import HwnasError
from hwnas.train.fingerprints import pixel_fingerprint

Pixels = npt.NDArray[np.uint8]

# no format that Pillow hands to another program (EPS starts Ghostscript), whatever a file's extension says
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "GIF")


class BrokenImageError(HwnasError):
    """An image file that cannot be decoded; the message is the reason alone."""


def decode_file(folder: Path, name: str, resolution: int) -> Pixels:
    """Pixels (3, resolution, resolution) of one image file. Raises BrokenImageError, also for decompression bombs
    (more than Pillow's limit of 179 million pixels, as stated in the header)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd metadata of images that can be read
            with Image.open(folder / name, formats=FORMATS) as image:
                # photos are decoded at a fraction of their size, many times faster, still twice as large as needed
                image.draft(None, (2 * resolution, 2 * resolution))
                image.load()
                # damaged EXIF data do not make an image unreadable
                with contextlib.suppress(Exception):
                    ImageOps.exif_transpose(image, in_place=True)
                return _square(_to_rgb(image), resolution)
    except MemoryError:
        raise
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error and more on bad bytes
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        if isinstance(error, Image.UnidentifiedImageError):
            reason = f"not an image in one of the formats {', '.join(FORMATS)}"
        raise BrokenImageError(reason or type(error).__name__) from error


def decode_array(arrays: Mapping[str, Pixels], name: str, resolution: int) -> Pixels:
    """Pixels (3, resolution, resolution) of the grey image (H, W) that `arrays` holds under `name`."""
    return _square(Image.fromarray(arrays[name]).convert("RGB"), resolution)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # Pillow's own conversion cuts 16 bits off at 255 instead of scaling them
        grey = np.clip(np.asarray(image) >> 8, 0, 255).astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")
    if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        # the colour under a transparent pixel is arbitrary; dropping alpha alone would bring it to light
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _square(image: Image.Image, resolution: int) -> Pixels:
    fitted = ImageOps.fit(image, (resolution, resolution), Image.Resampling.BILINEAR)
    return np.asarray(fitted).transpose(2, 0, 1)


class DecodedImages(NamedTuple):
    """What became of a list of names: pixels (N, 3, H, W) of those that could be read, and by position why not.

    ``pixel_prints`` and, where they were asked for, ``contents`` are fingerprints of those that could be read.
    """

    pixels: Pixels
    broken: dict[int, str]
    pixel_prints: list[int]
    contents: list[bytes]


@dataclass(frozen=True)
class ImageReader:
    """Decodes lists of images, in `workers` processes (0: in this one). ``reader[names]`` decodes one list, here.

    With `fingerprint`, it is taken of the content of each image that can be decoded.
    """

    decode: Callable[[str, int], Pixels]
    resolution: int
    workers: int
    fingerprint: Callable[[str], bytes] | None = None

    def __getitem__(self, names: Sequence[str]) -> DecodedImages:
        decoded: list[Pixels] = []
        broken: dict[int, str] = {}
        contents: list[bytes] = []
        for position, name in enumerate(names):
            try:
                decoded.append(self.decode(name, self.resolution))
            except BrokenImageError as error:
                broken[position] = str(error)
                continue
            if self.fingerprint:  # the file has just been read, so its bytes are still at hand
                contents.append(self.fingerprint(name))
        shape = (len(decoded), 3, self.resolution, self.resolution)
        pixels = np.concatenate(decoded).reshape(shape) if decoded else np.empty(shape, np.uint8)
        return DecodedImages(pixels, broken, [pixel_fingerprint(image) for image in pixels], contents)

    def read(self, batches: Sequence[Sequence[str]]) -> Iterator[DecodedImages]:
        """Decode each list of names, in order. Raises HwnasError if a worker process dies."""
        loader: DataLoader[DecodedImages] = DataLoader(
            self,  # type: ignore[arg-type]  # anything with __getitem__ will do where a sampler says what to get
            batch_size=None,
            sampler=batches,
            num_workers=self.workers if len(batches) > 1 else 0,
            # arrays travel through a pipe; tensors would need shared memory, of which containers often have 64 MB only
            collate_fn=_unchanged,  # type: ignore[arg-type]  # with batch_size=None it gets no list
            # a generator of its own: without one, starting a loader would advance torch's global one
            generator=torch.Generator(),
        )
        try:
            yield from loader
        except RuntimeError as error:
            raise HwnasError(
                f"a process that decodes images has ended: {error}. It is often memory that ran out; "
                "use fewer workers, or workers=0, which decodes in the process that trains."
            ) from error


def _unchanged(decoded: DecodedImages) -> DecodedImages:
    return decoded
