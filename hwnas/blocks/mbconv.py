"""The inverted residual of MobileNetV2 (arXiv 1801.04381), with what MobileNetV3, EfficientNet and FBNet added."""

from __future__ import annotations

from torch import Tensor, nn

from hwnas.blocks.layers import conv_bn
from hwnas.blocks.squeeze_excite import SqueezeExcite
from hwnas.specs.mbconv import MBConv


class MBConvBlock(nn.Module):
    """The module of an `MBConv`: (N, in, H, W) -> (N, out, ceil(H / stride), ceil(W / stride))."""

    def __init__(self, spec: MBConv) -> None:
        super().__init__()
        hidden = spec.hidden_channels
        self.expand = _expansion(spec) if spec.has_expansion else None
        self.depthwise = conv_bn(hidden, hidden, spec.kernel, spec.stride, hidden, spec.activation, spec.padding)
        squeezed = spec.squeezed_channels
        self.squeeze_excite = SqueezeExcite(hidden, squeezed, spec.activation) if squeezed else None
        self.project = conv_bn(hidden, spec.out_channels, 1, groups=spec.groups)
        self.has_residual = spec.has_residual

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.depthwise(x if self.expand is None else self.expand(x))
        out = self.project(hidden if self.squeeze_excite is None else self.squeeze_excite(hidden))
        return x + out if self.has_residual else out


def _expansion(spec: MBConv) -> nn.Sequential:
    layers = conv_bn(spec.in_channels, spec.hidden_channels, 1, groups=spec.groups, activation=spec.activation)
    return layers.append(nn.ChannelShuffle(spec.groups)) if spec.groups > 1 else layers
