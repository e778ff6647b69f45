"""Inputs and outputs that a file stores as integers: what they mean, and how a float32 array becomes one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class StoredTensor:
    """How a file stores an input or output: value = scale * (stored - zero point). float32 is stored as it is.

    A file that gives no scale, such as an .onnx that takes uint8 pixels, means the integers themselves.
    """

    dtype: np.dtype
    scale: float = 1.0
    zero_point: int = 0

    def stored(self, values: np.ndarray) -> np.ndarray:
        """float32 `values` as the file takes them: rounded, and cut off at the smallest and largest integer."""
        if self.dtype == np.float32:
            return values
        limits = np.iinfo(self.dtype)
        return np.clip(np.rint(values / self.scale + self.zero_point), limits.min, limits.max).astype(self.dtype)

    def values(self, stored: np.ndarray) -> np.ndarray:
        """What the file gave, as float32."""
        if self.dtype == np.float32:
            return stored
        return ((stored.astype(np.float32) - self.zero_point) * self.scale).astype(np.float32)


DTYPES = tuple(np.dtype(name) for name in ("float32", "uint8", "int8"))
"""What an input or output may be stored as."""
