"""The spaces around EfficientNet-Lite0, whose pretrained weights they can start from (`hwnas.pretrained`).

Its last stages hold most of its weights. Where images are small and a budget is tight, reading these takes most of the
time, and they see few positions: ``lite-5`` ends before them.
"""

from __future__ import annotations

from hwnas.space import OneOf, SearchSpace
from hwnas.spaces.widths import scaled
from hwnas.specs.conv import Conv
from hwnas.specs.head import Head
from hwnas.specs.mbconv import MBConv
from hwnas.specs.pool_head import PoolLinear
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


DROPOUT = 0.2


def lite(resolution: int = 64, num_classes: int = 10, width: float = 1.0) -> SearchSpace:
    """Stem, a fixed block, 15 searched ones, and the head. Its largest network is EfficientNet-Lite0.

    Decided are kernel and expansion of every block, and how many of a stage's blocks there are: all but the first may
    be skipped.
    """
    return _first_stages("lite", len(STAGES), resolution, num_classes, width)


def lite_5(resolution: int = 64, num_classes: int = 10, width: float = 1.0) -> SearchSpace:
    """As `lite` without the last two stages and the head's convolution: a linear layer on the pooled 112 channels.

    It sees an image of 64 px at 4 x 4 positions, where `lite` is left with 2 x 2. Its largest network is that part of
    EfficientNet-Lite0.
    """
    return _first_stages("lite-5", 5, resolution, num_classes, width)


def _first_stages(name: str, stages: int, resolution: int, num_classes: int, width: float) -> SearchSpace:
    def block(channels: int, out: int, kernel: int, expand: int, stride: int) -> MBConv:
        return MBConv(channels, out, kernel, expand, stride, "relu6", padding="same")

    channels = scaled(32, width)
    nodes: list[Spec | OneOf] = [Conv(3, channels, stride=2, activation="relu6", padding="same")]
    for largest, expand, base, repeats, first_stride in STAGES[:stages]:
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
    if stages == len(STAGES):
        nodes.append(Head(channels, scaled(1280, width), num_classes, dropout=DROPOUT, activation="relu6"))
    else:
        nodes.append(PoolLinear(channels, num_classes, dropout=DROPOUT))
    options = {"resolution": resolution, "num_classes": num_classes, "width": width}
    return SearchSpace(name, tuple(nodes), (3, resolution, resolution), options)
