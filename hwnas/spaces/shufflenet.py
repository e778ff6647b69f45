"""The ShuffleNetV2 space of SPOS (arXiv 1904.00420) and DSNAS (arXiv 2002.09128)."""

from __future__ import annotations

from hwnas.space import OneOf, SearchSpace
from hwnas.spaces.widths import scaled
from hwnas.specs.conv import Conv
from hwnas.specs.head import Head
from hwnas.specs.shuffle_unit import ShuffleUnit
from hwnas.specs.spec import Spec

STAGES = ((64, 4), (160, 4), (320, 8), (640, 4))
"""Channels and units of each stage; the first unit of each has stride 2."""


def shufflenet(resolution: int = 224, num_classes: int = 1000, width: float = 1.0) -> SearchSpace:
    """Twenty units, each a ShuffleNetV2 unit with kernel 3 (0), 5 (1), 7 (2) or the Xception unit (3): 4^20 codes.

    Source: SNAS-Series/SNAS-Series, `DSNAS/network.py`. The classifier has no bias, as there.
    """
    channels = scaled(16, width)
    nodes: list[Spec | OneOf] = [Conv(3, channels, kernel=3, stride=2)]
    for stage_channels, units in STAGES:
        for i in range(units):
            out_channels, stride = scaled(stage_channels, width), 2 if i == 0 else 1
            candidates = (
                *(ShuffleUnit(channels, out_channels, kernel, stride) for kernel in (3, 5, 7)),
                ShuffleUnit(channels, out_channels, 3, stride, xception=True),
            )
            nodes.append(OneOf(f"unit {len(nodes)}", candidates))
            channels = out_channels
    nodes.append(Head(channels, scaled(1024, width), num_classes, bias=False))
    options = {"resolution": resolution, "num_classes": num_classes, "width": width}
    return SearchSpace("shufflenet", tuple(nodes), (3, resolution, resolution), options)
