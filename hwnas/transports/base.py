"""The way to a device: the Transport protocol, its answers, and the ways in which it fails.

A Transport runs commands and moves files, and knows nothing of models. Implementations pass
`tests/test_transports.py`: `local` (this machine), `adb` (a phone), `ssh` (a board).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hwnas.errors import HwnasError


class DeviceError(HwnasError):
    """The device failed at a task; the message names the device, what happened and the cure."""


class DeviceLost(DeviceError):
    """The connection ended, or was never there: the task may or may not be done. Reconnect, repeat."""


class DeviceTimeout(DeviceError):
    """The device is there and did not finish in time; the program there was ended."""


class DeviceFull(DeviceError):
    """The device has no room for a file; nothing of it is left there."""


@dataclass(frozen=True)
class Completed:
    """A command that ended on the device."""

    exit_code: int
    """As the device's shell has it: 127 not found, 126 not executable, 128 + N ended by signal N."""
    output: str
    """Its standard output, as text; bytes that are no UTF-8 are replaced."""
    error: str
    """Its standard error."""


@dataclass(frozen=True)
class Core:
    """One CPU core as the device reports it; None where it does not tell."""

    number: int
    max_khz: int | None
    capacity: int | None
    """Relative speed, 1024 for the fastest core of the chip."""
    online: bool


@dataclass(frozen=True)
class Facts:
    """Facts about a device, the same between two measurements. None: the device does not tell."""

    system: str | None
    """``Linux``: what ``uname -s`` prints."""
    architecture: str | None
    """``aarch64`` or ``x86_64``: what ``uname -m`` prints."""
    kernel: str | None
    os_version: str | None
    """Such as ``Android 14`` or ``Debian GNU/Linux 12 (bookworm)``."""
    abi: str | None
    """Android's name for the kind of its programs, such as ``arm64-v8a``."""
    model: str | None
    """Its name for people: ``Pixel 8``, ``Raspberry Pi 5 Model B Rev 1.0``, or the CPU's name."""
    manufacturer: str | None
    soc: str | None
    """The chip, such as ``Tensor G3`` or ``SM8550``."""
    cpu: str | None
    cores: tuple[Core, ...]
    memory_kb: int | None
    allowed_cores: tuple[int, ...] | None = None
    """The cores that programs of hwnas may use there."""


@dataclass(frozen=True)
class Health:
    """How a device is at this moment. None: unknown, because the device does not tell or does not let us read it."""

    governor: str | None = None
    """Of the first core asked about."""
    frequency_khz: int | None = None
    """Current, of the first core asked about."""
    max_frequency_khz: int | None = None
    """The highest frequency of that core now: below its hardware's maximum while it is throttled."""
    temperature_celsius: float | None = None
    """Of the hottest CPU sensor."""
    battery_celsius: float | None = None
    battery_percent: int | None = None
    plugged: bool | None = None
    thermal_status: int | None = None
    """Android's, from 0 (none) and 1 (light) to 6 (shutdown)."""
    load_average: float | None = None
    uptime_s: float | None = None
    """Seconds since it started: smaller than before means that it was started again."""
    free_bytes: int | None = None
    """Room where hwnas keeps its files."""


class Transport(Protocol):
    """The way to one device. All file names are plain names within `folder`, which is made when it is needed."""

    name: str
    """For people: ``adb 0A1B2C3D``, ``ssh pi@board``, ``local``."""

    @property
    def folder(self) -> str:
        """Absolute POSIX path of the folder on the device that hwnas made for its files, shared by every process.

        `hwnas.transports.own_folder` says how it is told from a folder of a person's.
        """
        ...

    def run(self, arguments: Sequence[str], timeout_s: float = 30.0) -> Completed:
        """Run one program on the device, in `folder`, and wait for it.

        Args:
            arguments: Program and arguments, as the program is to get them: each reaches it unchanged, whatever
                characters it holds. A program without a slash is looked up on the device's PATH.
            timeout_s: After so long the program is ended on the device.

        Raises:
            DeviceLost: the connection ended before the program did.
            DeviceTimeout: it ran longer than `timeout_s`, or the device gives no answer.
            UsageError: an argument holds a NUL character, which none can.
        """
        ...

    def push(self, source: Path, name: str, executable: bool = False) -> bool:
        """Bring a file to the device as ``folder/name``, whole or not at all.

        It travels under another name, is compared there by SHA-256 and renamed. Returns False if the device had it
        already, with the same content. Raises DeviceFull, DeviceLost, DeviceTimeout, or DeviceError for another reason.
        """
        ...

    def pull(self, name: str, target: Path) -> None:
        """Fetch ``folder/name``, whole or not at all (compared by SHA-256). Raises as `push` does."""
        ...

    def remove(self, *names: str) -> None:
        """Delete files of `folder`; those that are not there are as good as deleted."""
        ...

    def remove_matching(self, *patterns: str) -> None:
        """Delete the files of `folder` whose names match patterns of a shell; never a folder or a symbolic link."""
        ...

    def facts(self) -> Facts:
        """The device's own facts. Raises DeviceLost or DeviceTimeout."""
        ...

    def health(self, cores: Sequence[int] = (0,)) -> Health:
        """How it is now, and how fast `cores` run. Raises DeviceLost or DeviceTimeout."""
        ...

    def reconnect(self, timeout_s: float = 60.0) -> None:
        """Wait until the device answers again, and end whatever a lost connection left running in `folder`.

        Raises DeviceLost if it does not answer in time.
        """
        ...
