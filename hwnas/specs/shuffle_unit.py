"""ShuffleUnit: its Spec."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from hwnas.errors import UsageError
from hwnas.specs.spec import Shape, Spec, check_convolution, convolved


@dataclass(frozen=True)
class ShuffleUnit(Spec):
    """A unit of ShuffleNetV2 (arXiv 1807.11164).

    With stride 1, the even channels pass through and the odd ones go through the main branch; with stride 2 both
    branches see all channels, and the other one is a depthwise and a 1x1 convolution. It gives as many channels as it
    has, as in the spaces of SPOS and DSNAS, or with ``even_split`` half of them, as in ShuffleNetV2. The two are
    concatenated. The main branch is 1x1, depthwise, 1x1; with ``xception`` three pairs of depthwise 3x3 and 1x1.
    Source: SNAS-Series/SNAS-Series, `DSNAS/blocks.py`; megvii-model/SinglePathOneShot, `src/Supernet/blocks.py`.
    """

    kind: ClassVar[str] = "shuffle_unit"
    in_channels: int
    out_channels: int
    kernel: int = 3
    stride: int = 1
    xception: bool = False
    even_split: bool = False

    def __post_init__(self) -> None:
        check_convolution(self, self.kernel, self.stride, "relu")
        if self.xception and self.kernel != 3:
            raise UsageError(f"the convolutions of an Xception unit are 3x3, not kernel={self.kernel}.")
        if self.stride == 1 and (self.in_channels != self.out_channels or self.in_channels % 2):
            raise UsageError(
                f"a shuffle unit of stride 1 keeps an even number of channels, not {self.in_channels}->"
                f"{self.out_channels}."
            )
        if self.out_channels % 2 or self.out_channels <= self.passed_channels:
            raise UsageError(
                f"out_channels of a shuffle unit must be even and above {self.passed_channels}, the channels that its "
                f"other branch gives, not {self.out_channels}."
            )

    @property
    def passed_channels(self) -> int:
        """Channels that the other branch gives."""
        if self.stride == 1:
            return self.in_channels // 2
        return self.out_channels // 2 if self.even_split else self.in_channels

    @property
    def hidden_channels(self) -> int:
        return self.out_channels // 2

    def convolutions(self) -> Iterator[tuple[str, int, int, int, int, bool]]:
        """(branch, in, out, kernel, stride, depthwise) of every convolution; the branches are "other" and "main"."""
        passed = self.in_channels // 2 if self.stride == 1 else self.in_channels
        hidden, last = self.hidden_channels, self.out_channels - self.passed_channels
        if self.stride == 2:
            yield "other", passed, passed, self.kernel, 2, True
            yield "other", passed, self.passed_channels, 1, 1, False
        if self.xception:
            for i, (channels, out) in enumerate(((passed, hidden), (hidden, hidden), (hidden, last))):
                yield "main", channels, channels, 3, self.stride if i == 0 else 1, True
                yield "main", channels, out, 1, 1, False
        else:
            yield "main", passed, hidden, 1, 1, False
            yield "main", hidden, hidden, self.kernel, self.stride, True
            yield "main", hidden, last, 1, 1, False

    def output_shape(self, input_shape: Shape) -> Shape:
        return convolved(input_shape, self.in_channels, self.out_channels, self.stride)

    def macs(self, input_shape: Shape) -> int:
        large = input_shape[1] * input_shape[2]
        small = self.output_shape(input_shape)[1] * self.output_shape(input_shape)[2]
        total, strided = 0, {"other": False, "main": False}
        for branch, channels, out, kernel, stride, depthwise in self.convolutions():
            strided[branch] |= stride == 2
            pixels = small if strided[branch] else large
            total += kernel**2 * (1 if depthwise else channels) * out * pixels
        return total

    @property
    def params(self) -> int:
        return sum(
            (kernel**2 * (1 if depthwise else channels) + 2) * out
            for _, channels, out, kernel, _, depthwise in self.convolutions()
        )

    def __str__(self) -> str:
        name = "Xception" if self.xception else f"Shuffle(k{self.kernel}"
        return f"{name}{'(' if self.xception else ' '}{self.in_channels}->{self.out_channels} s{self.stride})"
