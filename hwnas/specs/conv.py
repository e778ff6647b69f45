"""Conv: its Spec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hwnas.specs.spec import Shape, Spec, check_convolution, check_padding, convolved


@dataclass(frozen=True)
class Conv(Spec):
    """Convolution, batch norm, activation (None for none). ``padding`` is one of `PADDINGS`."""

    kind: ClassVar[str] = "conv"
    in_channels: int
    out_channels: int
    kernel: int = 3
    stride: int = 1
    activation: str | None = "relu"
    padding: str = "symmetric"

    def __post_init__(self) -> None:
        check_convolution(self, self.kernel, self.stride, self.activation)
        check_padding(self)

    def output_shape(self, input_shape: Shape) -> Shape:
        return convolved(input_shape, self.in_channels, self.out_channels, self.stride)

    def macs(self, input_shape: Shape) -> int:
        _, height, width = self.output_shape(input_shape)
        return self.kernel**2 * self.in_channels * self.out_channels * height * width

    @property
    def params(self) -> int:
        return self.kernel**2 * self.in_channels * self.out_channels + 2 * self.out_channels

    def __str__(self) -> str:
        padding = f" {self.padding}" if self.padding != "symmetric" else ""
        return f"Conv(k{self.kernel} {self.in_channels}->{self.out_channels} s{self.stride}{padding})"
