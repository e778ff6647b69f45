"""Local: this machine as a device of its own, through the same shell scripts as a phone or a board."""

from __future__ import annotations

import re
from pathlib import Path

from hwnas.files import cache_folder
from hwnas.temporary import remove_abandoned_files
from hwnas.transports.client import ClientEnd, run_client
from hwnas.transports.file_transfer import FileTransfer
from hwnas.transports.own_folder import MARKER, own_folder


class Local(FileTransfer):
    """The Transport to this machine."""

    kind = "local"
    address_field = None
    name = "local"
    cure = "Something ended the shell that hwnas had started here; try again."

    def __init__(self, folder: str | Path | None = None) -> None:
        """`folder`: below which the files go, into a folder of their own; None: a folder of this user's cache."""
        self._folder = own_folder(str(Path(folder or cache_folder() / "local").absolute()))

    @classmethod
    def connect(cls, _address: str | None, folder: str | None, _device_name: str) -> Local:
        """As `TransportKind.connect`; there is one such machine."""
        return cls(folder)

    @property
    def folder(self) -> str:
        """As `Transport.folder`."""
        return self._folder

    def remove_abandoned(self, names: re.Pattern[str]) -> None:
        """Delete the files of `folder` that killed processes left, as `remove_abandoned_files`."""
        folder = Path(self.folder)
        if not folder.is_symlink() and not (folder / MARKER).is_symlink() and (folder / MARKER).is_file():
            remove_abandoned_files(folder, names)

    def reconnect(self, timeout_s: float = 60.0) -> None:
        """Nothing to do: this machine is never lost to itself, and other processes may work in the same folder."""

    def _connect_again(self, timeout_s: float) -> None:
        """There is no connection."""

    def _client(self, script: str, timeout_s: float, source: Path | None = None) -> ClientEnd:
        return run_client(["sh", "-c", script], timeout_s, "hwnas needs a POSIX shell on its PATH.", source)
