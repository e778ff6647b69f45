"""MBConv: the inverted residual of MobileNetV2, with the additions of MobileNetV3, EfficientNet and FBNet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from hwnas.errors import UsageError
from hwnas.specs.convolutions import (
    Convolution,
    InvertedBottleneck,
    Layer,
    SqueezeExcitation,
    check_se_ratio,
    depthwise,
)
from hwnas.specs.spec import Example, check_convolution, check_padding, divisible, expanded_channels


@dataclass(frozen=True)
class MBConv(InvertedBottleneck):
    """Inverted residual of MobileNetV2 (arXiv 1801.04381): expand 1x1, depthwise, project 1x1; each with batch norm.

    ``expand`` is the ratio of hidden to input channels, a fraction where the hidden channels are no multiple of these;
    with 1 there is no expansion convolution. The input is added where the shape stays the same. The projection has no
    activation. ``padding``, of the depthwise convolution, is one of `PADDINGS`.

    With ``se_ratio`` above 0, squeeze-and-excitation follows the depthwise convolution, as in MobileNetV3: it squeezes
    to ``se_ratio`` times the hidden channels, rounded to a multiple of 8.

    With ``groups`` above 1, both 1x1 convolutions are grouped and a channel shuffle follows the first, which is there
    even where ``expand`` is 1, as in FBNet (``k3_e1_g2``).
    """

    kind: ClassVar[str] = "mbconv"
    module: ClassVar[str] = "hwnas.blocks.convolutions.MBConvBlock"
    in_channels: int
    out_channels: int
    kernel: int
    expand: float
    stride: int = 1
    activation: str = "relu"
    se_ratio: float = 0.0
    groups: int = 1
    padding: str = "symmetric"

    def __post_init__(self) -> None:
        check_convolution(self, self.kernel, self.stride, self.activation)
        check_padding(self.kind, self.padding)
        expanded_channels(self)
        check_se_ratio(self, self.se_ratio)
        if self.groups < 1 or self.in_channels % self.groups or self.out_channels % self.groups:
            raise UsageError(f"groups must divide the input and the output channels, not {self.groups} in {self}.")

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            (MBConv(16, 24, kernel=5, expand=6, stride=2, activation="relu6"), (16, 9, 9)),
            (MBConv(24, 24, kernel=3, expand=1), (24, 9, 9)),
            (MBConv(16, 16, kernel=3, expand=4, activation="hard_swish", se_ratio=0.25), (16, 9, 8)),
            (MBConv(16, 24, kernel=5, expand=6, stride=2, activation="silu", se_ratio=0.25), (16, 9, 9)),
            (MBConv(16, 16, kernel=3, expand=1, groups=2), (16, 9, 9)),
            (MBConv(8, 12, kernel=5, expand=3, stride=2, groups=4, se_ratio=0.5), (8, 9, 9)),
            (MBConv(24, 24, kernel=3, expand=88 / 24, activation="hard_swish"), (24, 9, 9)),
            (MBConv(8, 16, kernel=3, expand=6, stride=2, activation="relu6", padding="same"), (8, 10, 10)),
        )

    @property
    def squeezed_channels(self) -> int:
        """Channels between the two convolutions of squeeze-and-excitation; 0 where there is none."""
        return divisible(self.hidden_channels * self.se_ratio) if self.se_ratio > 0 else 0

    @property
    def has_expansion(self) -> bool:
        return self.expand > 1 or self.groups > 1

    def layers(self) -> Iterator[Layer]:
        hidden, groups, activation = self.hidden_channels, self.groups, self.activation
        if self.has_expansion:
            yield Convolution(
                "expand", self.in_channels, hidden, groups=groups, activation=activation, shuffle=groups > 1
            )
        yield depthwise("depthwise", hidden, self.kernel, self.stride, activation, self.padding)
        if self.squeezed_channels:
            yield SqueezeExcitation("squeeze_excite", hidden, self.squeezed_channels, activation)
        yield Convolution("project", hidden, self.out_channels, groups=groups)

    def __str__(self) -> str:
        words = [f"k{self.kernel}", f"e{self.expand:g}", f"{self.in_channels}->{self.out_channels}", f"s{self.stride}"]
        words += [f"g{self.groups}"] if self.groups > 1 else []
        words += [f"se{self.se_ratio:g}"] if self.se_ratio else []
        words += [self.activation] if self.activation != "relu" else []
        words += [self.padding] if self.padding != "symmetric" else []
        return f"MBConv({' '.join(words)})"
