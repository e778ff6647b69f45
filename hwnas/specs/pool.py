"""Pools: MaxPool and AvgPool, which have no weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hwnas.specs.spec import Example, Shape, Spec, check_convolution, check_window, convolved


class Pool(Spec):
    """Base of pools. With ``norm`` a batch norm without weights follows, as in the search networks of DARTS."""

    channels: int
    kernel: int
    stride: int
    norm: bool

    def __post_init__(self) -> None:
        check_convolution(self, self.kernel, self.stride, None)

    def output_shape(self, input_shape: Shape) -> Shape:
        return convolved(input_shape, self.channels, self.channels, self.stride)

    def macs(self, input_shape: Shape) -> int:
        return 0

    @property
    def params(self) -> int:
        return 0


@dataclass(frozen=True)
class MaxPool(Pool):
    """Max pooling, padded by ``kernel // 2``.

    Not ``padded``, the last window may reach over the edge, as in Caffe (PyTorch's ``ceil_mode``), and the kernel may
    be even.
    """

    kind: ClassVar[str] = "max_pool"
    module: ClassVar[str] = "hwnas.blocks.pool.MaxPoolBlock"
    channels: int
    kernel: int = 3
    stride: int = 2
    padded: bool = True
    norm: bool = False

    def __post_init__(self) -> None:
        check_convolution(self, self.kernel, self.stride, None, may_be_even=not self.padded)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            (MaxPool(4), (4, 9, 8)),
            (MaxPool(4, kernel=5, stride=1), (4, 9, 9)),
            (MaxPool(4, padded=False), (4, 9, 8)),
            (MaxPool(4, kernel=2, padded=False), (4, 9, 8)),
            (MaxPool(4, stride=1, norm=True), (4, 9, 8)),
        )

    def output_shape(self, input_shape: Shape) -> Shape:
        padded = super().output_shape(input_shape)
        if self.padded:
            return padded
        check_window(self, self.kernel, input_shape)
        # a window begins inside: with a kernel below the stride, there are no more than with padding
        height, width = (
            min(-(-(side - self.kernel) // self.stride) + 1, most)
            for side, most in zip(input_shape[1:], padded[1:], strict=True)
        )
        return (self.channels, height, width)

    def __str__(self) -> str:
        options = f"{'' if self.padded else ' unpadded'}{' norm' if self.norm else ''}"
        return f"MaxPool(k{self.kernel} {self.channels} s{self.stride}{options})"


@dataclass(frozen=True)
class AvgPool(Pool):
    """Average pooling, padded by ``kernel // 2``; the padding does not count as pixels."""

    kind: ClassVar[str] = "avg_pool"
    module: ClassVar[str] = "hwnas.blocks.pool.AvgPoolBlock"
    channels: int
    kernel: int = 3
    stride: int = 1
    norm: bool = False

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            (AvgPool(4), (4, 9, 8)),
            (AvgPool(4, stride=2), (4, 8, 9)),
            (AvgPool(4, stride=2, norm=True), (4, 8, 8)),
        )

    def __str__(self) -> str:
        stride = "" if self.stride == 1 else f" s{self.stride}"
        return f"AvgPool(k{self.kernel} {self.channels}{stride}{' norm' if self.norm else ''})"
