"""Classifiers without a convolution: PoolLinear and PoolHead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hwnas.specs.spec import Example, Shape, Spec, check_dropout, check_sizes, convolved


class Classifier(Spec):
    """Base of classifiers that end in a global average pool and a linear layer."""

    in_channels: int
    num_classes: int

    def output_shape(self, input_shape: Shape) -> Shape:
        convolved(input_shape, self.in_channels, self.in_channels, 1)
        return (self.num_classes, 1, 1)

    def macs(self, input_shape: Shape) -> int:
        return self.in_channels * self.num_classes

    @property
    def params(self) -> int:
        return (self.in_channels + 1) * self.num_classes


@dataclass(frozen=True)
class PoolLinear(Classifier):
    """Global average pool, dropout, linear layer."""

    kind: ClassVar[str] = "pool_linear"
    module: ClassVar[str] = "hwnas.blocks.pool_head.PoolLinearBlock"
    in_channels: int
    num_classes: int
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_sizes(self)
        check_dropout(self.dropout)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return ((PoolLinear(24, 10, dropout=0.2), (24, 5, 4)),)

    def __str__(self) -> str:
        return f"PoolLinear({self.in_channels}->{self.num_classes})"


@dataclass(frozen=True)
class PoolHead(Classifier):
    """Batch norm, ReLU, global average pool, linear layer (NAS-Bench-201)."""

    kind: ClassVar[str] = "pool_head"
    module: ClassVar[str] = "hwnas.blocks.pool_head.PoolHeadBlock"
    in_channels: int
    num_classes: int

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return ((PoolHead(24, 10), (24, 5, 4)),)

    @property
    def params(self) -> int:
        return 2 * self.in_channels + super().params

    def __str__(self) -> str:
        return f"PoolHead({self.in_channels}->{self.num_classes})"
