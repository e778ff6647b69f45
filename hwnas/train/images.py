"""From image files to pixels: decode one file, or many in worker processes.

Every image becomes three channels of 8 bits: turned upright as its EXIF data say, transparent parts laid over white,
16-bit grey scaled down to 8. It is cut to the largest centred square and resized with Pillow's antialiased bilinear
filter (`hwnas.preprocessing.fitted`): the shorter side fits, what hangs over on the longer side is lost, and nothing is
distorted.
"""

from __future__ import annotations

import contextlib
import math
import signal
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch.utils.data import DataLoader

from hwnas.errors import HwnasError
from hwnas.preprocessing import LARGEST_CENTRED, Crop, fitted
from hwnas.train.fingerprints import pixel_fingerprint

Pixels = npt.NDArray[np.uint8]

Resolution = int | tuple[int, int]
"""The side of a square, or (height, width), in pixels."""

# no format that Pillow hands to another program (EPS starts Ghostscript), whatever a file's extension says
FORMATS: tuple[str, ...] = ("JPEG", "PNG", "BMP", "DIB", "WEBP", "GIF", "TIFF", "JPEG2000", "PPM")
with contextlib.suppress(ImportError):  # Pillow has it since 11.3, if it was built with it
    from PIL import AvifImagePlugin

    FORMATS += ("AVIF",) if AvifImagePlugin.SUPPORTED else ()

BYTES_PER_PIXEL = 12
"""At most, while a picture is decoded: 4 as it is stored, 4 turned upright, 4 as RGB."""

STRIP_ROWS = 256
"""Rows that are made RGB at a time, so that a large picture is not in memory several times."""


HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"mif1", b"msf1")


class BrokenImageError(HwnasError):
    """An image file that cannot be decoded; the message is the reason alone."""


def decode_file(
    folder: Path, name: str, resolution: Resolution, most_bytes: int | None = None, crop: Crop = LARGEST_CENTRED
) -> Pixels:
    """Pixels (3, H, W) of one image file, of its first frame if there are several; `resolution` is H and W.

    Raises BrokenImageError; also for a picture that takes more than `most_bytes` of memory while it is decoded, and
    for decompression bombs (more than Pillow's limit of 179 million pixels, as stated in the header).
    """
    # photos are decoded at a fraction of their size, many times faster, still twice as large as needed
    size = _size(resolution)
    return _pixels(fitted(_load(folder / name, 2 * max(size), most_bytes), size, crop))


def same_pixels(folder: Path, name: str, other: str, most_bytes: int | None = None) -> bool:
    """Whether two files hold the same picture, pixel by pixel, at its full size."""
    try:
        sizes = [_sides(folder / each) for each in (name, other)]
        if sizes[0] != sizes[1]:
            return False
        first, second = (_load(folder / each, None, most_bytes) for each in (name, other))
    except (BrokenImageError, OSError):
        return False
    return first.size == second.size and first.tobytes() == second.tobytes()


def _load(path: Path, least_side: int | None, most_bytes: int | None) -> Image.Image:
    """The picture of a file, upright, as RGB; a JPEG smaller than it is, but with sides of `least_side` or more."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd metadata of images that can be read
            with Image.open(path, formats=FORMATS) as image:
                full_size = image.size
                if least_side is not None:
                    image.draft(None, (least_side, least_side))
                _check_memory(image, full_size, most_bytes)
                image.load()
                # damaged EXIF data do not make an image unreadable
                with contextlib.suppress(Exception):
                    ImageOps.exif_transpose(image, in_place=True)
                return _to_rgb(image)
    except MemoryError:
        raise
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error and more on bad bytes
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        if isinstance(error, UnidentifiedImageError):
            reason = _unidentified(path)
        raise BrokenImageError(reason or type(error).__name__) from error


def is_image(path: Path) -> bool:
    """Whether a file's first bytes are those of an image, whatever its name says."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=FORMATS):
                return True
    except Image.DecompressionBombError:
        return True  # it is one, and is reported as one that cannot be decoded
    except Exception:  # as in decode_file
        return False


