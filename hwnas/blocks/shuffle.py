"""The ShuffleNetV2 unit."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwnas.blocks.layers import conv_bn
from hwnas.specs.shuffle_unit import ShuffleUnit


class ShuffleUnitBlock(nn.Module):
    """The module of a `ShuffleUnit`: (N, in, H, W) -> (N, out, ceil(H / stride), ceil(W / stride)).

    Every 1x1 convolution has a ReLU, no depthwise one has.
    """

    def __init__(self, spec: ShuffleUnit) -> None:
        super().__init__()
        branches: dict[str, list[nn.Module]] = {"other": [], "main": []}
        for branch, channels, out, kernel, stride, depthwise in spec.convolutions():
            groups, activation = (channels, None) if depthwise else (1, "relu")
            branches[branch] += conv_bn(channels, out, kernel, stride, groups, activation)
        self.main = nn.Sequential(*branches["main"])
        self.other = nn.Sequential(*branches["other"])
        self.pairs = spec.in_channels // 2
        self.splits = spec.stride == 1

    def forward(self, x: Tensor) -> Tensor:
        if not self.splits:
            return torch.cat([self.other(x), self.main(x)], 1)
        even, odd = F.channel_shuffle(x, self.pairs).chunk(2, 1)
        return torch.cat([even, self.main(odd)], 1)
