"""Temporary files and folders, and what of them a killed hwnas leaves: their names tell whose they are.

The name of whatever is temporary holds an owner's mark: the machine, the process, and a random number. So a later hwnas
knows what is left of a process that has ended, and takes nothing of one that runs, here or on another machine that
shares the folder.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import psutil

from hwnas.errors import HwnasError

OWNER = r"(?P<machine>[0-9a-f]{6})-(?P<process>[0-9a-f]{6})-[0-9a-f]{6}"
"""A regular expression of the names that `owner` returns: machine, process and random number, in hexadecimal."""

FOLDERS = re.compile(f"hwnas-{OWNER}")
FILES = re.compile(rf"\.hwnas-{OWNER}\.part")


def owner() -> str:
    """A name that nothing else has, which says that this process is the owner; 20 characters, as in `OWNER`."""
    return f"{_machine()}-{os.getpid():06x}-{secrets.token_hex(3)}"


def temporary_name() -> str:
    """A name for a file that is not yet whole, as `remove_abandoned_files` knows it."""
    return f".hwnas-{owner()}.part"


def is_abandoned(name: str, names: re.Pattern[str]) -> bool:
    """Whether `name` is one of `names`, which holds `OWNER`, and its owner a process of this machine that has ended."""
    found = names.fullmatch(name)
    return bool(found and found["machine"] == _machine() and not psutil.pid_exists(int(found["process"], 16)))


@contextmanager
def temporary_folder(parent: Path | None = None) -> Iterator[Path]:
    """A new folder that is deleted at the end; before, what killed processes left of such ones.

    Args:
        parent: where to make it; None: the system's folder of temporary files.

    Raises:
        HwnasError: it cannot be made.
    """
    folder = make_temporary_folder(parent)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def make_temporary_folder(parent: Path | None = None) -> Path:
    """The same folder for one who deletes it himself. Raises HwnasError if it cannot be made."""
    parent = parent or Path(tempfile.gettempdir())
    remove_abandoned_folders(parent)
    folder = parent / f"hwnas-{owner()}"
    try:
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise HwnasError(
            f"cannot make a temporary folder in {parent}: {error.strerror}. Make room or make it writable, or name "
            "another with TMPDIR."
        ) from error
    return folder


def remove_abandoned_folders(parent: Path) -> None:
    """Delete the temporary folders in `parent` of this user's processes that were killed."""
    for entry in _entries(parent):
        if is_abandoned(entry.name, FOLDERS) and entry.is_dir(follow_symlinks=False) and _is_mine(entry):
            shutil.rmtree(entry.path, ignore_errors=True)


def remove_abandoned_files(folder: Path, names: re.Pattern[str] = FILES) -> None:
    """Delete the files in `folder` that killed processes of this user left, without those in folders below it.

    Args:
        folder: need not exist.
        names: of the files; holds `OWNER`.
    """
    for entry in _entries(folder):
        if is_abandoned(entry.name, names) and entry.is_file(follow_symlinks=False) and _is_mine(entry):
            with suppress(OSError):
                Path(entry.path).unlink()


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def _is_mine(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.stat(follow_symlinks=False).st_uid == os.getuid()
    except OSError:
        return False


@cache
def _machine() -> str:
    """This machine, and in a container this container: process numbers are compared within it only."""
    about = [socket.gethostname()]
    with suppress(OSError):
        about.append(Path("/etc/machine-id").read_text())
    with suppress(OSError):
        about.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256("\n".join(about).encode()).hexdigest()[:6]
