"""Cores: the clusters of a chip, and which of its cores "big", "prime" and "little" mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from hwnas.devices.device import Cores
from hwnas.errors import HwnasError, UsageError
from hwnas.transports.base import Core, Facts


@dataclass(frozen=True)
class Cluster:
    """Cores of one speed."""

    cores: tuple[int, ...]
    max_khz: int | None
    capacity: int | None

    def __str__(self) -> str:
        """For people: ``4-6 (2.42 GHz)``."""
        speed = f" ({self.max_khz / 1e6:.2f} GHz)" if self.max_khz else ""
        return core_ranges(self.cores) + speed


def clusters(facts: Facts) -> tuple[Cluster, ...]:
    """The online cores by speed, slowest first; empty if the device does not tell how fast each of them is.

    The kernel's capacity counts before the frequency: a little core may well have the higher clock.
    """
    online = [core for core in facts.cores if core.online]
    by_capacity = all(core.capacity is not None for core in online)
    by_frequency = all(core.max_khz is not None for core in online)
    if not (by_capacity or by_frequency):
        return ()

    def speed(core: Core) -> tuple[int, int]:
        return (core.capacity or 0) if by_capacity else 0, (core.max_khz or 0) if by_frequency else 0

    groups = [list(group) for _, group in groupby(sorted(online, key=speed), key=speed)]
    return tuple(
        Cluster(tuple(sorted(core.number for core in group)), group[0].max_khz, group[0].capacity) for group in groups
    )


def resolve_cores(cores: Cores, facts: Facts) -> tuple[int, ...] | Literal["any"]:
    """The core numbers that a Device's `cores` mean on this chip.

    ``prime`` is the fastest cluster, ``little`` the slowest, ``big`` the fastest of at least two cores that is not the
    slowest (if there is none: all that is not the slowest). On a chip with one kind of cores each word means all.

    =====================  =========  ============  =========
    chip (little first)    prime      big           little
    =====================  =========  ============  =========
    2 + 2 (Pixel 1)        2, 3       2, 3          0, 1
    4 + 3 + 1 (Pixel 4)    7          4, 5, 6       0 to 3
    4 + 2 + 2 (Pixel 6)    6, 7       6, 7          0 to 3
    4 + 4 + 1 (Pixel 8)    8          4 to 7        0 to 3
    4 equal (a board)      0 to 3     0 to 3        0 to 3
    =====================  =========  ============  =========

    Raises HwnasError for a core that the device does not have or has switched off, and for a word where the device does
    not tell its cores' speeds.
    """
    if cores == "any":
        return "any"
    if not isinstance(cores, str):
        return _existing(cores, facts)
    kinds = clusters(facts)
    if not kinds:
        raise HwnasError(
            f'the device does not tell how fast each of its cores is, so it is unknown which are "{cores}"; name them '
            f"in the device file by number, such as cores = [4, 5]{_known(facts)}, or leave them to the operating "
            'system with cores = "any".'
        )
    if cores == "prime":
        return kinds[-1].cores
    if cores == "little":
        return kinds[0].cores
    faster = kinds[1:] or kinds
    fastest_pair = next((kind.cores for kind in reversed(faster) if len(kind.cores) > 1), None)
    return fastest_pair or tuple(sorted(core for kind in faster for core in kind.cores))


def check_threads(threads: int, cores: tuple[int, ...] | Literal["any"], usable: int, device: str) -> None:
    """Raise UsageError where threads would wait for each other: a latency would be of that, not of the model.

    Args:
        threads: per inference.
        cores: the numbers of those to run on; "any": all that are usable.
        usable: how many cores this process, or the device, can run on; 0: not known.
        device: its name, for the message.
    """
    most = usable if cores == "any" else len(cores)
    if most and threads > most:
        where = "can run on" if cores == "any" else f"is to run on core {core_ranges(cores)}:"
        raise UsageError(
            f"threads is {threads}, but {device} {where} {most} core{'s' if most > 1 else ''} only, where {threads} "
            f"threads wait for each other and no latency means anything: set threads to at most {most}, or allow it "
            "more cores."
        )


def usable_cores(threads: int, allowed: Sequence[int] | None, facts: Facts) -> list[int] | Literal["any"]:
    """Where threads that are pinned to no core can run: "any", or the only cores there are for them.

    A process that may use some of the cores only (``taskset``, a container, a cpuset) is measured as on all of them, as
    long as there is one for each thread, and one of every speed.

    Args:
        threads: per inference.
        allowed: the cores that the system lets the process use; None: it does not tell.
        facts: of the device.
    """
    online = {core.number for core in facts.cores if core.online}
    if allowed is None or online <= set(allowed):
        return "any"
    of_each_speed = all(set(kind.cores) & set(allowed) for kind in clusters(facts))
    return "any" if len(allowed) >= threads and of_each_speed else sorted(allowed)


def core_mask(cores: Sequence[int]) -> str:
    """The cores as `taskset` wants them: hexadecimal without 0x, core 0 the lowest bit; ``70`` for 4, 5 and 6."""
    return f"{sum(1 << core for core in set(cores)):x}"


def core_ranges(cores: Sequence[int]) -> str:
    """The cores for people: ``0-3, 6``."""
    parts = []
    for _, group in groupby(enumerate(sorted(cores)), key=lambda pair: pair[1] - pair[0]):
        run = [core for _, core in group]
        parts.append(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}")
    return ", ".join(parts)


def _existing(cores: tuple[int, ...], facts: Facts) -> tuple[int, ...]:
    online = {core.number for core in facts.cores if core.online}
    if facts.cores and not set(cores) <= online:
        raise HwnasError(
            f"the device file names the cores {core_ranges(cores)}, but the device can run on {core_ranges([*online])} "
            f'only now; correct `cores`, or leave them to the operating system with cores = "any".'
        )
    return cores


def _known(facts: Facts) -> str:
    return f" (it has {core_ranges([core.number for core in facts.cores])})" if facts.cores else ""
