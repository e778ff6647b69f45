"""Small image files for tests."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image


def noise(seed: int = 0, size: tuple[int, int] = (24, 16)) -> Image.Image:
    """A picture (width, height) of random pixels; another seed is another picture."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def save_noise(path: Path, seed: int = 0, size: tuple[int, int] = (24, 16)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise(seed, size).save(path)
    return path


def make_folder(root: Path, counts: dict[str, int], suffix: str = ".png") -> Path:
    """So many pictures in each folder below `root`, no two alike."""
    for class_index, (name, count) in enumerate(counts.items()):
        for index in range(count):
            save_noise(root / name / f"{index}{suffix}", seed=1000 * class_index + index)
    return root


def path_of_bytes(folder: Path, name: bytes) -> Path:
    """A path whose last part need not be UTF-8."""
    return Path(os.fsdecode(os.fsencode(folder) + b"/" + name))
