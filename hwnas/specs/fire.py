"""Fire: the module of SqueezeNet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hwnas.errors import UsageError
from hwnas.specs.convolutions import Convolution
from hwnas.specs.spec import Example, Shape, Spec, check_sizes, convolved


@dataclass(frozen=True)
class Fire(Spec):
    """The Fire module of SqueezeNet (arXiv 1602.07360, section 3.1).

    A 1x1 convolution squeezes the channels; a 1x1 and a 3x3 convolution expand them, each to one half of the output,
    and are concatenated. All have a bias and a ReLU, none has batch norm.
    """

    kind: ClassVar[str] = "fire"
    module: ClassVar[str] = "hwnas.blocks.squeezenet.FireBlock"
    in_channels: int
    squeezed_channels: int
    out_channels: int

    def __post_init__(self) -> None:
        check_sizes(self)
        if self.out_channels % 2:
            raise UsageError(f"out_channels of a fire block must be even, two halves, not {self.out_channels}.")

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return ((Fire(12, 4, 16), (12, 9, 8)), (Fire(16, 8, 64), (16, 5, 5)))

    def squeeze(self) -> Convolution:
        return Convolution("squeeze", self.in_channels, self.squeezed_channels, activation="relu", norm=False)

    def halves(self) -> tuple[Convolution, Convolution]:
        """The two convolutions whose outputs are concatenated, in their order."""
        squeezed, half = self.squeezed_channels, self.out_channels // 2
        return (
            Convolution("expand_1x1", squeezed, half, 1, activation="relu", norm=False),
            Convolution("expand_3x3", squeezed, half, 3, activation="relu", norm=False),
        )

    def output_shape(self, input_shape: Shape) -> Shape:
        return convolved(input_shape, self.in_channels, self.out_channels, 1)

    def macs(self, input_shape: Shape) -> int:
        squeezed = self.squeeze().output_shape(input_shape)
        return self.squeeze().macs(input_shape) + sum(half.macs(squeezed) for half in self.halves())

    @property
    def params(self) -> int:
        return self.squeeze().params + sum(half.params for half in self.halves())

    def __str__(self) -> str:
        return f"Fire({self.in_channels}->{self.squeezed_channels}->{self.out_channels})"
