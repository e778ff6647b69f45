"""Separable: its Spec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hwnas.specs.spec import Shape, Spec, check_convolution, convolved


@dataclass(frozen=True)
class Separable(Spec):
    """A depthwise separable convolution of MobileNetV1 (arXiv 1704.04861): depthwise, then 1x1; each with batch norm
    and activation, and no residual."""

    kind: ClassVar[str] = "separable"
    in_channels: int
    out_channels: int
    kernel: int = 3
    stride: int = 1
    activation: str = "relu"

    def __post_init__(self) -> None:
        check_convolution(self, self.kernel, self.stride, self.activation)

    def output_shape(self, input_shape: Shape) -> Shape:
        return convolved(input_shape, self.in_channels, self.out_channels, self.stride)

    def macs(self, input_shape: Shape) -> int:
        _, height, width = self.output_shape(input_shape)
        return self.in_channels * (self.kernel**2 + self.out_channels) * height * width

    @property
    def params(self) -> int:
        return (self.kernel**2 + 2) * self.in_channels + (self.in_channels + 2) * self.out_channels

    def __str__(self) -> str:
        return f"Separable(k{self.kernel} {self.in_channels}->{self.out_channels} s{self.stride})"
