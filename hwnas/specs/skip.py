"""Skip: no block, or the shortest way to another shape."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from hwnas.specs.convolutions import Convolution, ConvolutionBlock
from hwnas.specs.spec import Example, check_convolution


@dataclass(frozen=True)
class Skip(ConvolutionBlock):
    """Nothing where the shape stays the same; otherwise the shortest way there: a strided 1x1 convolution with batch
    norm (the identity of NAS-Bench-Macro)."""

    kind: ClassVar[str] = "skip"
    in_channels: int
    out_channels: int
    stride: int = 1

    def __post_init__(self) -> None:
        check_convolution(self, 1, self.stride, "relu")

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return ((Skip(24, 24), (24, 9, 9)), (Skip(24, 40, stride=2), (24, 9, 8)))

    @property
    def is_identity(self) -> bool:
        return self.stride == 1 and self.in_channels == self.out_channels

    def layers(self) -> Iterator[Convolution]:
        if not self.is_identity:
            yield Convolution("shortcut", self.in_channels, self.out_channels, stride=self.stride)

    def __str__(self) -> str:
        return "Skip" if self.is_identity else f"Skip({self.in_channels}->{self.out_channels} s{self.stride})"
