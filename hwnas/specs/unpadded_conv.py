"""UnpaddedConv: a first convolution as networks had it before batch norm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hwnas.specs.spec import Example, Shape, Spec, check_convolution, check_window, convolved


@dataclass(frozen=True)
class UnpaddedConv(Spec):
    """A convolution without padding, with a bias and a ReLU, without batch norm (the first of SqueezeNet)."""

    kind: ClassVar[str] = "unpadded_conv"
    module: ClassVar[str] = "hwnas.blocks.squeezenet.UnpaddedConvBlock"
    in_channels: int
    out_channels: int
    kernel: int = 3
    stride: int = 2

    def __post_init__(self) -> None:
        check_convolution(self, self.kernel, self.stride, "relu")

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return ((UnpaddedConv(3, 8), (3, 9, 8)), (UnpaddedConv(4, 8, kernel=5, stride=1), (4, 7, 9)))

    def output_shape(self, input_shape: Shape) -> Shape:
        channels = convolved(input_shape, self.in_channels, self.out_channels, 1)[0]
        check_window(self, self.kernel, input_shape)
        height, width = ((side - self.kernel) // self.stride + 1 for side in input_shape[1:])
        return (channels, height, width)

    def macs(self, input_shape: Shape) -> int:
        channels, height, width = self.output_shape(input_shape)
        return self.kernel**2 * self.in_channels * channels * height * width

    @property
    def params(self) -> int:
        return (self.kernel**2 * self.in_channels + 1) * self.out_channels

    def __str__(self) -> str:
        return f"UnpaddedConv(k{self.kernel} {self.in_channels}->{self.out_channels} s{self.stride})"
