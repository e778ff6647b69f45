"""Blocks that are a chain of convolutions: their shape, costs and module all follow from the list of their layers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from hwnas.errors import UsageError
from hwnas.specs.spec import Shape, Spec, convolved, expanded_channels


@dataclass(frozen=True)
class Convolution:
    """A convolution with batch norm or, without it, a bias; and the activation if there is one.

    Attributes:
        name: of the layer in the block's module.
        groups: channels of a group see only each other; ``in_channels`` of them make it depthwise.
        padding: one of `hwnas.specs.spec.PADDINGS`.
        shuffle: whether the channels of the groups are shuffled afterwards.
        norm: whether there is batch norm.
    """

    name: str
    in_channels: int
    out_channels: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    activation: str | None = None
    padding: str = "symmetric"
    shuffle: bool = False
    norm: bool = True

    def output_shape(self, input_shape: Shape) -> Shape:
        return convolved(input_shape, self.in_channels, self.out_channels, self.stride)

    def macs(self, input_shape: Shape) -> int:
        _, height, width = self.output_shape(input_shape)
        return self.kernel**2 * self.in_channels // self.groups * self.out_channels * height * width

    @property
    def params(self) -> int:
        return (self.kernel**2 * self.in_channels // self.groups + (2 if self.norm else 1)) * self.out_channels


@dataclass(frozen=True)
class SqueezeExcitation:
    """Squeeze-and-excitation: each channel is scaled by a gate that two 1x1 convolutions make of all channels' means.

    The gate is a hard sigmoid, as in MobileNetV3; with SiLU, whose blocks are EfficientNet's, a sigmoid.
    """

    name: str
    channels: int
    squeezed_channels: int
    activation: str

    def output_shape(self, input_shape: Shape) -> Shape:
        return convolved(input_shape, self.channels, self.channels, 1)

    def macs(self, input_shape: Shape) -> int:
        return 2 * self.channels * self.squeezed_channels

    @property
    def params(self) -> int:
        return 2 * self.channels * self.squeezed_channels + self.squeezed_channels + self.channels


Layer = Convolution | SqueezeExcitation


def depthwise(
    name: str, channels: int, kernel: int, stride: int, activation: str | None, padding: str = "symmetric"
) -> Convolution:
    """A convolution of each channel by itself."""
    return Convolution(name, channels, channels, kernel, stride, channels, activation, padding)


def total_macs(layers: Sequence[Layer], input_shape: Shape) -> int:
    """Multiply-accumulates of layers in a row, for one image of `input_shape`."""
    total = 0
    for layer in layers:
        total += layer.macs(input_shape)
        input_shape = layer.output_shape(input_shape)
    return total


class ConvolutionBlock(Spec):
    """Base of blocks that are layers in a row. A subclass has `layers`, and says whether the input is added."""

    module: ClassVar[str] = "hwnas.blocks.convolutions.LayersInARow"
    in_channels: int
    out_channels: int
    stride: int

    @abstractmethod
    def layers(self) -> Iterator[Layer]:
        """The layers in order; none where the block does nothing."""

    @property
    def has_residual(self) -> bool:
        """Whether the input is added to the output of the last layer."""
        return False

    def output_shape(self, input_shape: Shape) -> Shape:
        # asked for each block of each network that is priced: it does not walk the layers
        return convolved(input_shape, self.in_channels, self.out_channels, self.stride)

    def macs(self, input_shape: Shape) -> int:
        return total_macs(list(self.layers()), input_shape)

    @property
    def params(self) -> int:
        return sum(layer.params for layer in self.layers())


class InvertedBottleneck(ConvolutionBlock):
    """Base of blocks that expand their channels, project them again, and add the input where the shape stays the same.

    ``expand`` is the ratio of hidden to input channels, from 1 on.
    """

    expand: float

    @property
    def hidden_channels(self) -> int:
        return expanded_channels(self)

    @property
    def has_residual(self) -> bool:
        return self.stride == 1 and self.in_channels == self.out_channels


def check_se_ratio(block: Spec, se_ratio: float) -> None:
    """Refuse a share of channels to squeeze to that there cannot be. Raises UsageError."""
    if not 0 <= se_ratio <= 1:
        raise UsageError(f"se_ratio must be between 0 (none) and 1, not {se_ratio} in {block}.")
