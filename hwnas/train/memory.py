"""How much memory this process and its workers may take."""

from __future__ import annotations

import resource
from contextlib import suppress
from pathlib import Path

import psutil

CGROUPS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)
"""Limit and use of a container, as version 2 and version 1 of Linux's control groups say them."""


def available_bytes() -> int:
    """Bytes that can be taken before the system swaps or ends a process: of the machine, or of the container."""
    return min([int(psutil.virtual_memory().available), *_left_in_container(), *_left_in_address_space()])


def _left_in_container() -> list[int]:
    for limit, used in CGROUPS:
        with suppress(OSError, ValueError):  # no such file; "max", where there is no limit
            return [max(0, int(limit.read_text()) - int(used.read_text()))]
    return []


def _left_in_address_space() -> list[int]:
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return [] if limit == resource.RLIM_INFINITY else [max(0, limit - psutil.Process().memory_info().vms)]
