"""Convolution, batch norm, activation."""

from __future__ import annotations

from torch import Tensor, nn

from hwnas.blocks.layers import conv_bn
from hwnas.specs.conv import Conv


class ConvBlock(nn.Module):
    """The module of a `Conv`: (N, in, H, W) -> (N, out, ceil(H / stride), ceil(W / stride))."""

    def __init__(self, spec: Conv) -> None:
        super().__init__()
        self.layers = conv_bn(
            spec.in_channels, spec.out_channels, spec.kernel, spec.stride, 1, spec.activation, spec.padding
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)
