"""Pinning this process to the cores that a Device names, for as long as it is measured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import psutil

from hwnas.errors import HwnasError


def allowed_cores() -> list[int] | None:
    """The cores that this process may run on; None: the system does not tell."""
    process = psutil.Process()
    return process.cpu_affinity() if hasattr(process, "cpu_affinity") else None


def allowed_count() -> int:
    """How many they are; 0: not known."""
    return len(allowed_cores() or ()) or psutil.cpu_count() or 0


@contextmanager
def pinned(cores: tuple[int, ...] | Literal["any"]) -> Iterator[None]:
    """Run on these cores only, then on those from before; "any" changes nothing.

    It holds for the calling thread and for the threads it starts meanwhile: load a model inside, so that the runtime's
    own threads are pinned too. Raises HwnasError if the system cannot pin, or this process may not use such a core.
    """
    if cores == "any":
        yield
        return
    process = psutil.Process()
    if not hasattr(process, "cpu_affinity"):
        raise HwnasError('this system cannot pin a process to cores; set cores = "any" in the device file.')
    before = process.cpu_affinity()
    if not set(cores) <= set(before):
        raise HwnasError(
            f"the device names the cores {list(cores)}, but this process may run on {before} only; correct `cores` in "
            f'the device file, or set it to "any".'
        )
    process.cpu_affinity(list(cores))
    try:
        yield
    finally:
        process.cpu_affinity(before)
