"""EfficientNet-Lite0 (tensorflow/tpu, `efficientnet/lite`): EfficientNet-B0 without squeeze-and-excitation, ReLU6."""

from __future__ import annotations

from hwnas.networks.inverted import stages
from hwnas.space import Architecture
from hwnas.spec import Conv, Head

STAGES = (
    (3, 1, 16, 1, 1),
    (3, 6, 24, 2, 2),
    (5, 6, 40, 2, 2),
    (3, 6, 80, 3, 2),
    (5, 6, 112, 3, 1),
    (5, 6, 192, 4, 2),
    (3, 6, 320, 1, 1),
)


def efficientnet_lite0(width: float, resolution: int, num_classes: int) -> Architecture:
    """16 inverted residuals. Stem and head keep their channels at any width, as in the family's larger members."""
    blocks = stages(32, STAGES, width, "relu6")
    head = Head(blocks[-1].out_channels, 1280, num_classes, dropout=0.2, activation="relu6")
    nodes = (Conv(3, 32, stride=2, activation="relu6"), *blocks, head)
    return Architecture(nodes, (3, resolution, resolution))
