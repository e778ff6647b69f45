"""Checkpoints: everything a search needs to go on as if it had never stopped. Nothing in them can run code."""

from __future__ import annotations

import errno
import logging
import zipfile
from pathlib import Path
from typing import Any

import torch

from hwnas.errors import HwnasError
from hwnas.files import sync, write_atomically

UNREADABLE = (errno.EACCES, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EPERM, errno.ESTALE)
"""Errors that say nothing of the content of a file."""


class DamagedCheckpoint(HwnasError):
    """A file that is no checkpoint, or no more."""


def previous(path: Path) -> Path:
    """Where the checkpoint before the newest is: ``checkpoint.previous.pt``."""
    return path.with_suffix(f".previous{path.suffix}")


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors, numbers, strings, lists and dicts of them) atomically, and keep the one before.

    Raises HwnasError if it cannot be written; those that are there are then untouched.
    """

    def write(temporary: Path) -> None:
        try:
            torch.save(state, temporary)
        except RuntimeError as error:  # torch reports a full disk so
            raise OSError(f"{error}") from error
        sync(temporary)
        if path.exists():  # only now, with the new one on the disk
            path.replace(previous(path))

    write_atomically(path, write)


def load_newest(path: Path) -> dict[str, Any] | None:
    """The newest checkpoint that is whole, of `path` and the one before it; None if neither is there.

    Raises HwnasError if all that are there are damaged, or the newest cannot be read just now.
    """
    there = [each for each in (path, previous(path)) if each.exists()]
    for each in there:
        try:
            state = load_checkpoint(each)
        except DamagedCheckpoint as error:
            if each == there[-1]:
                others = f", and so is {there[0]}" if len(there) > 1 else ""
                raise HwnasError(f"{error}{others}. {CURE}") from error
            logging.getLogger(__name__).warning("%s; going on from %s, the one before it.", error, previous(path))
        else:
            if each != path:  # what is damaged must never take the place of this one
                path.unlink(missing_ok=True)
            return state
    return None


CURE = (
    "Delete it to start this run again from its first step, or restore it; its configuration and exports are not "
    "affected."
)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint to the CPU.

    Raises DamagedCheckpoint if it is damaged or no checkpoint, HwnasError if it cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:  # torch itself checks no checksum
            damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"the checksum of {damaged}")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a file of random bytes makes the unpickler raise anything
        if isinstance(error, OSError) and error.errno in UNREADABLE:
            raise HwnasError(f"the checkpoint {path} cannot be read: {error.strerror}; repeat the command.") from error
        if isinstance(error, MemoryError) or "allocate memory" in str(error):  # its checksums were right
            raise HwnasError(
                f"there is not enough memory to read the checkpoint {path}. Free some, and repeat the command."
            ) from error
        raise DamagedCheckpoint(f"the checkpoint {path} is damaged ({type(error).__name__})") from error
    if not isinstance(state, dict):
        raise DamagedCheckpoint(f"{path} is no checkpoint of hwnas")
    return state
