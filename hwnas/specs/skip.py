"""Skip: its Spec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hwnas.specs.spec import Shape, Spec, check_convolution, convolved


@dataclass(frozen=True)
class Skip(Spec):
    """Nothing where the shape stays the same; otherwise the shortest way there: a strided 1x1 convolution with batch
    norm (the identity of NAS-Bench-Macro)."""

    kind: ClassVar[str] = "skip"
    in_channels: int
    out_channels: int
    stride: int = 1

    def __post_init__(self) -> None:
        check_convolution(self, 1, self.stride, "relu")

    @property
    def is_identity(self) -> bool:
        return self.stride == 1 and self.in_channels == self.out_channels

    def output_shape(self, input_shape: Shape) -> Shape:
        return convolved(input_shape, self.in_channels, self.out_channels, self.stride)

    def macs(self, input_shape: Shape) -> int:
        _, height, width = self.output_shape(input_shape)
        return 0 if self.is_identity else self.in_channels * self.out_channels * height * width

    @property
    def params(self) -> int:
        return 0 if self.is_identity else (self.in_channels + 2) * self.out_channels

    def __str__(self) -> str:
        return "Skip" if self.is_identity else f"Skip({self.in_channels}->{self.out_channels} s{self.stride})"
