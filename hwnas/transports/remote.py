"""Remote: a device that can be lost, and how it is taken up again."""

from __future__ import annotations

import re
from abc import abstractmethod
from contextlib import suppress
from time import monotonic, sleep

from hwnas.errors import HwnasError, UsageError
from hwnas.transports.base import DeviceError, DeviceLost, DeviceTimeout
from hwnas.transports.carrying import Carrying
from hwnas.transports.commands import SHORT_S
from hwnas.transports.leftovers import end_leftovers

PROBE_S = 5.0
"""How long a device that is there may take to say so."""
PAUSE_S = (0.2, 5.0)
"""The first and the longest pause between two attempts; each is twice as long as the one before."""


class Remote(Carrying):
    """A Transport whose connection can end."""

    def reconnect(self, timeout_s: float = 60.0) -> None:
        """As `Transport.reconnect`."""
        end = monotonic() + timeout_s
        pause_s, longest_s = PAUSE_S
        while True:
            try:
                self._shell(":", min(PROBE_S, timeout_s))
                return self._end_leftovers()
            except (DeviceLost, DeviceTimeout) as error:
                if monotonic() + pause_s >= end:
                    raise DeviceLost(f"no connection within {timeout_s:g} s. {error}") from error
            with suppress(DeviceError):
                self._connect_again(max(1.0, min(PROBE_S, end - monotonic())))
            sleep(pause_s)
            pause_s = min(2 * pause_s, longest_s)

    @abstractmethod
    def _connect_again(self, timeout_s: float) -> None:
        """Let go of the connection, which does not work, and try to make another."""

    def _end_leftovers(self) -> None:
        alive = self._shell(end_leftovers(self.folder), SHORT_S).output.split()
        if alive:
            raise HwnasError(
                f"{self.name}: {len(alive)} programs of an earlier measurement cannot be ended and would disturb the "
                "next; start the device again."
            )


def checked_folder(folder: str) -> str:
    """A folder of a device. Raises UsageError if it is no absolute path on one line."""
    if not re.fullmatch(r"/[^\x00-\x1f\x7f]*[^\x00-\x1f\x7f/]", folder):
        raise UsageError(
            f"{folder!r} cannot be the device's folder: it must be an absolute path, such as /home/pi/hwnas."
        )
    return folder
