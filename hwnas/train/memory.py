"""How much memory this process and its workers may take."""

from __future__ import annotations

import resource
from contextlib import suppress
from pathlib import Path

import psutil

from hwnas.train import distributed

CGROUPS = (
    (Path("/sys/fs/cgroup"), "memory.max", "memory.current", ("active_file", "inactive_file")),
    (
        Path("/sys/fs/cgroup/memory"),
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        ("total_active_file", "total_inactive_file"),
    ),
)
"""Where version 2 and version 1 of Linux's control groups say the limit and the use of a container, and what of the use
is files that were read, which the system lets go of."""


def available_bytes() -> int:
    """Bytes that can be taken before the system swaps or ends a process: of the machine, or of the container.

    Processes that train together on this machine have equal parts of it.
    """
    left = min([int(psutil.virtual_memory().available), *_left_in_container(), *_left_in_address_space()])
    return left // distributed.processes_here()


def _left_in_container() -> list[int]:
    for folder, limit, used, cached in CGROUPS:
        with suppress(OSError, ValueError):  # no such file; "max", where there is no limit
            most, now = (int((folder / name).read_text()) for name in (limit, used))
            return [max(0, most - now + _cached(folder / "memory.stat", cached))]
    return []


def _cached(stat: Path, names: tuple[str, ...]) -> int:
    """Bytes of these names in a control group's statistics; 0 where it has none."""
    with suppress(OSError, ValueError):
        found = dict(line.split() for line in stat.read_text().splitlines())
        return sum(int(found.get(name, 0)) for name in names)
    return 0


def _left_in_address_space() -> list[int]:
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return [] if limit == resource.RLIM_INFINITY else [max(0, limit - psutil.Process().memory_info().vms)]
