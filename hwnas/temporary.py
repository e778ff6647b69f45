"""Temporary folders, none of which stays: not even what a process that was killed has left."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hwnas.errors import HwnasError
from hwnas.locks import locked

PREFIX = "hwnas-"


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A new folder for as long as it is needed; those of processes that were killed before are removed.

    Each is locked by its owner: what is not has none any more.
    """
    _remove_ownerless_folders()
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        with locked(folder):
            if not folder.is_dir():  # another process took it for ownerless before it was locked
                continue
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            return


def _remove_ownerless_folders() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}????????"):
        with suppress(OSError, HwnasError):  # somebody else's, or in use
            if folder.stat().st_uid == os.getuid():
                with locked(folder):
                    shutil.rmtree(folder, ignore_errors=True)
