"""FusedMBConv: the inverted residual of EfficientNet-EdgeTPU and EfficientNetV2."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from hwnas.specs.convolutions import Convolution, InvertedBottleneck, Layer, SqueezeExcitation, check_se_ratio
from hwnas.specs.spec import Example, check_convolution, divisible, expanded_channels


@dataclass(frozen=True)
class FusedMBConv(InvertedBottleneck):
    """An inverted residual whose expansion and depthwise convolution are one full convolution (Gupta and Akin 2020;
    EfficientNetV2, arXiv 2104.00298, figure 2): expand kernel x kernel, project 1x1; each with batch norm.

    ``expand`` is the ratio of hidden to input channels; with 1 there is a single convolution, which is activated. The
    projection is not. With ``se_ratio`` above 0, squeeze-and-excitation follows the first convolution, as in `MBConv`.
    The input is added where the shape stays the same.
    """

    kind: ClassVar[str] = "fused_mbconv"
    in_channels: int
    out_channels: int
    kernel: int
    expand: float
    stride: int = 1
    activation: str = "relu"
    se_ratio: float = 0.0

    def __post_init__(self) -> None:
        check_convolution(self, self.kernel, self.stride, self.activation)
        expanded_channels(self)
        check_se_ratio(self, self.se_ratio)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            (FusedMBConv(16, 24, kernel=3, expand=4, stride=2), (16, 9, 9)),
            (FusedMBConv(16, 16, kernel=3, expand=1, activation="silu"), (16, 9, 8)),
            (FusedMBConv(16, 16, kernel=5, expand=3, activation="hard_swish", se_ratio=0.25), (16, 9, 9)),
        )

    def layers(self) -> Iterator[Layer]:
        single = self.expand == 1
        hidden = self.out_channels if single else self.hidden_channels
        yield Convolution("expand", self.in_channels, hidden, self.kernel, self.stride, activation=self.activation)
        if self.se_ratio > 0:
            yield SqueezeExcitation("squeeze_excite", hidden, divisible(hidden * self.se_ratio), self.activation)
        if not single:
            yield Convolution("project", hidden, self.out_channels)

    def __str__(self) -> str:
        words = [f"k{self.kernel}", f"e{self.expand:g}", f"{self.in_channels}->{self.out_channels}", f"s{self.stride}"]
        words += [f"se{self.se_ratio:g}"] if self.se_ratio else []
        words += [self.activation] if self.activation != "relu" else []
        return f"FusedMBConv({' '.join(words)})"
