"""EfficientNet-B0."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import SqueezeExcite, conv_bn


class StochasticDepth(nn.Module):
    """Drops whole images of a branch while training; at inference it does nothing. Huang et al. 2016."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.probability == 0:
            return x
        kept = 1 - self.probability
        return x * torch.empty(x.shape[0], 1, 1, 1, device=x.device).bernoulli_(kept) / kept


class EfficientNetBlock(nn.Module):
    """MBConv with squeeze-and-excitation; it squeezes to a quarter of the channels before the expansion."""

    def __init__(self, in_channels: int, out_channels: int, expand: int, kernel: int, stride: int, drop: float) -> None:
        super().__init__()
        hidden = in_channels * expand
        self.expand = conv_bn(in_channels, hidden, 1, 1, 1, nn.SiLU()) if expand != 1 else nn.Identity()
        self.depthwise = conv_bn(hidden, hidden, kernel, stride, hidden, nn.SiLU())
        self.squeeze = SqueezeExcite(hidden, max(1, in_channels // 4), nn.SiLU(), nn.Sigmoid())
        self.project = conv_bn(hidden, out_channels, 1, 1, 1, nn.Identity())
        self.drop = StochasticDepth(drop)
        self.use_residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.squeeze(self.depthwise(self.expand(x))))
        return x + self.drop(y) if self.use_residual else y


class EfficientNetB0(nn.Module):
    """Tan and Le 2019 (arXiv 1905.11946), table 1. Rows: expansion, kernel, stride, channels, repeats."""

    rows = (
        *((1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3)),
        *((6, 5, 1, 112, 3), (6, 5, 2, 192, 4), (6, 3, 1, 320, 1)),
    )

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        self.stem = conv_bn(3, 32, 3, 2, 1, nn.SiLU())
        blocks: list[nn.Module] = []
        channels, total = 32, sum(row[-1] for row in self.rows)
        for expand, kernel, stride, out_channels, repeats in self.rows:
            for i in range(repeats):
                drop = 0.2 * len(blocks) / total
                blocks.append(EfficientNetBlock(channels, out_channels, expand, kernel, stride if i == 0 else 1, drop))
                channels = out_channels
        self.blocks = nn.ModuleList(blocks)
        self.head = conv_bn(channels, 1280, 1, 1, 1, nn.SiLU())
        self.classifier = nn.Linear(1280, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        x = self.head(x).mean(dim=(2, 3))
        return self.classifier(F.dropout(x, 0.2, self.training))
