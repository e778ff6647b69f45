"""MobileNetV1 (arXiv 1704.04861, table 1)."""

from __future__ import annotations

from hwnas.space import Architecture
from hwnas.spaces.widths import scaled
from hwnas.specs.conv import Conv
from hwnas.specs.pool_head import PoolLinear
from hwnas.specs.separable import Separable
from hwnas.specs.spec import Spec

LAYERS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
"""Output channels and stride of each depthwise separable convolution."""


def mobilenet_v1(width: float, resolution: int, num_classes: int) -> Architecture:
    """A convolution and 13 depthwise separable ones, all with ReLU6, as the authors' code has them."""
    channels = scaled(32, width)
    blocks: list[Spec] = [Conv(3, channels, stride=2, activation="relu6")]
    for base, stride in LAYERS:
        blocks.append(Separable(channels, out := scaled(base, width), 3, stride, "relu6"))
        channels = out
    blocks.append(PoolLinear(channels, num_classes))
    return Architecture(tuple(blocks), (3, resolution, resolution))
