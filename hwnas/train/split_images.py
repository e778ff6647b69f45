"""The images of one split of a folder, as `load_data` divides it, without reading those of the others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from hwnas.errors import HwnasError, unknown_name
from hwnas.train.data import DECODING_SHARE
from hwnas.train.division import VAL_FRACTION, LabelledImage, split_validation
from hwnas.train.memory import available_bytes
from hwnas.train.sources import ImageSource, digits_source, folder_source

Split = Literal["test", "val", "train", "all"]
SPLITS: tuple[Split, ...] = ("test", "val", "train", "all")

SEED = 0
"""That of `hwnas design`, by default, where training images are divided."""

NAMES_SHOWN = 5


def check_split(split: str) -> None:
    """Raise UsageError, listing the known names, for another split."""
    if split not in SPLITS:
        raise unknown_name("split", split, list(SPLITS))


def source_of(data: Path | str, split: Split, workers: int) -> ImageSource:
    """The images of a folder, or ``"digits"``; what the folder lacks beside the split does not matter.

    Raises HwnasError where there is no such split, or no image.
    """
    if data == "digits":
        return digits_source()
    most_bytes = int(DECODING_SHARE * available_bytes() / max(1, workers))
    return folder_source(Path(data), most_bytes, split)


def images_of(source: ImageSource, split: Split) -> tuple[list[LabelledImage], tuple[str, ...]]:
    """The images of a split of `source_of`, and sentences on what is to be known of them. Raises HwnasError if there
    are none."""
    train, val = split_validation(source.train, 0 if source.val else VAL_FRACTION, None, SEED)
    notes = []
    if split == "all":
        images = [*source.train, *source.val, *source.test]
    elif split == "test" or not source.train:  # a folder of one split has its images there
        images = list(source.test)
        if source.divided:
            notes.append("there is no test/: these are the images that `hwnas design` sets aside (--split all: all)")
        elif missing := source.untested():
            notes.append(f"no {split} images of {shown_names(missing)}")
    elif split == "val":
        images = list(source.val) or val
        if not source.val:
            notes.append("there is no val/: these are the training images that `hwnas design --seed 0` judges by")
    else:
        images = train
    if left_out := sum(map(len, source.left_out.values())):
        notes.append(f"{left_out} files of the folder are no images that can be used")
    if not images:
        raise HwnasError(f"{source.title!r} has no {split} images; add some, or name another split.")
    return images, tuple(notes)


def shown_names(names: Sequence[str]) -> str:
    """The first of some names, for messages."""
    more = f", ... ({len(names)} in all)" if len(names) > NAMES_SHOWN else ""
    return ", ".join(map(repr, names[:NAMES_SHOWN])) + more
