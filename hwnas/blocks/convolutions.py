"""The module of blocks that are layers in a row: convolutions, squeeze-and-excitation, and a residual."""

from __future__ import annotations

from torch import Tensor, nn

from hwnas.blocks.layers import SqueezeExcite, conv_bias, conv_bn
from hwnas.specs.convolutions import Convolution, ConvolutionBlock, Layer
from hwnas.specs.mbconv import MBConv


class LayersInARow(nn.Module):
    """The module of a `ConvolutionBlock`: (N, in, H, W) -> (N, out, ceil(H / stride), ceil(W / stride)).

    Its layers are attributes, by their names.
    """

    def __init__(self, spec: ConvolutionBlock) -> None:
        super().__init__()
        self.names: list[str] = []
        for layer in spec.layers():
            self.names.append(layer.name)
            self.add_module(layer.name, build_layer(layer))
        self.has_residual = spec.has_residual

    def forward(self, x: Tensor) -> Tensor:
        out = x
        for name in self.names:
            out = getattr(self, name)(out)
        return x + out if self.has_residual else out


class MBConvBlock(LayersInARow):
    """The module of an `MBConv`, whose layers supernets reach into; those that a block does not have are None."""

    def __init__(self, spec: MBConv) -> None:
        super().__init__(spec)
        for name in ("expand", "squeeze_excite"):
            if name not in self.names:
                self.register_module(name, None)

    expand: nn.Sequential | None
    depthwise: nn.Sequential
    squeeze_excite: SqueezeExcite | None
    project: nn.Sequential


def build_layer(layer: Layer) -> nn.Module:
    """The module of a layer, with fresh weights."""
    if isinstance(layer, Convolution):
        return conv_bn_of(layer)
    return SqueezeExcite(layer.channels, layer.squeezed_channels, layer.activation)


def conv_bn_of(layer: Convolution) -> nn.Sequential:
    """Convolution, batch norm or bias, and activation and shuffle where there are some; with fresh weights."""
    channels, outputs, groups = layer.in_channels, layer.out_channels, layer.groups
    if not layer.norm:
        return conv_bias(channels, outputs, layer.kernel, layer.stride, activation=layer.activation)
    layers = conv_bn(channels, outputs, layer.kernel, layer.stride, groups, layer.activation, layer.padding)
    return layers.append(nn.ChannelShuffle(groups)) if layer.shuffle else layers
