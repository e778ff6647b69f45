"""The ShuffleNetV2 unit."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwnas.blocks.convolutions import conv_bn_of
from hwnas.specs.shuffle_unit import ShuffleUnit


class ShuffleUnitBlock(nn.Module):
    """The module of a `ShuffleUnit`: (N, in, H, W) -> (N, out, ceil(H / stride), ceil(W / stride)).

    Every 1x1 convolution has a ReLU, no depthwise one has.
    """

    def __init__(self, spec: ShuffleUnit) -> None:
        super().__init__()
        other, main = ([conv_bn_of(layer) for layer in branch] for branch in (spec.other_branch(), spec.main_branch()))
        self.main = nn.Sequential(*(part for layer in main for part in layer))
        self.other = nn.Sequential(*(part for layer in other for part in layer))
        self.pairs = spec.in_channels // 2
        self.splits = spec.stride == 1

    def forward(self, x: Tensor) -> Tensor:
        if not self.splits:
            return torch.cat([self.other(x), self.main(x)], 1)
        even, odd = F.channel_shuffle(x, self.pairs).chunk(2, 1)
        return torch.cat([even, self.main(odd)], 1)
