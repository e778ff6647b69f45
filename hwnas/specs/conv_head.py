"""ConvHead: a classifier whose last layer is a convolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hwnas.specs.spec import Example, Shape, Spec, check_dropout, check_sizes, convolved


@dataclass(frozen=True)
class ConvHead(Spec):
    """Dropout, 1x1 convolution to the classes with a bias and a ReLU, global average pool (SqueezeNet)."""

    kind: ClassVar[str] = "conv_head"
    module: ClassVar[str] = "hwnas.blocks.squeezenet.ConvHeadBlock"
    in_channels: int
    num_classes: int
    dropout: float = 0.5

    def __post_init__(self) -> None:
        check_sizes(self)
        check_dropout(self.dropout)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return ((ConvHead(24, 10), (24, 5, 4)),)

    def output_shape(self, input_shape: Shape) -> Shape:
        convolved(input_shape, self.in_channels, self.in_channels, 1)
        return (self.num_classes, 1, 1)

    def macs(self, input_shape: Shape) -> int:
        return self.in_channels * self.num_classes * input_shape[1] * input_shape[2]

    @property
    def params(self) -> int:
        return (self.in_channels + 1) * self.num_classes

    def __str__(self) -> str:
        return f"ConvHead({self.in_channels}->{self.num_classes})"
