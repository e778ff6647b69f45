"""Terms: a network's latency is a weighted sum of them.

A chain of blocks has, per block, its ms as measured alone (or, where nothing was measured, the costs of its Graph), a
term per kind of block, and a term of its own. A cell has these for the operators that are executed, and terms for where
they stand: a runtime may be slower on one edge than on another, run branches that lead nowhere, or sum nodes at a cost.
How much each counts is for the measurements to say; see `hwnas.latency.fitting.bayes`.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, combinations_with_replacement
from typing import Literal

import numpy as np

from hwnas.latency.arrays import Floats, Ints
from hwnas.latency.features import COSTS, NOMINAL_MS, block_features
from hwnas.latency.tables.table import Block
from hwnas.space import Architecture
from hwnas.specs.cell import Cell, Zero, edge_ends, reached_and_needed
from hwnas.specs.spec import Shape, Spec

Term = tuple[str, str]
"""Group and name."""
Columns = dict[Term, Floats]

BIAS: Term = ("bias", "")
SUM: Term = ("table", "sum of block ms")
COUNT: Term = ("count", "blocks")
OWN_GROUPS = ("block", "estimated block")
"""Groups of the terms that blocks have of their own: by how much each is slower or faster than the others say."""
NOMINAL: Term = ("nominal", "sum of nominal ms")

Executed = Literal["live", "needed", "written"]
"""Which edges of a cell a runtime executes: those on a path from input to output, those whose result the output needs
(even where only zeros come in, unless that is all the output gets), or all that are written down."""
EXECUTED: tuple[Executed, ...] = ("live", "needed", "written")

Extra = Literal["branches", "products", "pairs"]
EXTRAS: tuple[Extra, ...] = ("branches", "products", "pairs")
"""Terms that a cell may have besides: operators on edges that lead nowhere or come from nowhere, products of the counts
of its operators, and every two edges that are executed together."""


@dataclass
class Terms:
    """Computes the terms of blocks.

    Attributes:
        block_ms: ms of blocks as measured alone, or as estimated; None: nothing is known of any block, and the costs
            of their Graphs take its place.
        estimated: those of them that were never measured, with the relative standard deviation of their ms.
        executed: how cells are priced.
        extras: which further terms cells have.
    """

    block_ms: Mapping[Block, float] | None
    estimated: Mapping[Block, float] = field(default_factory=dict)
    executed: Executed = "live"
    extras: tuple[Extra, ...] = ()
    _remembered: dict[Block, dict[Term, float]] = field(default_factory=dict, repr=False)

    def columns(self, blocks: Sequence[Block]) -> Columns:
        """The terms of `blocks`, one value per block. Raises KeyError for a block whose ms is not known."""
        columns: Columns = defaultdict(lambda: np.zeros(len(blocks)))
        cells: dict[Shape, list[tuple[int, Cell]]] = defaultdict(list)
        for row, (spec, shape) in enumerate(blocks):
            if isinstance(spec, Cell):
                cells[shape].append((row, spec))
            elif not spec.is_identity:
                for term, value in self.of_block(spec, shape).items():
                    columns[term][row] += value
        for shape, placed in cells.items():
            rows, specs = zip(*placed, strict=True)
            candidates = [list(dict.fromkeys(edges)) for edges in zip(*(spec.edges for spec in specs), strict=True)]
            codes = [[options.index(e) for options, e in zip(candidates, spec.edges, strict=True)] for spec in specs]
            for term, values in self.of_cells(candidates, np.array(codes), shape).items():
                columns[term][list(rows)] += values
        return dict(columns)

    def of_block(self, spec: Spec, shape: Shape) -> dict[Term, float]:
        """The terms of one block that is no cell."""
        if (spec, shape) not in self._remembered:
            terms = self._measurable(spec, shape) | {("kind", kind_of(spec)): 1.0}
            own_group = OWN_GROUPS[(spec, shape) in self.estimated]
            terms[own_group, block_name(spec, shape)] = self._own_scale_ms(spec, shape)
            self._remembered[spec, shape] = terms
        return self._remembered[spec, shape]

    def of_cells(self, candidates: Sequence[Sequence[Spec]], codes: Ints, shape: Shape) -> Columns:
        """The terms of many cells of one shape.

        Args:
            candidates: per edge, the operators that stand on it in some cell.
            codes: (cells, edges), which of them stands there.
            shape: (C, H, W) of their input.
        """
        ends = edge_ends(len(candidates))
        present = [
            np.array([not isinstance(spec, Zero) for spec in options])[codes[:, e]]
            for e, options in enumerate(candidates)
        ]
        # what holds for every cell comes as one bool
        reached, needed = ([np.broadcast_to(f, len(codes)) for f in flags] for flags in reached_and_needed(present))
        has_path = np.any([here & r & n for here, r, n in zip(present, reached, needed, strict=True)], axis=0)
        columns: Columns = defaultdict(lambda: np.zeros(len(codes)))
        into: dict[int, Floats] = defaultdict(lambda: np.zeros(len(codes)))
        on_edges: list[Columns] = []
        for e, (source, target) in enumerate(ends):
            runs = {
                "live": present[e] & reached[e] & needed[e],
                "needed": present[e] & needed[e] & has_path,
                "written": present[e],
            }[self.executed]
            into[target] += runs
            on_edges.append({})
            for index, spec in enumerate(candidates[e]):
                if isinstance(spec, Zero):
                    continue
                here = codes[:, e] == index
                kind = kind_of(spec)
                if not spec.is_identity:
                    for term, value in self._measurable(spec, shape).items():
                        columns[term] += value * (here & runs)
                columns["kind", kind] += here & runs
                on_edges[e]["edge", f"{source}-{target} {kind}"] = (here & runs).astype(float)
                if "branches" in self.extras:
                    columns[f"without input, from {source}", kind] += here & needed[e] & ~reached[e]
                    columns[f"without use, from {source}", kind] += here & reached[e] & ~needed[e]
        for target, count in into.items():
            columns["node", f"sums into {target}"] += np.maximum(count - 1, 0)
            columns["node", f"{target}"] += count > 0
        products = _products(columns) if "products" in self.extras else {}
        pairs = _pairs(on_edges) if "pairs" in self.extras else {}
        return {**columns, **{term: values for edge in on_edges for term, values in edge.items()}, **products, **pairs}

    def _measurable(self, spec: Spec, shape: Shape) -> dict[Term, float]:
        """The terms that stand for the block's own cost."""
        if self.block_ms is not None:
            return {SUM: self.block_ms[spec, shape], COUNT: 1.0}
        nominal_ms = _nominal_costs_ms(spec, shape)
        return {NOMINAL: sum(nominal_ms.values())} | {("cost", name): ms for name, ms in nominal_ms.items()}

    def _own_scale_ms(self, spec: Spec, shape: Shape) -> float:
        """How large the block's own deviation may be, against those of other blocks."""
        if self.block_ms is not None:
            return self.block_ms[spec, shape] * self.estimated.get((spec, shape), 1.0)
        return math.sqrt(sum(_nominal_costs_ms(spec, shape).values()))


