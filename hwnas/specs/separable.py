"""Separable: the block of MobileNetV1."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from hwnas.specs.convolutions import Convolution, ConvolutionBlock, depthwise
from hwnas.specs.spec import Example, check_convolution


@dataclass(frozen=True)
class Separable(ConvolutionBlock):
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

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return ((Separable(16, 24, kernel=5, stride=2), (16, 9, 9)), (Separable(8, 8), (8, 6, 7)))

    def layers(self) -> Iterator[Convolution]:
        yield depthwise("depthwise", self.in_channels, self.kernel, self.stride, self.activation)
        yield Convolution("pointwise", self.in_channels, self.out_channels, activation=self.activation)

    def __str__(self) -> str:
        return f"Separable(k{self.kernel} {self.in_channels}->{self.out_channels} s{self.stride})"
