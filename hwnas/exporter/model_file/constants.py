"""Constants of a model file, so that equal ones are stored once: a layer that is called twice has one weight."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Reference = TypeVar("Reference")

_FIRST = 16
"""Values that tell arrays apart before they are compared: to hash a whole weight takes longer than to copy it."""


class Constants(Generic[Reference]):
    """The arrays that were stored, and the index or name of each in the file."""

    def __init__(self) -> None:
        self._stored: defaultdict[tuple[object, ...], list[tuple[NDArray[Any], Reference]]] = defaultdict(list)

    def find(self, array: NDArray[Any]) -> Reference | None:
        """The reference to an equal array of the same shape and type; None if there is none yet."""
        equal = (reference for stored, reference in self._stored[_key(array)] if np.array_equal(stored, array))
        return next(equal, None)

    def add(self, array: NDArray[Any], reference: Reference) -> Reference:
        """Remember where an array is stored; returns the reference."""
        self._stored[_key(array)].append((array, reference))
        return reference


def _key(array: NDArray[Any]) -> tuple[object, ...]:
    return array.dtype, array.shape, array.ravel()[:_FIRST].tobytes()


def fits_float16(array: NDArray[Any]) -> bool:
    """Whether no value of a weight is beyond the range of float16, which ends at 65504."""
    return bool(np.abs(array).max(initial=0) <= np.finfo(np.float16).max)
