"""The ranges of the arguments of `hwnas.train.data.load_data`."""

from __future__ import annotations

import os
from numbers import Real

from hwnas.arguments import whole_number
from hwnas.errors import UsageError, unknown_name
from hwnas.preprocessing import Preprocessing, check_of_unit_pixels
from hwnas.text import excerpt
from hwnas.train.augmentation import AUGMENTATIONS
from hwnas.train.image_set import Channels

SMALLEST_RESOLUTION = 8


def default_workers() -> int:
    """One process per core that may be used, and four at most."""
    # a container may own fewer cores than the machine has
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(4, cores)


def whole_numbers(
    resolution: int, batch_size: int, seed: int, workers: int, limit_train: int | None
) -> tuple[int, int, int, int, int | None]:
    """The arguments that count, as numbers of Python. Raises UsageError for others and for those out of range."""
    return (
        whole_number(resolution, "resolution, in pixels,", SMALLEST_RESOLUTION),
        whole_number(batch_size, "batch_size", 1),
        whole_number(seed, "seed", 0),
        whole_number(workers, "workers", 0),
        None if limit_train is None else whole_number(limit_train, "limit_train", 0),
    )


def check_arguments(val_fraction: float, augment: str, memory_share: float, balance: float) -> None:
    """Raises UsageError for an argument out of range."""
    for rule, value, most in (
        ("val_fraction must be from 0 to 0.9", val_fraction, 0.9),
        ("balance must be from 0 to 1", balance, 1),
        ("memory_share must be from 0 to 1", memory_share, 1),
    ):
        if not isinstance(value, Real) or not 0 <= value <= most:
            raise UsageError(f"{rule}, not {excerpt(value)}.")
    if augment not in AUGMENTATIONS:
        raise unknown_name("augmentation", augment, AUGMENTATIONS)


def checked_normalisation(given: tuple[Channels, Channels]) -> tuple[Channels, Channels]:
    """The mean and the deviation of three channels, as floats. Raises UsageError for anything else."""
    try:
        mean, std = ((float(red), float(green), float(blue)) for red, green, blue in given)
    except (TypeError, ValueError):
        raise UsageError(
            f"normalisation is the mean and the deviation of three channels each, ((r, g, b), (r, g, b)), not "
            f"{excerpt(given)}."
        ) from None
    Preprocessing(mean, std)
    check_of_unit_pixels(mean)
    return mean, std
