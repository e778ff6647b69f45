"""The ranges of the arguments of `hwnas.train.data.load_data`."""

from __future__ import annotations

import os

from hwnas.errors import UsageError, unknown_name
from hwnas.train.augmentation import AUGMENTATIONS

SMALLEST_RESOLUTION = 8


def default_workers() -> int:
    """One process per core that may be used, and four at most."""
    # a container may own fewer cores than the machine has
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(4, cores)


def check_arguments(
    resolution: int,
    batch_size: int,
    val_fraction: float,
    seed: int,
    workers: int,
    augment: str,
    memory_share: float,
    balance: float,
) -> None:
    """Raises UsageError for an argument out of range."""
    for rule, value, holds in (
        (f"resolution must be {SMALLEST_RESOLUTION} or more pixels", resolution, resolution >= SMALLEST_RESOLUTION),
        ("batch_size must be 1 or more", batch_size, batch_size >= 1),
        ("val_fraction must be from 0 to 0.9", val_fraction, 0 <= val_fraction <= 0.9),
        ("seed must be 0 or more", seed, seed >= 0),
        ("workers must be 0 (decode in this process) or more", workers, workers >= 0),
        ("balance must be from 0 to 1", balance, 0 <= balance <= 1),
        ("memory_share must be from 0 to 1", memory_share, 0 <= memory_share <= 1),
    ):
        if not holds:
            raise UsageError(f"{rule}, not {value}.")
    if augment not in AUGMENTATIONS:
        raise unknown_name("augmentation", augment, AUGMENTATIONS)
