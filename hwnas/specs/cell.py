"""Cells as Specs: a small graph of operators that is repeated along a network, and what stands between the cells.

A cell has nodes 0 (its input) to n (its output) and an edge from every node to every later one. An edge is an operator;
a node is the sum of the edges that lead to it. What lies on no path from input to output is not built, not priced and
not exported: no runtime needs it. The operators are those of NAS-Bench-201 (arXiv 2001.00326).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

from hwnas.errors import HwnasError, UsageError
from hwnas.specs.pool import AvgPool
from hwnas.specs.skip import Skip
from hwnas.specs.spec import Example, Shape, Spec, check_convolution, convolved
from hwnas.text import excerpt

Edge = tuple[int, int]
"""From which node to which."""


def edge_ends(edges: int) -> tuple[Edge, ...]:
    """The ends of a cell's edges in their order: 0-1, 0-2, 1-2, 0-3, ... Raises UsageError for an impossible number."""
    ends: list[Edge] = []
    target = 0
    while len(ends) < edges:
        target += 1
        ends += [(source, target) for source in range(target)]
    if len(ends) != edges or not edges:
        raise UsageError(f"a cell has 1, 3, 6, 10 ... edges, one for each pair of its nodes, not {edges}.")
    return tuple(ends)


def reached_and_needed(present: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Per edge: whether the cell's input reaches its source, and whether the output needs its target.

    An edge is live if it is present, reached and needed. `present` may hold bools, or one bool array per edge, which
    answers for many cells at once: only ``|`` and ``&`` are asked of it.
    """
    ends = edge_ends(len(present))
    last = ends[-1][1]
    reached: list[Any] = [True] + [False] * last
    needed: list[Any] = [False] * last + [True]
    for (source, target), here in zip(ends, present, strict=True):
        reached[target] = reached[target] | (here & reached[source])
    for (source, target), here in zip(reversed(ends), reversed(present), strict=True):
        needed[source] = needed[source] | (here & needed[target])
    return [reached[source] for source, _ in ends], [needed[target] for _, target in ends]


@dataclass(frozen=True)
class Zero(Spec):
    """No connection: the edge is absent. By itself it gives zeros, of half the size with stride 2."""

    kind: ClassVar[str] = "zero"
    module: ClassVar[str] = "hwnas.blocks.cell.ZeroBlock"
    channels: int
    stride: int = 1

    def __post_init__(self) -> None:
        check_convolution(self, 1, self.stride, None)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return ((Zero(8), (8, 5, 4)), (Zero(8, stride=2), (8, 5, 4)))

    def output_shape(self, input_shape: Shape) -> Shape:
        return convolved(input_shape, self.channels, self.channels, self.stride)

    def macs(self, input_shape: Shape) -> int:
        return 0

    @property
    def params(self) -> int:
        return 0

    def __str__(self) -> str:
        return "Zero" if self.stride == 1 else f"Zero(s{self.stride})"


@dataclass(frozen=True)
class ReLUConv(Spec):
    """ReLU, convolution, batch norm, in this order. Padding is ``kernel // 2``.

    Not ``affine``, the batch norm has no weights. One that ``keeps_input`` gives it beside its output: the two states
    that the first of a row of `TwoInputCell` takes.
    """

    kind: ClassVar[str] = "relu_conv"
    module: ClassVar[str] = "hwnas.blocks.cell.ReLUConvBlock"
    in_channels: int
    out_channels: int
    kernel: int = 3
    stride: int = 1
    affine: bool = True
    keeps_input: bool = False

    def __post_init__(self) -> None:
        check_convolution(self, self.kernel, self.stride, "relu")

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            (ReLUConv(8, 12, kernel=3, stride=2), (8, 9, 9)),
            (ReLUConv(8, 8, kernel=1), (8, 5, 4)),
            (ReLUConv(8, 8, kernel=1, affine=False), (8, 5, 4)),
        )

    def parts(self, input_shape: Shape) -> Iterator[tuple[Spec, Shape]]:
        yield replace(self, keeps_input=False) if self.keeps_input else self, input_shape

    def summands(self, input_shape: Shape) -> Iterator[tuple[Spec, Shape]]:
        return self.parts(input_shape)

    def output_shape(self, input_shape: Shape) -> Shape:
        return convolved(input_shape, self.in_channels, self.out_channels, self.stride)

    def macs(self, input_shape: Shape) -> int:
        _, height, width = self.output_shape(input_shape)
        return self.kernel**2 * self.in_channels * self.out_channels * height * width

    @property
    def params(self) -> int:
        return (self.kernel**2 * self.in_channels + (2 if self.affine else 0)) * self.out_channels

    def __str__(self) -> str:
        return f"ReLUConv(k{self.kernel} {self.in_channels}->{self.out_channels} s{self.stride})"


@dataclass(frozen=True)
class Cell(Spec):
    """A cell of operators that keep the shape. The edges stand in the order of `edge_ends`.

    In a search space an edge may be a decision; it then counts as present. A cell without any path from its input to
    its output gives zeros.
    """

    kind: ClassVar[str] = "cell"
    module: ClassVar[str] = "hwnas.blocks.cell.CellBlock"
    channels: int
    edges: tuple[Any, ...]
    """A Spec each, or a decision between Specs."""

    def __post_init__(self) -> None:
        super().__post_init__()
        edge_ends(len(self.edges))
        shape = (self.channels, 8, 8)
        for edge in self.edges:
            for spec in _candidates(edge):
                if not isinstance(spec, Spec) or isinstance(spec, Cell):
                    raise UsageError(f"an edge of a cell must be an operator, not {excerpt(spec)}.")
                if spec.output_shape(shape) != shape:
                    raise UsageError(f"an edge of a cell must keep the shape of its input; {spec} does not.")

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            (
                Cell(8, (ReLUConv(8, 8), AvgPool(8), Skip(8, 8), Zero(8), ReLUConv(8, 8, kernel=1), Skip(8, 8))),
                (8, 6, 6),
            ),
            (Cell(8, (Skip(8, 8), AvgPool(8), Zero(8))), (8, 5, 4)),
        )

    @cached_property
    def live(self) -> tuple[bool, ...]:
        """Per edge, whether it lies on a path from the cell's input to its output."""
        present = [not isinstance(edge, Zero) for edge in self.edges]
        return tuple(a and b and c for a, b, c in zip(present, *reached_and_needed(present), strict=True))

    def live_edges(self) -> Iterator[tuple[Edge, Spec]]:
        """The edges that are built."""
        for ends, edge, live in zip(edge_ends(len(self.edges)), self.edges, self.live, strict=True):
            if live:
                yield ends, edge

    def canonical(self) -> Cell:
        """The same network with every edge that is not built written as Zero."""
        zero = Zero(self.channels)
        edges = zip(self.edges, self.live, strict=True)
        return replace(self, edges=tuple(edge if live else zero for edge, live in edges))

    def parts(self, input_shape: Shape) -> Iterator[tuple[Spec, Shape]]:
        for _, edge in self.live_edges():
            for spec in _candidates(edge):
                if not spec.is_identity and not isinstance(spec, Zero):
                    yield spec, input_shape

    def output_shape(self, input_shape: Shape) -> Shape:
        return convolved(input_shape, self.channels, self.channels, 1)

    def macs(self, input_shape: Shape) -> int:
        return sum(edge.macs(input_shape) for _, edge in self.live_edges())

    @property
    def params(self) -> int:
        return sum(edge.params for _, edge in self.live_edges())

    def __str__(self) -> str:
        edges = ", ".join(f"{source}-{target} {edge}" for (source, target), edge in self.live_edges())
        return f"Cell({edges or 'no path'})"


@dataclass(frozen=True)
class Reduction(Spec):
    """Half the size: two `ReLUConv` 3x3, the first with stride 2, beside an average pool and a 1x1 convolution.

    The residual block between the stages of NAS-Bench-201. Raises HwnasError for images of odd size.
    """

    kind: ClassVar[str] = "reduction"
    module: ClassVar[str] = "hwnas.blocks.cell.ReductionBlock"
    in_channels: int
    out_channels: int

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return ((Reduction(8, 16), (8, 8, 10)),)

    def output_shape(self, input_shape: Shape) -> Shape:
        if input_shape[1] % 2 or input_shape[2] % 2:
            raise HwnasError(f"{self} halves its input and needs even sides, not {input_shape[1]}x{input_shape[2]}.")
        return convolved(input_shape, self.in_channels, self.out_channels, 2)

    def macs(self, input_shape: Shape) -> int:
        _, height, width = self.output_shape(input_shape)
        return (10 * self.in_channels + 9 * self.out_channels) * self.out_channels * height * width

    @property
    def params(self) -> int:
        return (10 * self.in_channels + 9 * self.out_channels + 4) * self.out_channels

    def __str__(self) -> str:
        return f"Reduction({self.in_channels}->{self.out_channels})"


def _candidates(edge: Any) -> tuple[Spec, ...]:
    """The operators that may stand on an edge: its candidates where it is a decision of a search space, itself
    otherwise."""
    return getattr(edge, "candidates", (edge,))
