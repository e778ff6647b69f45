"""PoolLinear: its Spec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hwnas.errors import UsageError
from hwnas.specs.spec import Shape, Spec, check_convolution, convolved


@dataclass(frozen=True)
class PoolLinear(Spec):
    """A classifier without a convolution: global average pool, dropout, linear layer."""

    kind: ClassVar[str] = "pool_linear"
    in_channels: int
    num_classes: int
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_convolution(self, 1, 1, None)
        if not 0 <= self.dropout < 1:
            raise UsageError(f"dropout must be in [0, 1), not {self.dropout}.")

    def output_shape(self, input_shape: Shape) -> Shape:
        convolved(input_shape, self.in_channels, self.in_channels, 1)
        return (self.num_classes, 1, 1)

    def macs(self, input_shape: Shape) -> int:
        return self.in_channels * self.num_classes

    @property
    def params(self) -> int:
        return (self.in_channels + 1) * self.num_classes

    def __str__(self) -> str:
        return f"PoolLinear({self.in_channels}->{self.num_classes})"
