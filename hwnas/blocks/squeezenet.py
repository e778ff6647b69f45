"""The blocks of SqueezeNet (arXiv 1602.07360): convolutions with biases, without batch norm."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hwnas.blocks.convolutions import conv_bn_of
from hwnas.blocks.layers import conv_bias
from hwnas.specs.conv_head import ConvHead
from hwnas.specs.fire import Fire
from hwnas.specs.unpadded_conv import UnpaddedConv


class FireBlock(nn.Module):
    """The module of a `Fire`: (N, in, H, W) -> (N, out, H, W)."""

    def __init__(self, spec: Fire) -> None:
        super().__init__()
        self.squeeze = conv_bn_of(spec.squeeze())
        self.expand_1x1, self.expand_3x3 = map(conv_bn_of, spec.halves())

    def forward(self, x: Tensor) -> Tensor:
        squeezed = self.squeeze(x)
        return torch.cat([self.expand_1x1(squeezed), self.expand_3x3(squeezed)], 1)


class UnpaddedConvBlock(nn.Sequential):
    """The module of an `UnpaddedConv`: (N, in, H, W) -> (N, out, (H - kernel) // stride + 1, the same of W)."""

    def __init__(self, spec: UnpaddedConv) -> None:
        super().__init__(*conv_bias(spec.in_channels, spec.out_channels, spec.kernel, spec.stride, padding=0))


class ConvHeadBlock(nn.Module):
    """The module of a `ConvHead`: (N, in, H, W) -> logits (N, num_classes)."""

    def __init__(self, spec: ConvHead) -> None:
        super().__init__()
        self.dropout = nn.Dropout(spec.dropout)
        self.conv = conv_bias(spec.in_channels, spec.num_classes, 1, std=0.01)  # as torchvision's
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.flatten(self.pool(self.conv(self.dropout(x))))
        return logits
