"""A network run in PyTorch: its outputs, and the line of its own code where an error was raised."""

from __future__ import annotations

import linecache
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hwnas.errors import HwnasError

_NOT_THE_USERS = (Path(torch.__file__).parent, Path(__file__).parents[1])


def outputs_of(module: nn.Module, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """The outputs of a module for float32 `inputs`, which it gets a copy of: it may work in place.

    Raises HwnasError, with PyTorch's words, if the module fails on them.
    """
    try:
        with torch.inference_mode():
            outputs: NDArray[np.float32] = module(torch.from_numpy(inputs.copy())).numpy()
            return outputs
    except Exception as error:  # the forward method is the user's: it may raise anything
        raise HwnasError(
            f"cannot export {type(module).__name__}: PyTorch itself fails on an input of shape {inputs.shape}: {error}."
            f" Pass the shape that the network is for.{line_of_the_user(error.__traceback__)}"
        ) from error


def line_of_the_user(traceback: TracebackType | None) -> str:
    """Where the user's code was when an error was raised, as a sentence; empty where it was not in it."""
    where = ""
    while traceback is not None:
        file, line = traceback.tb_frame.f_code.co_filename, traceback.tb_lineno
        if not any(Path(file).is_relative_to(folder) for folder in _NOT_THE_USERS):
            where = f" The call is in {file}, line {line}: {linecache.getline(file, line).strip()}"
        traceback = traceback.tb_next
    return where
