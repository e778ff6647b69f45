"""MobileNetV2 (arXiv 1801.04381, table 2)."""

from __future__ import annotations

from hwnas.networks.inverted import stages
from hwnas.space import Architecture
from hwnas.spaces.widths import scaled
from hwnas.specs.conv import Conv
from hwnas.specs.head import Head

STAGES = (
    (3, 1, 16, 1, 1),
    (3, 6, 24, 2, 2),
    (3, 6, 32, 3, 2),
    (3, 6, 64, 4, 2),
    (3, 6, 96, 3, 1),
    (3, 6, 160, 3, 2),
    (3, 6, 320, 1, 1),
)


def mobilenet_v2(width: float, resolution: int, num_classes: int) -> Architecture:
    """17 inverted residuals with ReLU6. The last convolution never has fewer than 1280 channels (section 6.1)."""
    stem = scaled(32, width)
    blocks = stages(stem, STAGES, width, "relu6")
    last = scaled(1280, max(1.0, width))
    head = Head(blocks[-1].out_channels, last, num_classes, dropout=0.2, activation="relu6")
    nodes = (Conv(3, stem, stride=2, activation="relu6"), *blocks, head)
    return Architecture(nodes, (3, resolution, resolution))
