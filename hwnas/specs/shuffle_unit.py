"""ShuffleUnit: the unit of ShuffleNetV2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hwnas.errors import UsageError
from hwnas.specs.convolutions import Convolution, depthwise, total_macs
from hwnas.specs.spec import Example, Shape, Spec, check_convolution, convolved


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
    module: ClassVar[str] = "hwnas.blocks.shuffle_unit.ShuffleUnitBlock"
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

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            (ShuffleUnit(16, 16), (16, 9, 8)),
            (ShuffleUnit(8, 20, kernel=5, stride=2), (8, 9, 9)),
            (ShuffleUnit(8, 20, stride=2, xception=True), (8, 9, 9)),
            (ShuffleUnit(24, 116, stride=2, even_split=True), (24, 9, 9)),
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

    def other_branch(self) -> list[Convolution]:
        """The convolutions that channels pass beside the main branch; none with stride 1."""
        if self.stride == 1:
            return []
        inputs = self.in_channels
        return [
            depthwise("other", inputs, self.kernel, 2, None),
            Convolution("other", inputs, self.passed_channels, activation="relu"),
        ]

    def main_branch(self) -> list[Convolution]:
        """The convolutions of the main branch."""
        inputs = self.in_channels // 2 if self.stride == 1 else self.in_channels
        hidden, last = self.hidden_channels, self.out_channels - self.passed_channels
        if not self.xception:
            return [
                Convolution("main", inputs, hidden, activation="relu"),
                depthwise("main", hidden, self.kernel, self.stride, None),
                Convolution("main", hidden, last, activation="relu"),
            ]
        layers = []
        for i, (channels, out) in enumerate(((inputs, hidden), (hidden, hidden), (hidden, last))):
            layers.append(depthwise("main", channels, 3, self.stride if i == 0 else 1, None))
            layers.append(Convolution("main", channels, out, activation="relu"))
        return layers

    def output_shape(self, input_shape: Shape) -> Shape:
        return convolved(input_shape, self.in_channels, self.out_channels, self.stride)

    def macs(self, input_shape: Shape) -> int:
        self.output_shape(input_shape)  # refuses other channels
        sides = input_shape[1:]
        main, other = self.main_branch(), self.other_branch()
        return sum(total_macs(branch, (branch[0].in_channels, *sides)) for branch in (main, other) if branch)

    @property
    def params(self) -> int:
        return sum(layer.params for layer in [*self.main_branch(), *self.other_branch()])

    def __str__(self) -> str:
        name = "Xception" if self.xception else f"Shuffle(k{self.kernel}"
        return f"{name}{'(' if self.xception else ' '}{self.in_channels}->{self.out_channels} s{self.stride})"
