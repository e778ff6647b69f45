"""ShuffleNetV2."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .layers import conv_bn


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """Take one channel of each group in turn."""
    batch, channels, height, width = x.size()
    x = x.view(batch, groups, channels // groups, height, width)
    return torch.transpose(x, 1, 2).contiguous().view(batch, channels, height, width)


class ShuffleUnit(nn.Module):
    """Ma et al. 2018, figures 3c (stride 1: half of the channels pass by) and 3d (stride 2)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        branch = out_channels // 2
        self.stride = stride
        if stride == 2:
            self.shortcut = nn.Sequential(
                conv_bn(in_channels, in_channels, 3, 2, in_channels, nn.Identity()),
                conv_bn(in_channels, branch, 1, 1, 1, nn.ReLU(inplace=True)),
            )
        self.branch = nn.Sequential(
            conv_bn(in_channels if stride == 2 else branch, branch, 1, 1, 1, nn.ReLU(inplace=True)),
            conv_bn(branch, branch, 3, stride, branch, nn.Identity()),
            conv_bn(branch, branch, 1, 1, 1, nn.ReLU(inplace=True)),
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == 1:
            passing, worked = x.chunk(2, dim=1)
            x = torch.cat((passing, self.branch(worked)), dim=1)
        else:
            x = torch.cat((self.shortcut(x), self.branch(x)), dim=1)
        return channel_shuffle(x, 2)


class ShuffleNetV2(nn.Module):
    """Ma et al. 2018 (arXiv 1807.11164), table 5, 1x. Rows: channels, repeats."""

    rows = ((116, 4), (232, 8), (464, 4))

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        self.conv1 = conv_bn(3, 24, 3, 2, 1, nn.ReLU(inplace=True))
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        units: list[nn.Module] = []
        channels = 24
        for out_channels, repeats in self.rows:
            for i in range(repeats):
                units.append(ShuffleUnit(channels, out_channels, 2 if i == 0 else 1))
                channels = out_channels
        self.stages = nn.Sequential(*units)
        self.conv5 = conv_bn(channels, 1024, 1, 1, 1, nn.ReLU(inplace=True))
        self.fc = nn.Linear(1024, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv5(self.stages(self.maxpool(self.conv1(x))))
        return self.fc(x.mean([2, 3]))
