"""Conv: a convolution with batch norm and activation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from hwnas.specs.convolutions import Convolution, ConvolutionBlock
from hwnas.specs.spec import Example, check_convolution, check_padding


@dataclass(frozen=True)
class Conv(ConvolutionBlock):
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
        check_padding(self.kind, self.padding)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            (Conv(3, 16, kernel=3, stride=2), (3, 9, 9)),
            (Conv(3, 8, kernel=5, stride=2, activation="relu6", padding="same"), (3, 10, 10)),
            (Conv(4, 8, kernel=1, activation=None), (4, 5, 6)),
        )

    def layers(self) -> Iterator[Convolution]:
        yield Convolution(
            "layers",
            self.in_channels,
            self.out_channels,
            self.kernel,
            self.stride,
            activation=self.activation,
            padding=self.padding,
        )

    def __str__(self) -> str:
        padding = f" {self.padding}" if self.padding != "symmetric" else ""
        return f"Conv(k{self.kernel} {self.in_channels}->{self.out_channels} s{self.stride}{padding})"
