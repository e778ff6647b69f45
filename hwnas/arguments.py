"""What a function of the library checks of its arguments before it begins: a wrong one is said where it was given."""

from __future__ import annotations

from operator import index
from typing import Any

from hwnas.errors import UsageError
from hwnas.text import excerpt


def whole_number(value: Any, name: str, least: int, most: int | None = None) -> int:
    """A whole number of Python's or numpy's, as Python's. Raises UsageError for anything else, or out of range."""
    range_ = f"of {least} or more" if most is None else f"from {least} to {most}"
    try:
        number = index(value)
    except TypeError:
        raise UsageError(f"{name} must be a whole number {range_}, not {excerpt(value)}.") from None
    if number < least or (most is not None and number > most):
        raise UsageError(f"{name} must be a whole number {range_}, not {number}.")
    return number


def expect(value: Any, kind: type | tuple[type, ...], name: str, wanted: str) -> None:
    """Raise UsageError, saying what is wanted, for an argument that is no object of a kind."""
    if not isinstance(value, kind):
        raise UsageError(f"{name} must be {wanted}, not {excerpt(value)}.")
