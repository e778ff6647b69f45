"""The convolutions on the edges of DARTS's cells (arXiv 1806.09055, section 3.1.1), and its way to half the size.

Each begins with a ReLU and ends with a batch norm, which has no weights where it is not ``affine``: so the search
networks of DARTS and CDARTS have them (quark0/darts, `cnn/operations.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hwnas.errors import HwnasError, UsageError
from hwnas.specs.spec import Example, Shape, Spec, check_convolution, convolved


class EdgeConvolution(Spec):
    """Base of the convolutions of an edge, which keep the channels, and the size with stride 1."""

    channels: int
    kernel: int
    stride: int
    affine: bool

    def __post_init__(self) -> None:
        check_convolution(self, self.kernel, self.stride, None)

    def output_shape(self, input_shape: Shape) -> Shape:
        return convolved(input_shape, self.channels, self.channels, self.stride)

    @property
    def _norm_params(self) -> int:
        """Of one batch norm."""
        return 2 * self.channels if self.affine else 0

    def _options(self) -> str:
        return f"{self.channels} s{self.stride}{'' if self.affine else ' not affine'}"


@dataclass(frozen=True)
class SepConv(EdgeConvolution):
    """A depthwise separable convolution, twice: ReLU, depthwise, 1x1, batch norm. The first has the stride."""

    kind: ClassVar[str] = "sep_conv"
    module: ClassVar[str] = "hwnas.blocks.darts_operators.SepConvBlock"
    channels: int
    kernel: int = 3
    stride: int = 1
    affine: bool = True

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return ((SepConv(8), (8, 6, 7)), (SepConv(8, 5, stride=2, affine=False), (8, 8, 8)), (SepConv(4, 7), (4, 9, 9)))

    def macs(self, input_shape: Shape) -> int:
        _, height, width = self.output_shape(input_shape)
        return 2 * (self.kernel**2 + self.channels) * self.channels * height * width

    @property
    def params(self) -> int:
        return 2 * ((self.kernel**2 + self.channels) * self.channels + self._norm_params)

    def __str__(self) -> str:
        return f"SepConv(k{self.kernel} {self._options()})"


@dataclass(frozen=True)
class DilConv(EdgeConvolution):
    """A depthwise separable convolution whose kernel reads every other pixel: ReLU, depthwise, 1x1, batch norm."""

    kind: ClassVar[str] = "dil_conv"
    module: ClassVar[str] = "hwnas.blocks.darts_operators.DilConvBlock"
    channels: int
    kernel: int = 3
    stride: int = 1
    affine: bool = True

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return ((DilConv(8), (8, 6, 7)), (DilConv(8, 5, stride=2, affine=False), (8, 8, 8)))

    def macs(self, input_shape: Shape) -> int:
        _, height, width = self.output_shape(input_shape)
        return (self.kernel**2 + self.channels) * self.channels * height * width

    @property
    def params(self) -> int:
        return (self.kernel**2 + self.channels) * self.channels + self._norm_params

    def __str__(self) -> str:
        return f"DilConv(k{self.kernel} {self._options()})"


@dataclass(frozen=True)
class RowColumnConv(EdgeConvolution):
    """ReLU, a convolution along the rows, one along the columns, batch norm: the 1x7 and 7x1 of AmoebaNet."""

    kind: ClassVar[str] = "row_column_conv"
    module: ClassVar[str] = "hwnas.blocks.darts_operators.RowColumnConvBlock"
    channels: int
    kernel: int = 7
    stride: int = 1
    affine: bool = True

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return ((RowColumnConv(4), (4, 8, 9)), (RowColumnConv(4, stride=2), (4, 8, 8)))

    def macs(self, input_shape: Shape) -> int:
        _, height, width = self.output_shape(input_shape)
        return self.kernel * self.channels**2 * (input_shape[1] + height) * width

    @property
    def params(self) -> int:
        return 2 * self.kernel * self.channels**2 + self._norm_params

    def __str__(self) -> str:
        return f"RowColumnConv(k{self.kernel} {self._options()})"


@dataclass(frozen=True)
class FactorisedReduction(Spec):
    """Half the size: ReLU, two 1x1 convolutions of stride 2, the second on the image moved by a pixel, each with half
    of the channels; batch norm. Raises HwnasError for images of odd size."""

    kind: ClassVar[str] = "factorised_reduction"
    module: ClassVar[str] = "hwnas.blocks.darts_operators.FactorisedReductionBlock"
    in_channels: int
    out_channels: int
    affine: bool = True

    stride: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.out_channels % 2:
            raise UsageError(
                f"the channels of a {self.kind} block come from two halves and must be even, not {self.out_channels}."
            )

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return ((FactorisedReduction(8, 12), (8, 6, 8)), (FactorisedReduction(8, 8, affine=False), (8, 4, 4)))

    def output_shape(self, input_shape: Shape) -> Shape:
        check_even(self, input_shape)
        return convolved(input_shape, self.in_channels, self.out_channels, 2)

    def macs(self, input_shape: Shape) -> int:
        _, height, width = self.output_shape(input_shape)
        return self.in_channels * self.out_channels * height * width

    @property
    def params(self) -> int:
        return (self.in_channels + (2 if self.affine else 0)) * self.out_channels

    def __str__(self) -> str:
        return f"FactorisedReduction({self.in_channels}->{self.out_channels}{'' if self.affine else ' not affine'})"


def check_even(spec: Spec, shape: Shape) -> None:
    """Refuse an image of odd size for a block that halves it. Raises HwnasError."""
    if shape[1] % 2 or shape[2] % 2:
        raise HwnasError(f"{spec} halves its input and needs even sides, not {shape[1]}x{shape[2]}.")
