"""MobileNetV2 and MobileNetV3-Large."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import SqueezeExcite, conv_bn, divisible


class InvertedResidual(nn.Module):
    """Sandler et al. 2018, figure 3."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, expand: int) -> None:
        super().__init__()
        hidden = in_channels * expand
        layers: list[nn.Module] = [] if expand == 1 else [conv_bn(in_channels, hidden, 1, 1, 1, nn.ReLU6(inplace=True))]
        layers.append(conv_bn(hidden, hidden, 3, stride, hidden, nn.ReLU6(inplace=True)))
        layers += [nn.Conv2d(hidden, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels)]
        self.conv = nn.Sequential(*layers)
        self.use_residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        if self.use_residual:
            return x + self.conv(x)
        return self.conv(x)


class MobileNetV2(nn.Module):
    """Sandler et al. 2018 (arXiv 1801.04381), table 2, width 1.0. Rows: expansion, channels, repeats, stride."""

    rows = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        layers: list[nn.Module] = [conv_bn(3, 32, 3, 2, 1, nn.ReLU6(inplace=True))]
        channels = 32
        for expand, out_channels, repeats, stride in self.rows:
            for i in range(repeats):
                layers.append(InvertedResidual(channels, out_channels, stride if i == 0 else 1, expand))
                channels = out_channels
        layers.append(conv_bn(channels, 1280, 1, 1, 1, nn.ReLU6(inplace=True)))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        x = F.adaptive_avg_pool2d(self.features(x), 1).reshape(x.shape[0], -1)
        return self.classifier(x)


class MobileNetV3Block(nn.Module):
    """Howard et al. 2019, figure 4."""

    def __init__(
        self, in_channels: int, kernel: int, hidden: int, out_channels: int, se: bool, swish: bool, stride: int
    ) -> None:
        super().__init__()
        activation = nn.Hardswish if swish else nn.ReLU
        layers: list[nn.Module] = []
        if hidden != in_channels:
            layers.append(conv_bn(in_channels, hidden, 1, 1, 1, activation(inplace=True), eps=1e-3))
        layers.append(conv_bn(hidden, hidden, kernel, stride, hidden, activation(inplace=True), eps=1e-3))
        if se:
            layers.append(SqueezeExcite(hidden, divisible(hidden / 4), nn.ReLU(), nn.Hardsigmoid()))
        layers.append(conv_bn(hidden, out_channels, 1, 1, 1, nn.Identity(), eps=1e-3))
        self.block = nn.Sequential(*layers)
        self.use_residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        result = self.block(x)
        if self.use_residual:
            result += x
        return result


class MobileNetV3Large(nn.Module):
    """Howard et al. 2019 (arXiv 1905.02244), table 1. Rows: kernel, hidden, channels, squeeze, h-swish, stride."""

    rows = (
        (3, 16, 16, False, False, 1),
        (3, 64, 24, False, False, 2),
        (3, 72, 24, False, False, 1),
        (5, 72, 40, True, False, 2),
        *((5, 120, 40, True, False, 1),) * 2,
        (3, 240, 80, False, True, 2),
        (3, 200, 80, False, True, 1),
        *((3, 184, 80, False, True, 1),) * 2,
        *((3, 480, 112, True, True, 1), (3, 672, 112, True, True, 1)),
        (5, 672, 160, True, True, 2),
        *((5, 960, 160, True, True, 1),) * 2,
    )

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        layers: list[nn.Module] = [conv_bn(3, 16, 3, 2, 1, nn.Hardswish(inplace=True), eps=1e-3)]
        channels = 16
        for kernel, hidden, out_channels, se, swish, stride in self.rows:
            layers.append(MobileNetV3Block(channels, kernel, hidden, out_channels, se, swish, stride))
            channels = out_channels
        layers.append(conv_bn(channels, 960, 1, 1, 1, nn.Hardswish(inplace=True), eps=1e-3))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Linear(960, 1280),
            nn.Hardswish(inplace=True),
            nn.Dropout(0.2, inplace=True),
            nn.Linear(1280, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.features(x))
        return self.classifier(torch.flatten(x, 1))
