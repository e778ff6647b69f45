"""What every runtime and session checks about its arguments before native code sees them."""

from __future__ import annotations

import numpy as np

from hwnas.errors import UsageError


def check_threads(threads: int) -> None:
    """Raise UsageError unless a session can run on this number of threads."""
    if threads < 1:
        raise UsageError(f"a model runs on at least 1 thread, threads is {threads}; give the number of cores to use.")


def check_input(x: np.ndarray, shape: tuple[int, ...]) -> None:
    """Raise UsageError unless `x` is float32 and of the model's input shape (NCHW for an image)."""
    if x.dtype != np.float32 or x.shape != shape:
        raise UsageError(
            f"the model takes float32 {shape}, it was given {x.dtype} {x.shape}; convert the input (NCHW)."
        )
