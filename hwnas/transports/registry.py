"""Every kind of Transport, by the name that a device file gives it. Adding one is one module and one line here."""

from __future__ import annotations

from typing import Protocol

from hwnas.transports.adb import Adb
from hwnas.transports.base import Transport
from hwnas.transports.local import Local
from hwnas.transports.ssh import Ssh


class TransportKind(Protocol):
    """The class of a Transport, as far as `TRANSPORTS` needs it."""

    @property
    def kind(self) -> str:
        """The name that a device file gives it as its `transport`."""
        ...

    @property
    def address_field(self) -> str | None:
        """The field of a device file that says which of several devices it is; None: there is one only."""
        ...

    def connect(self, address: str | None, folder: str | None, device_name: str) -> Transport:
        """The way to one device; it may be asked later whether it is there.

        Args:
            address: the device file's `address_field`; None: it has none.
            folder: below which hwnas's files go on the device; None: the kind's own choice.
            device_name: for messages.

        Raises:
            UsageError: without an address the device is not known, or the address or folder cannot be one.
            DeviceLost: there is no device.
        """
        ...


KINDS: tuple[TransportKind, ...] = (Local, Adb, Ssh)
TRANSPORTS = {kind.kind: kind for kind in KINDS}
