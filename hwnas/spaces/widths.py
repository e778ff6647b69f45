"""Channel counts under a width multiplier."""

from __future__ import annotations


def scaled(channels: int, width: float, divisor: int = 8) -> int:
    """`channels` times `width`, rounded to a multiple of `divisor` and never more than 10 % down (as MobileNetV2)."""
    if width == 1.0:
        return channels
    rounded = max(divisor, int(channels * width + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * channels * width else rounded + divisor
