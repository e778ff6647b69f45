"""Channel counts under a width multiplier."""

from __future__ import annotations

from hwnas.specs.spec import divisible


def scaled(channels: int, width: float, divisor: int = 8) -> int:
    """`channels` times `width`, rounded to a multiple of `divisor` and never more than 10 % down (as MobileNetV2)."""
    return channels if width == 1.0 else divisible(channels * width, divisor)
