"""Checkpoints: everything a search needs to go on as if it had never stopped. Nothing in them can run code."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from hwnas.errors import HwnasError
from hwnas.files import write_atomically


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors, numbers, strings, lists and dicts of them) atomically. Raises HwnasError if it cannot."""

    def write(temporary: Path) -> None:
        try:
            torch.save(state, temporary)
        except RuntimeError as error:  # torch reports a full disk so
            raise OSError(f"{error}") from error

    write_atomically(path, write)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint to the CPU. Raises HwnasError if it is damaged or no checkpoint."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, zipfile.BadZipFile, EOFError, OSError, ValueError) as error:
        raise HwnasError(
            f"the checkpoint {path} is damaged ({type(error).__name__}). Delete it to start this run again from its "
            "first step; its configuration and exports are not affected."
        ) from error
    if not isinstance(state, dict):
        raise HwnasError(f"{path} is no checkpoint of hwnas. Delete it to start this run again from its first step.")
    return state
