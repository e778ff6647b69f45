"""This machine: its identity, its health, and the cores that this process runs on, as far as it tells."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import psutil

from hwnas.errors import HwnasError
from hwnas.transports.base import Health
from hwnas.transports.health import kernel_files, kernel_health

CGROUPS, OWN_CGROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
"""Where Linux keeps its control groups, and where it names those of this process."""


def machine_identity() -> dict[str, Any]:
    """It must be equal before numbers of two machines are mixed: system, architecture, cpu, core_count."""
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "cpu": _cpu_model(),
        "core_count": os.cpu_count(),
    }


def cpu_quota_cores(hierarchy: Path = CGROUPS, own: Path = OWN_CGROUPS) -> float | None:
    """How many cores' worth of time Linux grants this process, as ``docker run --cpus`` limits it; None: no limit.

    The narrowest limit of its control group and of those around it counts; of version 1 there is one file for both.
    """
    names = [line.split(":", 2)[2].lstrip("/") for line in _lines(own) if line.startswith("0::")]
    around = [folder for name in names for folder in (Path(name), *Path(name).parents)]
    limits = [_lines(hierarchy / folder / "cpu.max") for folder in around]
    pairs = [tuple(lines[0].split()) for lines in limits if lines]
    one = [_lines(hierarchy / "cpu" / f"cpu.cfs_{name}_us") for name in ("quota", "period")]
    pairs += [(one[0][0], one[1][0])] if all(one) else []
    shares = [int(quota) / int(period) for quota, period in pairs if quota.isdigit() and int(period)]
    return min(shares, default=None)


def machine_health(core: int = 0, root: Path = Path("/")) -> Health:
    """How this machine is now, and at what speed `core` runs. It costs about a millisecond and starts no process.

    `root`: where the kernel's files lie. Temperatures are read as on every device: see `kernel_health`.
    """
    kernel = kernel_health(_kernel_files(core, root))
    battery_percent, plugged = _battery()
    return replace(
        kernel,
        frequency_khz=kernel.frequency_khz or _frequency_khz(),
        battery_percent=battery_percent,
        plugged=plugged,
        load_average=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        # not the time since `psutil.boot_time`: that moves when somebody sets the clock
        uptime_s=time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else None,
        free_bytes=shutil.disk_usage(tempfile.gettempdir()).free,
    )


def allowed_cores() -> list[int] | None:
    """The cores that this process may run on; None: the system does not tell."""
    if hasattr(os, "sched_getaffinity"):  # Linux: of the calling thread; psutil's is the main thread's
        return sorted(os.sched_getaffinity(0))
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
    before = allowed_cores()
    if before is None:
        raise HwnasError('this system cannot pin a process to cores; set cores = "any" in the device file.')
    if not set(cores) <= set(before):
        raise HwnasError(
            f"the device names the cores {list(cores)}, but this process may run on {before} only; correct `cores` in "
            f'the device file, or set it to "any".'
        )
    _run_on(list(cores))
    try:
        yield
    finally:
        _run_on(before)


def _run_on(cores: list[int]) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    else:
        psutil.Process().cpu_affinity(cores)


def _lines(path: Path) -> list[str]:
    """Of a file; none where it cannot be read."""
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []


def _cpu_model() -> str | None:
    """The CPU's name; Linux has it under another key on each architecture, single-board computers as the board's."""
    fields = dict(line.split(":", 1) for line in _lines(Path("/proc/cpuinfo")) if ":" in line)
    named = {key.strip(): value.strip() for key, value in fields.items()}
    for key in ("model name", "Hardware", "Model", "CPU part"):
        if named.get(key):
            return named[key]
    return platform.processor() or None


def _kernel_files(core: int, root: Path) -> dict[str, str]:
    """The content of the files that `kernel_health` reads, by path; this process reads them, not a script."""
    found: dict[str, str] = {}
    for path in (path for pattern in kernel_files(core) for path in root.glob(pattern.lstrip("/"))):
        with suppress(OSError):  # a sensor that is off gives an error instead of a number
            found[f"/{path.relative_to(root)}"] = path.read_text(errors="replace").rstrip("\n")
    return found


def _frequency_khz() -> int | None:
    with suppress(OSError, NotImplementedError, RuntimeError, AttributeError):
        frequency = psutil.cpu_freq()
        return round(1000 * frequency.current) if frequency else None
    return None


def _battery() -> tuple[int | None, bool | None]:
    """Percent and whether it is plugged in; psutil has the function only where a machine can have a battery."""
    with suppress(OSError, AttributeError):
        battery = psutil.sensors_battery()
        return (None, None) if battery is None else (round(battery.percent), battery.power_plugged)
    return None, None
