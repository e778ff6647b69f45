"""Photographs for the tests of accuracy: digits in the middle of wide and tall pictures with stripes beside them.

Who stretches them to a square, or shrinks them with a filter that passes over pixels, sees another digit.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from hwnas.exporter.images import ExportImages
from hwnas.train.data import ImageData, load_data
from hwnas.train.export_images import export_images
from tests.export_digits import RESOLUTION

SIDE, LENGTH, NOISE = 96, 150, 70.0
IMAGES = {"train": 3, "test": 10}
"""Of each class."""


def make_photographs(folder: Path) -> Path:
    """``train/CLASS/*`` and ``test/CLASS/*``: JPEG, PNG with and without transparency, wide, tall and to be turned."""
    found, random = load_digits(), np.random.default_rng(0)
    for digit in range(10):
        members = np.flatnonzero(found.target == digit)
        for split, count in IMAGES.items():
            chosen, members = members[:count], members[count:]
            for number, index in enumerate(chosen):
                path = folder / split / f"digit {digit}" / f"{index}"
                path.parent.mkdir(parents=True, exist_ok=True)
                _save(path, np.rint(found.images[index] * (255 / 16)), random, number)
    return folder


def _save(path: Path, grey: np.ndarray, random: np.random.Generator, number: int) -> None:
    large = np.asarray(Image.fromarray(grey.astype(np.uint8)).resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    # fine noise that a mean over many pixels takes away
    noisy = NOISE + large * (1 - 2 * NOISE / 255) + random.choice([-NOISE, NOISE], large.shape)
    wide = 255.0 * random.integers(0, 2, (SIDE, LENGTH // 3 + 1)).repeat(3, 1)[:, :LENGTH]
    start = (LENGTH - SIDE) // 2
    wide[:, start : start + SIDE] = noisy
    image = Image.fromarray((wide if number % 2 else wide.T[:, :]).astype(np.uint8)).convert("RGB")
    if not number % 2:  # the digit itself stays upright
        tall = np.array(image)
        tall[start : start + SIDE] = noisy[:, :, None]
        image = Image.fromarray(tall)
    if number % 4 == 0:
        image.putalpha(255)
        image.save(path.with_suffix(".png"))
    elif number % 4 == 1:  # stored on its side, and to be turned upright
        exif = Image.Exif()
        exif[0x0112] = 6
        image.transpose(Image.Transpose.ROTATE_90).save(path.with_suffix(".jpg"), quality=95, exif=exif)
    else:
        image.save(path.with_suffix(".jpg" if number % 4 == 2 else ".png"), quality=95)


@cache
def loaded(folder: Path) -> ImageData:
    return load_data(folder, RESOLUTION, batch_size=32, workers=0)


def photographs(folder: Path) -> ExportImages:
    """For an export of `tests.export_digits.digits_child`, which learnt from the digits as they are."""
    return export_images(loaded(folder), 16)
