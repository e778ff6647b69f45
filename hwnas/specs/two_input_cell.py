"""Cells of two inputs (DARTS, NASNet, AmoebaNet): the states of the two cells before go in, a concatenation comes out.

A row of such cells is a chain like any other: what goes from link to link is a pair, the state before and the last one,
of which the chain's shape is that of the last. The first cell of a row may be given one state, which it takes for both;
the last one gives its concatenation alone. States are numbered as in published genotypes: 0 and 1 come in, 2, 3 ... are
the nodes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

from hwnas.errors import UsageError
from hwnas.specs.cell import ReLUConv, Zero
from hwnas.specs.darts_operators import DilConv, FactorisedReduction, SepConv, check_even
from hwnas.specs.pool import AvgPool, MaxPool
from hwnas.specs.skip import Skip
from hwnas.specs.spec import Example, Shape, Spec, convolved
from hwnas.text import excerpt

Edges = tuple[tuple[int, Spec], ...]
"""From which state, through which operator."""


@dataclass(frozen=True)
class CellNode(Spec):
    """A node of a `TwoInputCell`: the sum of some states, each after an operator.

    By itself it takes one image in the place of all its states.
    """

    kind: ClassVar[str] = "cell_node"
    module: ClassVar[str] = "hwnas.blocks.two_input_cell.CellNodeBlock"
    sources: tuple[int, ...]
    """The state that each edge comes from."""
    operators: tuple[Any, ...]
    """The Spec of each edge."""

    def __post_init__(self) -> None:
        if not self.sources or len(self.sources) != len(self.operators) or min(self.sources) < 0:
            raise UsageError(
                "a node of a cell needs an operator for each of its sources, at least one, not "
                f"{excerpt(self.operators)} from {excerpt(self.sources)}."
            )
        for operator in self.operators:
            if not isinstance(operator, Spec) or isinstance(operator, CellNode | TwoInputCell):
                raise UsageError(f"an edge of a cell must be an operator, not {excerpt(operator)}.")

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            (CellNode((0, 1), (SepConv(8), Skip(8, 8))), (8, 5, 4)),
            (CellNode((1, 1), (AvgPool(8, stride=2), FactorisedReduction(8, 8))), (8, 6, 4)),
        )

    @property
    def edges(self) -> Edges:
        return tuple(zip(self.sources, self.operators, strict=True))

    def parts(self, input_shape: Shape) -> Iterator[tuple[Spec, Shape]]:
        return executed((operator, input_shape) for operator in self.operators)

    def summands(self, input_shape: Shape) -> Iterator[tuple[Spec, Shape]]:
        return self.parts(input_shape)

    def output_shape(self, input_shape: Shape) -> Shape:
        shapes: set[Shape] = {operator.output_shape(input_shape) for operator in self.operators}
        if len(shapes) > 1:
            raise UsageError(f"the edges of {self} give different shapes for an input of {input_shape}.")
        return shapes.pop()

    def macs(self, input_shape: Shape) -> int:
        return sum(operator.macs(input_shape) for operator in self.operators)

    @property
    def params(self) -> int:
        return sum(operator.params for operator in self.operators)

    def __str__(self) -> str:
        return " + ".join(f"{operator} of {source}" for source, operator in self.edges)


@dataclass(frozen=True)
class TwoInputCell(Spec):
    """Both states with one number of channels, the nodes, and the concatenation of some of them.

    In a search space a node may be a decision between `CellNode`. In a reduction cell the operators from states 0 and 1
    have stride 2. Its input shape is that of the last state; the state before has twice its size behind a reduction.
    """

    kind: ClassVar[str] = "two_input_cell"
    module: ClassVar[str] = "hwnas.blocks.two_input_cell.TwoInputCellBlock"
    before_channels: int
    """Of the state before the last."""
    in_channels: int
    """Of the last state."""
    channels: int
    """Of every node."""
    nodes: tuple[Any, ...]
    """A `CellNode` each, or a decision between some."""
    concat: tuple[int, ...]
    """The states that are concatenated."""
    reduction: bool = False
    after_reduction: bool = False
    affine: bool = True
    """Whether the batch norms of the two first convolutions have weights."""
    keeps_input: bool = False
    """Whether the last state is given beside the concatenation, as a cell behind this one needs."""

    def __post_init__(self) -> None:
        super().__post_init__()
        states = range(2, len(self.nodes) + 2)
        if not self.concat or not set(self.concat) <= set(states):
            raise UsageError(
                f"a cell of {len(self.nodes)} nodes concatenates some of them, each from 2 to {len(self.nodes) + 1}, "
                f"not {excerpt(self.concat)}."
            )
        used = set(self.concat)
        for state, node in zip(states, self.nodes, strict=True):
            for candidate in candidates_of(node):
                _check_node(self, state, candidate)
                used.update(candidate.sources)
        if not used.issuperset(states):
            raise UsageError(f"nothing needs node {min(set(states) - used)} of a cell; leave it out.")

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        first = CellNode((0, 1), (MaxPool(8, stride=1), SepConv(8)))
        second, third = CellNode((0, 2), (DilConv(8), Skip(8, 8))), CellNode((2, 3), (DilConv(8, 5), Skip(8, 8)))
        halving = CellNode((0, 1), (AvgPool(8, stride=2), FactorisedReduction(8, 8)))
        empty = CellNode((0,), (Zero(8, stride=2),))
        return (
            (TwoInputCell(12, 12, 8, (first, second), (2, 3)), (12, 5, 4)),
            (TwoInputCell(12, 12, 8, (halving, empty, third), (2, 3, 4), reduction=True), (12, 8, 6)),
        )

    @property
    def preprocessing(self) -> tuple[Spec, Spec]:
        """The blocks that give the state before and the last one their channels, and one size."""
        before = _preprocessing(self.before_channels, self.channels, self.affine, self.after_reduction)
        return before, _preprocessing(self.in_channels, self.channels, self.affine, False)

    def fixed_parts(self, input_shape: Shape) -> list[tuple[Spec, Shape]]:
        """The blocks that are executed however the nodes are decided, with input shapes."""
        _, height, width = input_shape
        scale = 2 if self.after_reduction else 1
        before, last = self.preprocessing
        return [(before, (self.before_channels, scale * height, scale * width)), (last, input_shape)]

    def node_parts(self, node: CellNode, input_shape: Shape) -> Iterator[tuple[Spec, Shape]]:
        """The blocks that are executed of a node, with input shapes."""
        _, height, width = input_shape
        outer = (self.channels, height, width)
        inner = self._node_shape(input_shape)
        return executed((operator, outer if source < 2 else inner) for source, operator in node.edges)

    def parts(self, input_shape: Shape) -> Iterator[tuple[Spec, Shape]]:
        yield from self.fixed_parts(input_shape)
        for node in self.nodes:
            for candidate in candidates_of(node):
                yield from self.node_parts(candidate, input_shape)

    def summands(self, input_shape: Shape) -> Iterator[tuple[Spec, Shape]]:
        return self.parts(input_shape)

    def output_shape(self, input_shape: Shape) -> Shape:
        convolved(input_shape, self.in_channels, self.channels, 1)
        if self.reduction:
            check_even(self, input_shape)
        _, height, width = self._node_shape(input_shape)
        return (len(self.concat) * self.channels, height, width)

    def macs(self, input_shape: Shape) -> int:
        return sum(spec.macs(shape) for spec, shape in self.parts(input_shape))

    @property
    def params(self) -> int:
        return sum(spec.params for spec in (*self.preprocessing, *self.nodes))

    def _node_shape(self, input_shape: Shape) -> Shape:
        _, height, width = input_shape
        return (self.channels, -(-height // 2), -(-width // 2)) if self.reduction else (self.channels, height, width)

    def __str__(self) -> str:
        nodes = ", ".join(f"{state} = {node}" for state, node in enumerate(self.nodes, 2))
        return f"TwoInputCell({self.before_channels}, {self.in_channels}->{self.channels}: {nodes})"


@cache
def _preprocessing(in_channels: int, out_channels: int, affine: bool, halves: bool) -> Spec:
    # asked for with every cell of every network that is priced
    if halves:
        return FactorisedReduction(in_channels, out_channels, affine)
    return ReLUConv(in_channels, out_channels, kernel=1, affine=affine)


def executed(edges: Iterator[tuple[Spec, Shape]]) -> Iterator[tuple[Spec, Shape]]:
    """The operators that a runtime executes: no identities, and no zeros."""
    return ((spec, shape) for spec, shape in edges if not spec.is_identity and not isinstance(spec, Zero))


def candidates_of(node: Any) -> Sequence[CellNode]:
    """The candidates of a node that is a decision of a search space, itself otherwise."""
    found: Sequence[CellNode] = getattr(node, "candidates", (node,))
    return found


def _check_node(cell: TwoInputCell, state: int, node: Any) -> None:
    """Refuse what cannot be node number `state` of a cell. Raises UsageError."""
    if not isinstance(node, CellNode):
        raise UsageError(f"a node of a cell must be a {CellNode.kind}, not {excerpt(node)}.")
    for source, operator in node.edges:
        if source >= state:
            raise UsageError(f"node {state} of a cell can take the states before it, not state {source}.")
        stride = 2 if cell.reduction and source < 2 else 1
        shape = (cell.channels, 8, 8)
        if operator.output_shape(shape) != (cell.channels, 8 // stride, 8 // stride):
            raise UsageError(
                f"{operator} from state {source} to node {state} of a {'reduction' if cell.reduction else 'normal'} "
                f"cell must keep {cell.channels} channels and have stride {stride}."
            )
