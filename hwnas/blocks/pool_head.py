"""Classifiers without a convolution."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from hwnas.specs.pool_head import PoolHead, PoolLinear


class PoolLinearBlock(nn.Module):
    """The module of a `PoolLinear`: (N, in, H, W) -> logits (N, num_classes)."""

    def __init__(self, spec: PoolLinear) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(spec.dropout)
        self.classifier = nn.Linear(spec.in_channels, spec.num_classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.dropout(self.flatten(self.pool(x))))
        return logits


class PoolHeadBlock(nn.Module):
    """The module of a `PoolHead`: (N, in, H, W) -> logits (N, num_classes)."""

    def __init__(self, spec: PoolHead) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(spec.in_channels)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(spec.in_channels, spec.num_classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.flatten(self.pool(F.relu(self.norm(x)))))
        return logits
