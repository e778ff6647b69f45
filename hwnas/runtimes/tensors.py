"""Inputs and outputs: float32 and NCHW for the caller, float32 or integers in the file; and the checks on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.errors import UsageError

DTYPES = tuple(np.dtype(name) for name in ("float32", "uint8", "int8"))
"""The types in which a file may store an input or output."""


@dataclass(frozen=True)
class StoredTensor:
    """How a file stores an input or output: value = scale * (stored - zero point). float32 is stored as it is.

    A file that gives no scale, such as an .onnx that takes uint8 pixels, means the integers themselves.
    """

    dtype: np.dtype[Any]
    scale: float = 1.0
    zero_point: int = 0

    def stored(self, values: NDArray[np.float32]) -> NDArray[Any]:
        """float32 `values` as the file takes them: rounded, and cut off at the smallest and largest integer."""
        if self.dtype == np.float32:
            return values
        limits = np.iinfo(self.dtype)
        rounded = np.rint(values / self.scale + self.zero_point)
        return np.asarray(np.clip(rounded, limits.min, limits.max), self.dtype)

    def values(self, stored: NDArray[Any]) -> NDArray[np.float32]:
        """Values of the file as float32."""
        if self.dtype == np.float32:
            return stored
        return ((stored.astype(np.float32) - self.zero_point) * self.scale).astype(np.float32)


def check_thread_count(threads: int) -> None:
    """Raise UsageError unless a session can run on this number of threads."""
    if threads < 1:
        raise UsageError(f"a model runs on at least 1 thread, threads is {threads}; give the number of cores to use.")


def check_input(x: NDArray[Any], shape: tuple[int, ...]) -> None:
    """Raise UsageError unless `x` is float32 and of the model's input shape (NCHW for an image)."""
    if x.dtype != np.float32 or x.shape != shape:
        raise UsageError(
            f"the model takes float32 {shape}, it was given {x.dtype} {x.shape}; convert the input (NCHW)."
        )
