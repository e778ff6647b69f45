"""Images per second of hwnas's loader (decode, augment, normalise, collate) against a plain DataLoader with Pillow.

    python benchmarks/feeding.py [--images 256] [--sides 64,128,224] [--workers 0,1,2] [--rounds 3] [--json]

The photographs are those of scikit-image, cut and resized to 500 x 375 pixels, as JPEG. `kept`: hwnas where the pixels
fit into memory, after they were read once; `anew`: it decodes for every batch, as it does where they do not fit. Both
augment on the CPU; `bare` is about what is left for the CPU where a GPU augments. The plain loader opens each file,
makes the augmentations of "photo" with Pillow, and normalises. All take turns; a ratio is the median of the rounds'.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from common import show
from PIL import Image, ImageEnhance
from skimage import data as photographs
from torch.utils.data import DataLoader, Dataset

from hwnas.pretrained import IMAGENET_MEAN, IMAGENET_STD
from hwnas.train.augmentation import PHOTO_COLOUR, PHOTO_SCALE
from hwnas.train.data import ImageData, load_data

NAMES = ("astronaut", "chelsea", "coffee", "rocket")
WIDTH, HEIGHT = 500, 375
BATCH_SIZE = 32


def make_photographs(folder: Path, count: int) -> None:
    """`count` JPEG files in two classes, each another part of a photograph, and a test image of each class."""
    rng = np.random.default_rng(0)
    sources = [Image.fromarray(getattr(photographs, name)()) for name in NAMES]
    for number in range(count + 4):
        split = "train" if number < count else "test"
        path = folder / split / ("a", "b")[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        source = sources[number % len(sources)]
        width = int(rng.uniform(0.6, 1.0) * min(source.width, source.height * WIDTH / HEIGHT))
        height = width * HEIGHT // WIDTH
        left, top = int(rng.integers(source.width - width + 1)), int(rng.integers(source.height - height + 1))
        part = source.crop((left, top, left + width, top + height))
        part.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).save(path, quality=90)


class PlainPhotographs(Dataset):
    """Image by image, as tutorials do it."""

    def __init__(self, folder: Path, side: int) -> None:
        self.paths, self.side = sorted(folder.glob("train/*/*.jpg")), side
        self.mean, self.std = (np.array(each, np.float32) for each in (IMAGENET_MEAN, IMAGENET_STD))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        path = self.paths[index]
        with Image.open(path) as file:
            image = file.convert("RGB")
        box = random_box(image.width, image.height)
        image = image.resize((self.side, self.side), Image.Resampling.BILINEAR, box=box)
        if random.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        changes = [ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color]
        for change in random.sample(changes, len(changes)):
            image = change(image).enhance(random.uniform(1 - PHOTO_COLOUR, 1 + PHOTO_COLOUR))
        pixels = (np.asarray(image, np.float32) / 255 - self.mean) / self.std
        return torch.from_numpy(pixels.transpose(2, 0, 1).copy()), int(path.parent.name == "b")


def random_box(width: int, height: int) -> tuple[float, float, float, float]:
    """Of a RandomResizedCrop, in the largest centred square: left, top, right, bottom."""
    side = min(width, height)
    area, ratio = random.uniform(*PHOTO_SCALE), np.exp(random.uniform(np.log(3 / 4), np.log(4 / 3)))
    w, h = min(side, side * (area * ratio) ** 0.5), min(side, side * (area / ratio) ** 0.5)
    left = (width - side) / 2 + random.uniform(0, side - w)
    top = (height - side) / 2 + random.uniform(0, side - h)
    return left, top, left + w, top + h


def loaders(folder: Path, side: int, workers: int) -> dict[str, Callable[[int], Iterable]]:
    """By name, what gives the batches of an epoch."""

    def ours(memory_share: float, augment: str) -> ImageData:
        return load_data(
            folder,
            side,
            batch_size=BATCH_SIZE,
            val_fraction=0.0,
            workers=workers,
            augment=augment,
            normalisation=(IMAGENET_MEAN, IMAGENET_STD),
            memory_share=memory_share,
        )

    plain = DataLoader(PlainPhotographs(folder, side), BATCH_SIZE, shuffle=True, num_workers=workers, drop_last=True)
    ways = {
        "kept": ours(0.25, "photo"),
        "anew": ours(0.0, "photo"),
        "kept, bare": ours(0.25, "none"),
        "anew, bare": ours(0.0, "none"),
    }
    return {"plain": lambda epoch: plain} | {name: data.train_batches for name, data in ways.items()}


def images_per_second(batches: Iterable) -> float:
    started = time.perf_counter()
    count = sum(len(labels) for _, labels in batches)
    return count / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--sides", default="64,128,224")
    parser.add_argument("--workers", default="0,1,2")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        make_photographs(Path(folder), options.images)
        for side in map(int, options.sides.split(",")):
            for workers in map(int, options.workers.split(",")):
                ways = loaders(Path(folder), side, workers)
                rounds = [
                    {name: images_per_second(batches(epoch)) for name, batches in ways.items()}
                    for epoch in range(options.rounds + 1)
                ][1:]  # the first one warms up
                row = {"side": side, "workers": workers, "plain images/s": median(each["plain"] for each in rounds)}
                for name in list(ways)[1:]:
                    row[f"{name} / plain"] = median(each[name] / each["plain"] for each in rounds)
                rows.append(row)
                print(row, file=sys.stderr, flush=True)
    show("Images per second that a loader gives, against a plain DataLoader", rows, options.json)


if __name__ == "__main__":
    main()
