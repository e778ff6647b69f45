"""MBConv: its Spec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hwnas.errors import UsageError
from hwnas.specs.spec import Shape, Spec, check_convolution, check_padding, convolved, divisible, expanded_channels


@dataclass(frozen=True)
class MBConv(Spec):
    """Inverted residual of MobileNetV2: expand 1x1, depthwise, project 1x1; each with batch norm.

    ``expand`` is the ratio of hidden to input channels, a fraction where the hidden channels are no multiple of these;
    with 1 there is no expansion convolution. The input is added where the shape stays the same. The projection has no
    activation. ``padding``, of the depthwise convolution, is one of `PADDINGS`.

    With ``se_ratio`` above 0, squeeze-and-excitation follows the depthwise convolution, as in MobileNetV3: it squeezes
    to ``se_ratio`` times the hidden channels, rounded to a multiple of 8. Its gate is a hard sigmoid; with SiLU, whose
    blocks are EfficientNet's, a sigmoid.

    With ``groups`` above 1, both 1x1 convolutions are grouped and a channel shuffle follows the first, which is there
    even where ``expand`` is 1, as in FBNet (``k3_e1_g2``).
    """

    kind: ClassVar[str] = "mbconv"
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
        check_padding(self)
        expanded_channels(self)
        if not 0 <= self.se_ratio <= 1:
            raise UsageError(f"se_ratio must be between 0 (none) and 1, not {self.se_ratio} in {self}.")
        if self.groups < 1 or self.in_channels % self.groups or self.out_channels % self.groups:
            raise UsageError(f"groups must divide the input and the output channels, not {self.groups} in {self}.")

    @property
    def hidden_channels(self) -> int:
        return expanded_channels(self)

    @property
    def squeezed_channels(self) -> int:
        """Channels between the two convolutions of squeeze-and-excitation; 0 where there is none."""
        return divisible(self.hidden_channels * self.se_ratio) if self.se_ratio > 0 else 0

    @property
    def has_expansion(self) -> bool:
        return self.expand > 1 or self.groups > 1

    @property
    def has_residual(self) -> bool:
        return self.stride == 1 and self.in_channels == self.out_channels

    def output_shape(self, input_shape: Shape) -> Shape:
        return convolved(input_shape, self.in_channels, self.out_channels, self.stride)

    def macs(self, input_shape: Shape) -> int:
        _, height, width = self.output_shape(input_shape)
        hidden = self.hidden_channels
        expansion = self.in_channels // self.groups * hidden * input_shape[1] * input_shape[2]
        squeeze_excite = 2 * hidden * self.squeezed_channels
        rest = hidden * (self.kernel**2 + self.out_channels // self.groups) * height * width
        return expansion * self.has_expansion + squeeze_excite + rest

    @property
    def params(self) -> int:
        hidden, squeezed = self.hidden_channels, self.squeezed_channels
        expansion = (self.in_channels // self.groups + 2) * hidden * self.has_expansion
        squeeze_excite = 2 * hidden * squeezed + squeezed + hidden if squeezed else 0
        projection = (hidden // self.groups + 2) * self.out_channels
        return expansion + (self.kernel**2 + 2) * hidden + squeeze_excite + projection

    def __str__(self) -> str:
        words = [f"k{self.kernel}", f"e{self.expand:g}", f"{self.in_channels}->{self.out_channels}", f"s{self.stride}"]
        words += [f"g{self.groups}"] if self.groups > 1 else []
        words += [f"se{self.se_ratio:g}"] if self.se_ratio else []
        words += [self.activation] if self.activation != "relu" else []
        words += [self.padding] if self.padding != "symmetric" else []
        return f"MBConv({' '.join(words)})"
