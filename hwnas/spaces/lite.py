"""The space around EfficientNet-Lite0, whose pretrained weights it can start from (`hwnas.pretrained`)."""

from __future__ import annotations

from hwnas.space import OneOf, SearchSpace
from hwnas.spaces.widths import scaled
from hwnas.specs.conv import Conv
from hwnas.specs.head import Head
from hwnas.specs.mbconv import MBConv
from hwnas.specs.skip import Skip
from hwnas.specs.spec import Spec

STAGES = (
    (3, 1, 16, 1, 1),
    (3, 6, 24, 2, 2),
    (5, 6, 40, 2, 2),
    (3, 6, 80, 3, 2),
    (5, 6, 112, 3, 1),
    (5, 6, 192, 4, 2),
    (3, 6, 320, 1, 1),
)
"""Kernel, expansion, output channels, blocks and stride of the first block (tensorflow/tpu, `efficientnet/lite`)."""

EXPANSIONS = (3, 4, 6)
"""As Once-for-All (arXiv 1908.09791); the last is EfficientNet-Lite0's."""

KERNELS = {3: (3,), 5: (3, 5)}
"""Candidates by the kernel that EfficientNet-Lite0 has."""


def lite(resolution: int = 64, num_classes: int = 10, width: float = 1.0) -> SearchSpace:
    """Stem, a fixed block, 15 searched ones, and the head. Its largest network is EfficientNet-Lite0.

    Decided are kernel and expansion of every block, and how many of a stage's blocks there are: all but the first may
    be skipped.
    """

    def block(channels: int, out: int, kernel: int, expand: int, stride: int) -> MBConv:
        return MBConv(channels, out, kernel, expand, stride, "relu6", padding="same")

    stem, last = scaled(32, width), scaled(1280, width)
    nodes: list[Spec | OneOf] = [Conv(3, stem, stride=2, activation="relu6", padding="same")]
    channels = stem
    for largest, expand, base, repeats, first_stride in STAGES:
        out = scaled(base, width)
        for i in range(repeats):
            stride = first_stride if i == 0 else 1
            if expand == 1:
                nodes.append(block(channels, out, largest, 1, stride))
            else:
                pairs = [(kernel, wide) for kernel in KERNELS[largest] for wide in EXPANSIONS]
                candidates: list[Spec] = [block(channels, out, kernel, wide, stride) for kernel, wide in pairs]
                candidates += [Skip(channels, out)] if i > 0 else []
                nodes.append(OneOf(f"block {len(nodes) - 1}", tuple(candidates)))
            channels = out
    nodes.append(Head(channels, last, num_classes, dropout=0.2, activation="relu6"))
    options = {"resolution": resolution, "num_classes": num_classes, "width": width}
    return SearchSpace("lite", tuple(nodes), (3, resolution, resolution), options)
