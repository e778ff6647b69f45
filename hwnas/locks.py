"""Locks: what two processes must not do at once. They end with their process, however it ends."""

from __future__ import annotations

import os
import weakref
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.errors import HwnasError

if TYPE_CHECKING:
    from filelock import FileLock

LOCK_FILE = ".lock"


class FolderInUse(HwnasError):
    """Another process works in a folder."""


def lock(descriptor: int, refusal: str) -> None:
    """Lock an open file until it is closed, however this process ends. Raises HwnasError(`refusal`) if another has."""
    try:
        import fcntl  # not on Windows
    except ImportError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise HwnasError(refusal) from None


class FolderLock:
    """A folder that only this process works in, for as long as this object lives; several in one process share it.

    The lock is a file that is gone when it ends. What a process that was killed leaves of it holds nobody up.
    """

    def __init__(self, folder: Path, wait_s: float = 0.0) -> None:
        """Lock a folder that is there. Raises HwnasError if another process has, or the folder cannot be written.

        Args:
            wait_s: seconds to wait for another process that has locked it.
        """
        from filelock import FileLock, Timeout

        path = folder / LOCK_FILE
        lock = FileLock(path, timeout=wait_s, is_singleton=True, thread_local=False)
        try:
            lock.acquire()
        except Timeout:
            raise FolderInUse(
                f"{folder} is in use: {_holder(path)} works in it, and two would spoil each other's files. Wait until "
                "it ends, stop it, or name another folder."
            ) from None
        except OSError as error:
            raise HwnasError(f"cannot lock {folder}: {error.strerror}. Make it writable, or name another.") from None
        with suppress(OSError):  # on a full disk it is a lock all the same
            path.write_text(f"{os.getpid()}\n")
        # also at the end of the process, and not by a process that was forked from this one
        self._release = weakref.finalize(self, _release, lock, path, os.getpid())

    def __enter__(self) -> FolderLock:
        return self

    def __exit__(self, *_: object) -> None:
        self._release()


def _holder(path: Path) -> str:
    with suppress(OSError, ValueError):
        return f"process {int(path.read_text())}"
    return "another process"


def _release(lock: FileLock, path: Path, pid: int) -> None:
    if os.getpid() == pid and lock.is_locked:
        if lock.lock_counter == 1:
            path.unlink(missing_ok=True)  # before it is released: a lock on a file without a name counts for nobody
        lock.release()