def _sides(path: Path) -> list[int]:
    """Both sides as the header says, the smaller first: the picture may have to be turned."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(path, formats=FORMATS) as image:
            return sorted(image.size)


def _check_memory(image: Image.Image, full_size: tuple[int, int], most_bytes: int | None) -> None:
    """Raises BrokenImageError if decoding takes more than `most_bytes`."""
    # a progressive JPEG is held whole, as 16-bit coefficients of three channels, even if a fraction is decoded
    coefficients = 6 * math.prod(full_size) if image.info.get("progressive") else 0
    needed = BYTES_PER_PIXEL * math.prod(image.size) + coefficients
    if most_bytes is not None and needed > most_bytes:
        width, height = full_size
        raise BrokenImageError(
            f"{width}x{height} pixels take {needed / 2**20:,.0f} MiB of memory while they are decoded, and "
            f"{most_bytes / 2**20:,.0f} MiB are left for each of the processes that decode; make the picture smaller"
        )


def _unidentified(path: Path) -> str:
    """What is known of a file that is in no format of ours."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        start = file.read(12)
        if not start:
            return "not an image: the file is empty"
        if start[4:8] == b"ftyp" and start[8:12] in HEIC_BRANDS:
            return "HEIC, which hwnas cannot read, under another name; convert it to JPEG or PNG"
    return f"not an image in one of the formats {', '.join(FORMATS)}"


def decode_array(
    arrays: Mapping[str, Pixels], name: str, resolution: Resolution, crop: Crop = LARGEST_CENTRED
) -> Pixels:
    """Pixels (3, H, W), `resolution` being H and W, of the grey image that `arrays` holds under `name`."""
    return _pixels(fitted(Image.fromarray(arrays[name]).convert("RGB"), _size(resolution), crop))


PHOTOMETRIC, WHITE_IS_ZERO = 262, 0
"""A tag of TIFF, and its value where the largest number is black."""


def _to_rgb(image: Image.Image) -> Image.Image:
    """The picture as RGB. It is done in strips: what a conversion needs beside its result stays small."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode == "F":
        raise BrokenImageError("its pixels are fractions of an unknown range; save it with 8 or 16 bits")
    if image.mode == "I" and not _has_16_bits(image):
        raise BrokenImageError("its pixels are integers of an unknown range; save it with 8 or 16 bits")
    if image.mode.startswith("I;16") and getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == WHITE_IS_ZERO:
        # Pillow turns pictures of 8 bits round, and not these
        image = Image.fromarray(np.uint16(2**16 - 1) - np.asarray(image).astype(np.uint16))
    width, height = image.size
    rgb = Image.new("RGB", image.size)
    for top in range(0, height, STRIP_ROWS):
        strip = image.crop((0, top, width, min(top + STRIP_ROWS, height)))
        rgb.paste(_strip_to_rgb(strip), (0, top))
    return rgb


def _has_16_bits(image: Image.Image) -> bool:
    values = np.asarray(image)
    return bool(values.min() >= 0 and values.max() < 2**16)


def _strip_to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # Pillow's own conversion cuts 16 bits off at 255 instead of scaling them
        grey = np.clip(np.asarray(image) >> 8, 0, 255).astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")
    if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        # the colour under a transparent pixel is arbitrary; dropping alpha alone would bring it to light
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _size(resolution: Resolution) -> tuple[int, int]:
    return (resolution, resolution) if isinstance(resolution, int) else resolution


def _pixels(image: Image.Image) -> Pixels:
    return np.asarray(image).transpose(2, 0, 1)


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

    `decode` may give pixels of another height and width than `resolution`, as long as all are of the same. With
    `fingerprint`, it is taken of the content of each image that can be decoded.
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
        pixels = np.stack(decoded) if decoded else np.empty((0, 3, self.resolution, self.resolution), np.uint8)
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
            worker_init_fn=_leave_ctrl_c_to_its_parent,
        )
        try:
            yield from loader
        except (RuntimeError, MemoryError, OSError) as error:
            raise HwnasError(
                f"a process that decodes images has ended: {_first_line(error)}. It is often memory that ran out; "
                "use fewer workers, or workers=0, which decodes in the process that trains."
            ) from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "").rstrip(".") or type(error).__name__


def _leave_ctrl_c_to_its_parent(_: int) -> None:
    """A worker that Ctrl-C ends first would look like one that ran out of memory."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _unchanged(decoded: DecodedImages) -> DecodedImages:
    return decoded
