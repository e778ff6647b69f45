"""EfficientNet-Lite0 (tensorflow/tpu, `efficientnet/lite`): EfficientNet-B0 without squeeze-and-excitation, ReLU6."""

from __future__ import annotations

from hwnas.networks.inverted import stages
from hwnas.space import Architecture
from hwnas.spaces.lite import STAGES
from hwnas.specs.conv import Conv
from hwnas.specs.head import Head


def efficientnet_lite0(width: float, resolution: int, num_classes: int) -> Architecture:
    """16 inverted residuals. Stem and head keep their channels at any width, as in the family's larger members."""
    blocks = stages(32, STAGES, width, "relu6", "same")
    head = Head(blocks[-1].out_channels, 1280, num_classes, dropout=0.2, activation="relu6")
    nodes = (Conv(3, 32, stride=2, activation="relu6", padding="same"), *blocks, head)
    return Architecture(nodes, (3, resolution, resolution))
