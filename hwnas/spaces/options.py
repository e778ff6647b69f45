"""The options of every space and every known network, and their ranges."""

from __future__ import annotations

from hwnas.errors import UsageError


def check_options(resolution: int | None, num_classes: int | None, width: float | None) -> None:
    """Refuse an option out of range; None is an option that was not given. Raises UsageError."""
    if resolution is not None and not 8 <= resolution <= 1024:
        raise UsageError(f"the resolution must be between 8 and 1024 pixels, not {resolution}.")
    if num_classes is not None and num_classes < 2:
        raise UsageError(f"a classifier needs 2 classes or more, not {num_classes}.")
    if width is not None and not 0.05 <= width <= 8:
        raise UsageError(f"the width multiplier must be between 0.05 and 8, not {width}.")
