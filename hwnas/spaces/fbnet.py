"""The space of FBNet (arXiv 1812.03443): 22 searched layers with nine candidates each, at 224x224."""

from __future__ import annotations

from hwnas.notation import Joined
from hwnas.space import OneOf, SearchSpace
from hwnas.spaces.widths import scaled
from hwnas.specs.conv import Conv
from hwnas.specs.head import Head
from hwnas.specs.mbconv import MBConv
from hwnas.specs.skip import Skip
from hwnas.specs.spec import Spec

STAGES = ((16, 1, 1), (24, 4, 2), (32, 4, 2), (64, 4, 2), (112, 4, 1), (184, 4, 2), (352, 1, 1))
"""Output channels, layers and stride of the first layer (table 1 of the paper)."""

KERNEL_EXPAND_GROUPS = ((3, 1, 1), (3, 1, 2), (3, 3, 1), (3, 6, 1), (5, 1, 1), (5, 1, 2), (5, 3, 1), (5, 6, 1))
"""The candidates in the order of HW-NAS-Bench (table 2 of the paper); index 8 is skip."""


def fbnet(resolution: int = 224, num_classes: int = 1000, width: float = 1.0) -> SearchSpace:
    """Stem, 22 searched layers in seven stages, and the head. Codes are written as ``7-8-1-8-...``.

    Skip is a 1x1 convolution where a layer changes the shape. Two details are those of MBConv, not of the paper: a
    block of expansion 1 without groups has no first 1x1 convolution, and the candidates' activation is ReLU.
    """
    channels = scaled(16, width)
    nodes: list[Spec | OneOf] = [Conv(3, channels, kernel=3, stride=2)]
    for stage_channels, layers, stage_stride in STAGES:
        out_channels = scaled(stage_channels, width)
        for i in range(layers):
            stride = stage_stride if i == 0 else 1
            candidates: list[Spec] = [
                MBConv(channels, out_channels, kernel, expand, stride, groups=groups)
                for kernel, expand, groups in KERNEL_EXPAND_GROUPS
            ]
            nodes.append(OneOf(f"layer {len(nodes)}", (*candidates, Skip(channels, out_channels, stride))))
            channels = out_channels
    nodes.append(Head(channels, scaled(1984, width), num_classes, dropout=0.2))
    options = {"resolution": resolution, "num_classes": num_classes, "width": width}
    return SearchSpace("fbnet", tuple(nodes), (3, resolution, resolution), options, notation=Joined("-"))
