"""MaxPool: its Spec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hwnas.specs.spec import Shape, Spec, check_convolution, convolved


@dataclass(frozen=True)
class MaxPool(Spec):
    """Max pooling, padded by ``kernel // 2``."""

    kind: ClassVar[str] = "max_pool"
    channels: int
    kernel: int = 3
    stride: int = 2

    def __post_init__(self) -> None:
        check_convolution(self, self.kernel, self.stride, None)

    def output_shape(self, input_shape: Shape) -> Shape:
        return convolved(input_shape, self.channels, self.channels, self.stride)

    def macs(self, input_shape: Shape) -> int:
        return 0

    @property
    def params(self) -> int:
        return 0

    def __str__(self) -> str:
        return f"MaxPool(k{self.kernel} {self.channels} s{self.stride})"
