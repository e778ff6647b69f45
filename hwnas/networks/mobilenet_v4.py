"""MobileNetV4-Conv-Small (arXiv 2404.10518, table 11; tensorflow/models, `mobilenet.py`)."""

from __future__ import annotations

from hwnas.space import Architecture
from hwnas.spaces.widths import scaled
from hwnas.specs.conv import Conv
from hwnas.specs.head import Head
from hwnas.specs.spec import Spec
from hwnas.specs.universal_bottleneck import UniversalBottleneck

CONVOLUTIONS = ((3, 32, 2), (3, 32, 2), (1, 32, 1), (3, 96, 2), (1, 64, 1))
"""Kernel, output channels and stride: the stem, and two fused inverted bottlenecks."""

BOTTLENECKS = (
    (5, 5, 3, 96, 2),
    *((0, 3, 2, 96, 1),) * 4,
    (3, 0, 4, 96, 1),
    (3, 3, 6, 128, 2),
    (5, 5, 4, 128, 1),
    (0, 5, 4, 128, 1),
    (0, 5, 3, 128, 1),
    *((0, 3, 4, 128, 1),) * 2,
)
"""Kernel before the expansion and behind it, expansion, output channels, stride."""


def mobilenet_v4_conv_small(width: float, resolution: int, num_classes: int) -> Architecture:
    """Five convolutions and 12 universal inverted bottlenecks.

    The layer behind the pool has a bias instead of a batch norm, which is the same network once weights are folded.
    """
    channels, blocks = 3, list[Spec]()
    for kernel, base, stride in CONVOLUTIONS:
        blocks.append(Conv(channels, out := scaled(base, width), kernel, stride))
        channels = out
    for start, kernel, expand, base, stride in BOTTLENECKS:
        out = scaled(base, width)
        blocks.append(UniversalBottleneck(channels, out, start, kernel, expand, stride))
        channels = out
    blocks.append(Head(channels, scaled(960, width), num_classes, dropout=0.2, features=1280))
    return Architecture(tuple(blocks), (3, resolution, resolution))
