"""A small space for demos and tests: 40,000 networks of 0.1 to 1 ms that train on a laptop's CPU in minutes."""

from __future__ import annotations

from hwnas.space import OneOf, SearchSpace
from hwnas.spaces.widths import scaled
from hwnas.specs.conv import Conv
from hwnas.specs.head import Head
from hwnas.specs.mbconv import MBConv
from hwnas.specs.skip import Skip
from hwnas.specs.spec import Spec

STAGES = ((24, 2), (40, 3), (80, 2))
"""Output channels and number of blocks; the first block of each has stride 2."""

KERNEL_EXPAND = ((3, 3), (3, 6), (5, 3), (5, 6))


def tiny(resolution: int = 32, num_classes: int = 10, width: float = 1.0) -> SearchSpace:
    """Stem, seven searched MBConv blocks in three stages (kernel 3 or 5, expansion 3 or 6, or skip), head."""
    channels = scaled(16, width)
    nodes: list[Spec | OneOf] = [Conv(3, channels, kernel=3)]
    for stage_channels, blocks in STAGES:
        out_channels = scaled(stage_channels, width)
        for i in range(blocks):
            stride = 2 if i == 0 else 1
            candidates: list[Spec] = [MBConv(channels, out_channels, k, e, stride) for k, e in KERNEL_EXPAND]
            if i > 0:
                candidates.append(Skip(channels, out_channels))
            nodes.append(OneOf(f"block {len(nodes)}", tuple(candidates)))
            channels = out_channels
    nodes.append(Head(channels, scaled(320, width), num_classes))
    options = {"resolution": resolution, "num_classes": num_classes, "width": width}
    return SearchSpace("tiny", tuple(nodes), (3, resolution, resolution), options)
