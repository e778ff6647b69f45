"""ShuffleNetV2 (arXiv 1807.11164, table 5)."""

from __future__ import annotations

from hwnas.errors import UsageError
from hwnas.space import Architecture
from hwnas.specs.conv import Conv
from hwnas.specs.head import Head
from hwnas.specs.pool import MaxPool
from hwnas.specs.shuffle_unit import ShuffleUnit
from hwnas.specs.spec import Spec

CHANNELS = {
    0.5: (48, 96, 192, 1024),
    1.0: (116, 232, 464, 1024),
    1.5: (176, 352, 704, 1024),
    2.0: (244, 488, 976, 2048),
}
"""Channels of the three stages and of the last convolution, by width."""

UNITS = (4, 8, 4)


def shufflenet_v2(width: float, resolution: int, num_classes: int) -> Architecture:
    """Sixteen units in three stages. Raises UsageError for a width that the paper does not have."""
    if width not in CHANNELS:
        raise UsageError(f"shufflenet-v2 has the widths {', '.join(map(str, CHANNELS))}, not {width}.")
    *stages, last = CHANNELS[width]
    channels = 24
    blocks: list[Spec] = [Conv(3, channels, stride=2), MaxPool(channels)]
    for out, units in zip(stages, UNITS, strict=True):
        for i in range(units):
            blocks.append(ShuffleUnit(channels, out, stride=2 if i == 0 else 1, even_split=i == 0))
            channels = out
    blocks.append(Head(channels, last, num_classes))
    return Architecture(tuple(blocks), (3, resolution, resolution))