def _nominal_costs_ms(spec: Spec, shape: Shape) -> dict[str, float]:
    """The nominal ms of a block's costs; costs of 0 are left out."""
    costs = block_features(spec, shape).costs
    return {name: float(cost) * NOMINAL_MS[name] for name, cost in zip(COSTS, costs, strict=True) if cost}


def kind_of(spec: Spec) -> str:
    """The kind of a block, without channels and stride: blocks of one kind may be off by the same amount."""
    data = {k: v for k, v in spec.to_json().items() if not k.endswith(("channels", "classes")) and k != "stride"}
    return " ".join(f"{value}" if key == "kind" else f"{key}={value}" for key, value in data.items())


def block_name(spec: Spec, shape: Shape) -> str:
    return f"{json.dumps(spec.to_json(), sort_keys=True)} on {'x'.join(map(str, shape))}"


def _products(columns: Columns) -> Columns:
    kinds = {name: values for (group, name), values in columns.items() if group == "kind"}
    both = combinations_with_replacement(sorted(kinds), 2)  # one name, in whatever order the operators were met
    return {("product", f"{one} * {other}"): kinds[one] * kinds[other] for one, other in both}


def _pairs(on_edges: Sequence[Columns]) -> Columns:
    return {
        ("pair", f"{one} & {other}"): values * others
        for first, second in combinations(on_edges, 2)
        for (_, one), values in first.items()
        for (_, other), others in second.items()
    }


def count_blocks(architectures: Sequence[Architecture]) -> tuple[list[Block], Floats]:
    """The summands of the latencies of some chains, and how often each occurs: sparse, (networks, summands)."""
    from scipy.sparse import csr_matrix

    position: dict[Block, int] = {}
    columns, ends = [], [0]
    for architecture in architectures:
        seen: dict[tuple[int, Shape], list[int]] = {}  # a repeated cell is one object: its hash is computed once
        for spec, shape in architecture.chain():
            if (id(spec), shape) not in seen:
                found = [position.setdefault(part, len(position)) for part in spec.summands(shape)]
                seen[id(spec), shape] = found
            columns += seen[id(spec), shape]
        ends.append(len(columns))
    counts = csr_matrix((np.ones(len(columns)), columns, ends), shape=(len(architectures), len(position)))
    return list(position), counts
