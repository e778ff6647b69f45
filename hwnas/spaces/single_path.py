"""The space of Single-Path NAS (arXiv 1904.02877): 22 MBConv blocks, 20 of them searched, at 224x224."""

from __future__ import annotations

from hwnas.space import OneOf, SearchSpace
from hwnas.spaces.widths import scaled
from hwnas.specs.conv import Conv
from hwnas.specs.head import Head
from hwnas.specs.mbconv import MBConv
from hwnas.specs.skip import Skip
from hwnas.specs.spec import Spec

STAGES = ((24, 2), (40, 2), (80, 2), (96, 1), (192, 2))
"""Output channels and stride of the first block; four blocks each."""

KERNEL_EXPAND = ((3, 3), (3, 6), (5, 3), (5, 6))
"""The candidates in the order of the authors' latency table; index 4 is skip, which no first block of a stage has."""


def single_path(resolution: int = 224, num_classes: int = 1000, width: float = 1.0) -> SearchSpace:
    """Stem, a fixed MBConv, five stages of four searched blocks, a fixed MBConv, and the head.

    Source: dstamoulis/single-path-nas, `nas-search/supernet_macro.py`.
    """
    stem, first = scaled(32, width), scaled(16, width)
    nodes: list[Spec | OneOf] = [Conv(3, stem, kernel=3, stride=2), MBConv(stem, first, kernel=3, expand=1)]
    channels = first
    for stage_channels, stage_stride in STAGES:
        out_channels = scaled(stage_channels, width)
        for i in range(4):
            stride = stage_stride if i == 0 else 1
            candidates: list[Spec] = [MBConv(channels, out_channels, k, e, stride) for k, e in KERNEL_EXPAND]
            if i > 0:
                candidates.append(Skip(channels, out_channels))
            nodes.append(OneOf(f"block {len(nodes) - 1}", tuple(candidates)))
            channels = out_channels
    last = scaled(320, width)
    nodes += [MBConv(channels, last, kernel=3, expand=6), Head(last, scaled(1280, width), num_classes, dropout=0.2)]
    options = {"resolution": resolution, "num_classes": num_classes, "width": width}
    return SearchSpace("single-path", tuple(nodes), (3, resolution, resolution), options)
