"""The space of NAS-Bench-Macro (arXiv 2103.11922): every one of its 6,561 codes has a published CIFAR-10 accuracy."""

from __future__ import annotations

from hwnas.notation import Joined
from hwnas.space import OneOf, SearchSpace
from hwnas.spaces.widths import scaled
from hwnas.specs.conv import Conv
from hwnas.specs.head import Head
from hwnas.specs.mbconv import MBConv
from hwnas.specs.skip import Skip
from hwnas.specs.spec import Spec


def nas_bench_macro(resolution: int = 32, num_classes: int = 10, width: float = 1.0) -> SearchSpace:
    """Eight layers in stages of 2, 3 and 3; the first of each has stride 2 and doubles the channels.

    Candidates, in the order of the benchmark's digits: identity, MBConv k3 e3, MBConv k5 e6.
    Source: xiusu/NAS-Bench-Macro. The width multiplier scales the head too.
    """
    channels = scaled(32, width)
    nodes: list[Spec | OneOf] = [Conv(3, channels, kernel=3)]
    for layers in (2, 3, 3):
        for i in range(layers):
            stride, out_channels = (2, 2 * channels) if i == 0 else (1, channels)
            candidates = (
                Skip(channels, out_channels, stride),
                MBConv(channels, out_channels, kernel=3, expand=3, stride=stride),
                MBConv(channels, out_channels, kernel=5, expand=6, stride=stride),
            )
            nodes.append(OneOf(f"layer {len(nodes)}", candidates))
            channels = out_channels
    nodes.append(Head(channels, scaled(1280, width), num_classes))
    options = {"resolution": resolution, "num_classes": num_classes, "width": width}
    return SearchSpace("nas-bench-macro", tuple(nodes), (3, resolution, resolution), options, notation=Joined(""))
