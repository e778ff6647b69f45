"""MnasNet-B1, the variant without squeeze-and-excitation (arXiv 1807.11626; tensorflow/tpu, `mnasnet_models.py`)."""

from __future__ import annotations

from hwnas.networks.inverted import stages
from hwnas.space import Architecture
from hwnas.spaces.widths import scaled
from hwnas.specs.conv import Conv
from hwnas.specs.head import Head

STAGES = (
    (3, 1, 16, 1, 1),
    (3, 3, 24, 3, 2),
    (5, 3, 40, 3, 2),
    (5, 6, 80, 3, 2),
    (3, 6, 96, 2, 1),
    (5, 6, 192, 4, 2),
    (3, 6, 320, 1, 1),
)


def mnasnet(width: float, resolution: int, num_classes: int) -> Architecture:
    """The first of its blocks, a depthwise separable convolution, is an inverted residual of expansion 1."""
    stem = scaled(32, width)
    blocks = stages(stem, STAGES, width, "relu")
    head = Head(blocks[-1].out_channels, 1280, num_classes, dropout=0.2)
    return Architecture((Conv(3, stem, stride=2), *blocks, head), (3, resolution, resolution))
