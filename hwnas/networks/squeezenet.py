"""SqueezeNet (arXiv 1602.07360), versions 1.0 and 1.1, as in torchvision."""

from __future__ import annotations

from hwnas.space import Architecture
from hwnas.spaces.widths import scaled
from hwnas.specs.conv_head import ConvHead
from hwnas.specs.fire import Fire
from hwnas.specs.pool import MaxPool
from hwnas.specs.spec import Spec
from hwnas.specs.unpadded_conv import UnpaddedConv

FIRES = ((16, 128), (16, 128), (32, 256), (32, 256), (48, 384), (48, 384), (64, 512), (64, 512))
"""Squeezed and output channels of the eight Fire modules (table 1 of the paper)."""


def squeezenet_1_0(width: float, resolution: int, num_classes: int) -> Architecture:
    """First convolution 7x7; pools before the first, fourth and eighth Fire module."""
    return _squeezenet(96, 7, (0, 3, 7), width, resolution, num_classes)


def squeezenet_1_1(width: float, resolution: int, num_classes: int) -> Architecture:
    """First convolution 3x3; pools before the first, third and fifth Fire module: 2.4 times fewer MACs."""
    return _squeezenet(64, 3, (0, 2, 4), width, resolution, num_classes)


def _squeezenet(
    stem: int, kernel: int, pools: tuple[int, ...], width: float, resolution: int, num_classes: int
) -> Architecture:
    channels = scaled(stem, width)
    blocks: list[Spec] = [UnpaddedConv(3, channels, kernel, stride=2)]
    for i, (squeezed, out) in enumerate(FIRES):
        if i in pools:
            blocks.append(MaxPool(channels, padded=False))
        blocks.append(Fire(channels, scaled(squeezed, width), scaled(out, width)))
        channels = scaled(out, width)
    blocks.append(ConvHead(channels, num_classes))
    return Architecture(tuple(blocks), (3, resolution, resolution))
