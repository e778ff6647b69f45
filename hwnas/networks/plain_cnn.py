"""A plain convolutional network: what a person writes in five minutes, and every other network has to beat."""

from __future__ import annotations

from hwnas.space import Architecture
from hwnas.spaces.widths import scaled
from hwnas.specs.conv import Conv
from hwnas.specs.pool import MaxPool
from hwnas.specs.pool_head import PoolLinear
from hwnas.specs.spec import Spec

CHANNELS = (32, 64, 128, 128)
POOLS = 3
"""Convolutions that a pool follows: all but the last."""
LARGE_SIDE = 64
"""From so many pixels on the first convolution has stride 2."""


def plain_cnn(width: float, resolution: int, num_classes: int) -> Architecture:
    """Four convolutions of 3x3 with batch norm and ReLU, max pooling after the first three, a linear layer."""
    channels, blocks = 3, list[Spec]()
    for i, base in enumerate(CHANNELS):
        out = scaled(base, width)
        blocks.append(Conv(channels, out, stride=2 if i == 0 and resolution >= LARGE_SIDE else 1))
        if i < POOLS:
            blocks.append(MaxPool(out, kernel=2, padded=False))
        channels = out
    blocks.append(PoolLinear(channels, num_classes))
    return Architecture(tuple(blocks), (3, resolution, resolution))
