"""The cost of every choice of a SearchSpace: per block a number per candidate, per cell a number per way to decide it.

Cells are small: the 15,625 ways to decide that of NAS-Bench-201 are priced one by one, so that whatever decides the
latency of a cell, expectation and constrained optimum stay exact. Of a cell whose nodes are all concatenated every edge
is executed whatever the others are: each of its nodes has prices of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from itertools import product
from typing import Any

import numpy as np

from hwnas.errors import HwnasError
from hwnas.latency.arrays import Floats, Ints
from hwnas.space import OneOf, SearchSpace
from hwnas.specs.cell import Cell
from hwnas.specs.spec import Shape, Spec
from hwnas.specs.two_input_cell import TwoInputCell

MOST_WAYS = 2_000_000
"""How many ways to decide one cell are priced one by one at most."""

Costs = dict[tuple[str, ...], Floats]
"""Names of decisions -> ms, with one axis per decision; without any name, what is fixed."""

CellCosts = Callable[[Sequence[Sequence[Spec]], Ints, Shape], Floats]
"""Candidates per edge, codes (cells, edges) and input shape -> ms per cell."""


def space_costs(
    space: SearchSpace, cell_ms: CellCosts, block_ms: Callable[[Spec, Shape, int], float]
) -> tuple[float, list[Floats]]:
    """The ms of everything fixed, and arrays of ms with one axis per decision, in the order of ``space.decisions``.

    Args:
        space: the space that is priced.
        cell_ms: ms of many cells.
        block_ms: ms of a block, by its Spec, its input shape and its place in the chain.

    Raises:
        HwnasError: two kinds of cells share some but not all of their decisions, or a cell can be decided in too many
            ways.
    """
    costs: Costs = {}
    priced: dict[tuple[Any, Shape], Costs] = {}
    for place, (node, shape) in enumerate(space.positions()):
        if isinstance(node, OneOf):
            own: Costs = {(node.name,): np.array([block_ms(spec, shape, place) for spec in node.candidates])}
        elif not _decisions_of(node):
            own = {(): np.array(block_ms(node, shape, place))}
        elif (node, shape) in priced:
            own = priced[node, shape]
        elif isinstance(node, TwoInputCell):
            own = priced[node, shape] = _price_nodes(node, shape, place, block_ms)
        else:
            own = priced[node, shape] = _price_cell(node, _decisions_of(node), shape, cell_ms)  # type: ignore[arg-type]
        for names, ms in own.items():
            costs[names] = costs.get(names, 0.0) + ms
    fixed_ms = float(costs.pop((), 0.0))
    in_order = [decision.name for decision in space.decisions]
    if [name for names in costs for name in names] != in_order:
        raise HwnasError(
            f"space {space.name!r} cannot be priced: two of its blocks share some but not all of their decisions. "
            "Give the decisions of each kind of cell names of their own."
        )
    return fixed_ms, list(costs.values())


def _decisions_of(node: Spec) -> dict[str, OneOf]:
    """The decisions inside a cell, by name."""
    inside = node.edges if isinstance(node, Cell) else node.nodes if isinstance(node, TwoInputCell) else ()
    return {decision.name: decision for decision in inside if isinstance(decision, OneOf)}


def _price_nodes(cell: TwoInputCell, shape: Shape, place: int, block_ms: Callable[[Spec, Shape, int], float]) -> Costs:
    """The ms of a cell of two inputs: of each node for every way to decide it, and of the operators that always run."""
    known = cache(block_ms)

    def price(node: Any) -> float:
        return sum(known(*part, place) for part in cell.node_parts(node, shape))

    fixed = sum(known(*part, place) for part in cell.fixed_parts(shape))
    fixed += sum(price(node) for node in cell.nodes if not isinstance(node, OneOf))
    decisions = _decisions_of(cell).items()
    costs: Costs = {(name,): np.array([price(node) for node in decision.candidates]) for name, decision in decisions}
    return {(): np.array(fixed), **costs}


def _price_cell(cell: Cell, decisions: dict[str, OneOf], shape: Shape, cell_ms: CellCosts) -> Costs:
    """The ms of a cell for every way to decide it: one axis per decision."""
    sizes = [len(decision.candidates) for decision in decisions.values()]
    if math.prod(sizes) > MOST_WAYS:
        raise HwnasError(
            f"a cell of this space can be decided in {math.prod(sizes):,} ways, more than the {MOST_WAYS:,} that are "
            "priced one by one. Give its edges fewer candidates, or split it into smaller cells."
        )
    ways = np.array(list(product(*map(range, sizes))))
    codes = np.zeros((len(ways), len(cell.edges)), int)
    names = list(decisions)
    for e, edge in enumerate(cell.edges):
        if isinstance(edge, OneOf):
            codes[:, e] = ways[:, names.index(edge.name)]
    candidates = [edge.candidates if isinstance(edge, OneOf) else (edge,) for edge in cell.edges]
    return {tuple(names): cell_ms(candidates, codes, shape).reshape(sizes)}
