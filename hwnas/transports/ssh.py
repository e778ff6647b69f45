"""Ssh: boards, through the system's `ssh`, as the user has configured it."""

from __future__ import annotations

import re
import shutil
import weakref
from contextlib import suppress
from pathlib import Path

from hwnas.errors import HwnasError, UsageError
from hwnas.temporary import make_temporary_folder
from hwnas.transports.base import DeviceError
from hwnas.transports.client import ClientEnd, run_client
from hwnas.transports.file_transfer import FileTransfer
from hwnas.transports.own_folder import checked_folder, own_folder
from hwnas.transports.shell import cause, quoted
from hwnas.transports.shell_transport import PROBE_S, SHORT_S

INSTALL = "install OpenSSH's client (Debian, Ubuntu: apt install openssh-client)."

OPTIONS = {
    "BatchMode": "yes",  # never ask a person
    "ConnectTimeout": "10",
    "ServerAliveInterval": "5",
    "ServerAliveCountMax": "3",
    "LogLevel": "ERROR",
    "ClearAllForwardings": "yes",
    "RemoteCommand": "none",
    "RequestTTY": "no",
    # one connection for all commands: agreeing on keys costs a board a second of work, and heat
    "ControlMaster": "auto",
    "ControlPersist": "60",
}

REFUSED = re.compile(rb"Permission denied \(|Host key verification failed|Too many authentication failures|Bad owner")
"""The words of ssh when trying again will not help."""


class Ssh(FileTransfer):
    """The Transport to one board. Files go through the same `ssh`: a board needs no SFTP server."""

    kind = "ssh"
    address_field = "host"

    def __init__(self, host: str, folder: str | None = None) -> None:
        """Name a board; nothing is connected yet.

        Args:
            host: as in ``ssh HOST``: user@board, a name from the ssh configuration, or ssh://user@board:port.
            folder: absolute path on the board, below which a folder of their own is made for the files; None:
                ``.cache/hwnas`` in the user's home, which the board is asked for.

        Raises:
            UsageError: the host or the folder cannot be one.
        """
        if not re.fullmatch(r"[A-Za-z0-9_\[][A-Za-z0-9._%@:/\[\]-]*", host) or "@-" in host or "//-" in host:
            raise UsageError(
                f"{host!r} is no host: it must be what stands after `ssh`, such as pi@raspberrypi.local, of letters, "
                "digits and . _ - % @ : / [ ]."
            )
        self._folder = None if folder is None else own_folder(checked_folder(folder))
        self.host = host
        self.name = f"ssh {host}"
        self.cure = f"Look whether it is on and in the network, and whether `ssh {host}` reaches it."
        sockets = str(make_temporary_folder())  # this user's only, and short, as paths of sockets must be
        options = OPTIONS | {"ControlPath": f"{sockets}/socket"}
        self._ssh = ["ssh", "-T", *(f"-o{name}={value}" for name, value in options.items())]
        weakref.finalize(self, _close, [*self._ssh, "-O", "exit", "--", host], sockets)

    @classmethod
    def connect(cls, address: str | None, folder: str | None, device_name: str) -> Ssh:
        """As `TransportKind.connect`. Raises UsageError without a host: no board is there by itself."""
        if address is None:
            raise UsageError(
                f"the device file of {device_name} names no host to reach by ssh; copy it into devices/ of your folder "
                'and set host = "user@board" there, as in `ssh user@board`.'
            )
        return cls(address, folder)

    @property
    def folder(self) -> str:
        """As `Transport.folder`. The first time, this may ask the board. Raises as `run` does."""
        if self._folder is None:
            home = self._shell("cd && pwd", SHORT_S).completed().output.strip()
            self._folder = own_folder(checked_folder(f"{home.rstrip('/')}/.cache/hwnas"))
        return self._folder

    def _client(self, script: str, timeout_s: float, source: Path | None = None) -> ClientEnd:
        # through `sh`, as the user's own shell may be another kind
        return run_client([*self._ssh, "--", self.host, f"sh -c {quoted(script)}"], timeout_s, INSTALL, source)

    def _lost(self, said: bytes) -> DeviceError:
        if REFUSED.search(said):
            return DeviceError(
                f"{self.name} does not let hwnas in: {cause(said)}. Run `ssh {self.host}` once by hand: accept "
                "the board's key, and bring your own there with ssh-copy-id, so that no password is asked for."
            )
        return super()._lost(said)

    def _connect_again(self, timeout_s: float) -> None:
        run_client([*self._ssh, "-O", "exit", "--", self.host], timeout_s, INSTALL)


def _close(command: list[str], sockets: str) -> None:
    """End the shared connection, and delete the folder of its socket."""
    with suppress(HwnasError):
        run_client(command, PROBE_S, INSTALL)
    shutil.rmtree(sockets, ignore_errors=True)
