"""Torch's global random numbers, of which the caller's stay as they were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

import torch

_DRAWING = RLock()
"""Threads share the generator: those that draw from it wait for each other, or would change each other's numbers."""


@contextmanager
def own_random_state(seed: int | None = None) -> Iterator[None]:
    """Within it, what draws from torch's global generator draws numbers of its own; the state is put back after.

    Args:
        seed: that they begin with; None: they go on from those of the caller.
    """
    with _DRAWING, torch.random.fork_rng(devices=[]):
        if seed is not None and torch.accelerator.is_available():
            torch.manual_seed(seed)
        elif seed is not None:  # the same for the CPU, which notes no stack for devices that are not there
            torch.default_generator.manual_seed(seed)
        yield
