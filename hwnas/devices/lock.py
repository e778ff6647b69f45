"""The device lock: nobody else on this machine measures on it, nothing of an earlier campaign runs, it stays awake."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from hwnas.devices.device import Device
from hwnas.errors import HwnasError
from hwnas.files import cache_folder
from hwnas.locks import lock
from hwnas.transports.base import DeviceError, Transport

ANSWERS_WITHIN_S = 15.0
"""How long a device may take to answer at the beginning; adb starts its server first."""

STAY_ON = "stay_on_while_plugged_in"
"""Android's setting behind ``svc power stayon``: a sum of 1 (charger), 2 (usb), 4 (wireless)."""
NEVER = b"0"


@contextmanager
def device_lock(device: Device, transport: Transport) -> Iterator[None]:
    """Lock a device that is reached by adb or ssh; this machine itself is not locked: it has cores for several.

    Raises HwnasError if another process has locked it, DeviceLost if it does not answer.
    """
    if device.transport == "local":
        yield
        return
    descriptor = _open_lock_file(transport)
    try:
        lock(
            descriptor,
            f"{device.name} ({transport.name}) is in use: another process measures on it, and both would disturb each "
            "other. Wait until it ends, or stop it.",
        )
        transport.reconnect(ANSWERS_WITHIN_S)
        _put_back(transport, descriptor)  # left by a campaign that was killed
        if device.stay_awake:
            _stay_awake(device, transport, descriptor)
        try:
            yield
        finally:
            with suppress(DeviceError):  # a lost device is put right when it is locked the next time
                _put_back(transport, descriptor)
    finally:
        os.close(descriptor)


def _open_lock_file(transport: Transport) -> int:
    """One file per device, in this user's own folder, for every version of hwnas alike."""
    path = cache_folder() / "locks" / f"{hashlib.sha256(transport.name.encode()).hexdigest()[:16]}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise HwnasError(
            f"cannot write {path}, which keeps a second campaign off {transport.name}: {error.strerror}. Make the "
            "folder writable, or set XDG_CACHE_HOME to one that is."
        ) from error


def _stay_awake(device: Device, transport: Transport, descriptor: int) -> None:
    """Keep the screen on; how it was before is in the lock file first, so that not even a kill loses it."""
    before = transport.run(["settings", "get", "global", STAY_ON]).output.strip()
    os.pwrite(descriptor, before.encode() if before.isdigit() else NEVER, 0)  # "null", where it was never set
    done = transport.run(["svc", "power", "stayon", "usb"])
    if done.exit_code:
        os.ftruncate(descriptor, 0)
        raise HwnasError(
            f"{device.name} is to stay awake, but cannot be told to: {' '.join(done.error.split())[:200]} Set "
            "stay_awake = false in its device file, and keep the screen on by hand."
        )


def _put_back(transport: Transport, descriptor: int) -> None:
    """The screen's setting as the lock file says it was, if it says so."""
    before = os.pread(descriptor, 20, 0)
    if before == NEVER:
        transport.run(["svc", "power", "stayon", "false"])
    elif before.isdigit():
        transport.run(["settings", "put", "global", STAY_ON, before.decode()])
    os.ftruncate(descriptor, 0)
