"""The space around EfficientNet-EdgeTPU-S (Gupta and Akin, arXiv 2003.02838): full or depthwise convolutions."""

from __future__ import annotations

from hwnas.space import OneOf, SearchSpace
from hwnas.spaces.widths import scaled
from hwnas.specs.conv import Conv
from hwnas.specs.fused_mbconv import FusedMBConv
from hwnas.specs.head import Head
from hwnas.specs.mbconv import MBConv
from hwnas.specs.skip import Skip
from hwnas.specs.spec import Spec

STAGES = ((32, 2, 2), (48, 4, 2), (96, 5, 2), (144, 4, 1), (192, 2, 2))
"""Output channels, blocks and stride of the first block (tensorflow/tpu, `efficientnet/edgetpu`)."""

EXPANSIONS = (4, 8)


def edgetpu(resolution: int = 224, num_classes: int = 1000, width: float = 1.0) -> SearchSpace:
    """Stem, a fixed block, 17 searched ones, and the head.

    Candidates, in this order: FusedMBConv with kernel 3 and MBConv with kernel 5, each with expansion 4 or 8, and skip
    where a block keeps its shape. EfficientNet-EdgeTPU-S takes 1 in the first two stages and 3 in the others.
    """
    stem, channels = scaled(32, width), scaled(24, width)
    nodes: list[Spec | OneOf] = [Conv(3, stem, stride=2), FusedMBConv(stem, channels, kernel=3, expand=3)]
    for base, repeats, first_stride in STAGES:
        out = scaled(base, width)
        for i in range(repeats):
            stride = first_stride if i == 0 else 1
            candidates: list[Spec] = [FusedMBConv(channels, out, 3, expand, stride) for expand in EXPANSIONS]
            candidates += [MBConv(channels, out, 5, expand, stride) for expand in EXPANSIONS]
            candidates += [Skip(channels, out)] if i > 0 else []
            nodes.append(OneOf(f"block {len(nodes) - 1}", tuple(candidates)))
            channels = out
    nodes.append(Head(channels, scaled(1280, width), num_classes, dropout=0.2))
    options = {"resolution": resolution, "num_classes": num_classes, "width": width}
    return SearchSpace("edgetpu", tuple(nodes), (3, resolution, resolution), options)
