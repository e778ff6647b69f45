"""Local: this machine as a device of its own, through the same shell scripts as a phone or a board."""

from __future__ import annotations

from pathlib import Path

from hwnas.files import cache_folder
from hwnas.transports.carrying import Carrying
from hwnas.transports.client import ClientEnd, run_client


class Local(Carrying):
    """The Transport to this machine."""

    name = "local"
    cure = "Something ended the shell that hwnas had started here; try again."

    def __init__(self, folder: str | Path | None = None) -> None:
        """`folder`: where the files go; None: a folder of this user's cache."""
        self._folder = str(Path(folder or cache_folder() / "local").absolute())

    @property
    def folder(self) -> str:
        """As `Transport.folder`."""
        return self._folder

    def reconnect(self, timeout_s: float = 60.0) -> None:
        """Nothing to do: this machine is never lost to itself, and other processes may work in the same folder."""

    def _client(self, script: str, timeout_s: float, source: Path | None = None) -> ClientEnd:
        return run_client(["sh", "-c", script], timeout_s, "hwnas needs a POSIX shell on its PATH.", source)
