"""The options of every space and every known network, and their ranges."""

from __future__ import annotations

from numbers import Real

from hwnas.arguments import whole_number
from hwnas.errors import UsageError
from hwnas.text import excerpt


def checked_options(
    resolution: int | None, num_classes: int | None, width: float | None
) -> tuple[int | None, int | None, float | None]:
    """The options as numbers of Python; None is an option that was not given. Raises UsageError out of range."""
    if resolution is not None:
        resolution = whole_number(resolution, "the resolution, in pixels,", 8, 1024)
    if num_classes is not None:
        num_classes = whole_number(num_classes, "the number of classes", 2)
    if width is not None and (not isinstance(width, Real) or not 0.05 <= width <= 8):
        raise UsageError(f"the width multiplier must be between 0.05 and 8, not {excerpt(width)}.")
    return resolution, num_classes, None if width is None else float(width)
