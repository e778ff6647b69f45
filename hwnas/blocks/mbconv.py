"""The inverted residual of MobileNetV2 (arXiv 1801.04381)."""

from __future__ import annotations

from torch import Tensor, nn

from hwnas.blocks.layers import conv_bn
from hwnas.spec import MBConv


class MBConvBlock(nn.Module):
    """The module of an `MBConv`: (N, in, H, W) -> (N, out, ceil(H / stride), ceil(W / stride))."""

    def __init__(self, spec: MBConv) -> None:
        super().__init__()
        hidden = spec.hidden_channels
        self.expand = conv_bn(spec.in_channels, hidden, 1, activation=spec.activation) if spec.expand > 1 else None
        self.depthwise = conv_bn(hidden, hidden, spec.kernel, spec.stride, groups=hidden, activation=spec.activation)
        self.project = conv_bn(hidden, spec.out_channels, 1)
        self.has_residual = spec.has_residual

    def forward(self, x: Tensor) -> Tensor:
        hidden = x if self.expand is None else self.expand(x)
        out = self.project(self.depthwise(hidden))
        return x + out if self.has_residual else out
