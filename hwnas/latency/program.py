"""Decoding under several limits: one option of each block, the largest gain, every sum of costs within its rest.

A multiple-choice knapsack of several dimensions, solved exactly as a mixed-integer program (HiGHS, by
`scipy.optimize.milp`). Of a cell's thousands of options those are left out first that another one beats in everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hwnas.latency.arrays import Floats, Ints
from hwnas.latency.limit import Row

if TYPE_CHECKING:
    from scipy.sparse import csr_array

ROUNDING = 1e-9
"""A rest may be exceeded by so much, relative: sums in another order differ by less."""
GAIN_RANGE = 1e3
"""Gains are stretched to this range, since the solver takes differences below 1e-6 for none."""
FEW_WAYS = 64
"""Where a block has more options, those are left out that another one beats."""


def best_code(gains: Sequence[Floats], rows: Sequence[Row]) -> list[int] | None:
    """The code of the largest gain within all rows; None if there is none.

    Args:
        gains: per block an array, with one axis per decision about it.
        rows: limits, each with arrays of the same shapes.
    """
    ways, excess = _options(gains, rows)
    if ways is None:
        return None
    flat = np.concatenate([gain.ravel()[own] - gain.max() for gain, own in zip(gains, ways, strict=True)])
    span = float(np.abs(flat).max()) or 1.0
    found = _solve(-flat * max(1.0, GAIN_RANGE / span), excess, ways)
    return None if found is None else _code(found, ways, [gain.shape for gain in gains])


def most_central(rows: Sequence[Row], scales: Sequence[float]) -> list[int]:
    """The code whose largest excess over a rest is least, each excess in units of its scale; it may be negative."""
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array, hstack

    shapes = [cost.shape for cost in rows[0].costs]
    ways, parts = [], []
    for block in range(len(shapes)):
        costs = np.array([row.costs[block].ravel() / scale for row, scale in zip(rows, scales, strict=True)])
        own = np.arange(costs.shape[1])
        if len(own) > FEW_WAYS:
            own = _unbeaten(np.zeros(len(own)), costs)
        ways.append(own)
        parts.append(costs[:, own])
    columns = np.concatenate(parts, axis=1)
    rests = np.array([max(row.rest, -1e9) / s for row, s in zip(rows, scales, strict=True)])
    matrix = hstack([csr_array(columns), csr_array(-np.ones((len(rows), 1)))])
    one_each = hstack([_one_each(ways), csr_array((len(ways), 1))])
    goal = np.append(np.zeros(columns.shape[1]), 1.0)
    found = milp(
        goal,
        integrality=np.append(np.ones(columns.shape[1]), 0),
        bounds=Bounds(np.append(np.zeros(columns.shape[1]), -np.inf), np.append(np.ones(columns.shape[1]), np.inf)),
        constraints=[LinearConstraint(matrix, -np.inf, rests), LinearConstraint(one_each, 1, 1)],
        options={"mip_rel_gap": 0.0},
    )
    assert found.x is not None  # it is always feasible
    return _code(found.x[:-1], ways, shapes)


def weights_of(gains: Sequence[Floats], rows: Sequence[Row]) -> Floats:
    """(rows,): how much each row holds the gain back, by linear relaxation; of rows in units of their largest cost.

    All zero where none does, or where nothing is within all of them.
    """
    from scipy.optimize import linprog

    ways, excess = _options(gains, rows)
    if ways is None:
        return np.zeros(len(rows))
    flat = np.concatenate([gain.ravel()[own] for gain, own in zip(gains, ways, strict=True)])
    found = linprog(-flat, excess, np.ones(len(rows)), _one_each(ways), np.ones(len(ways)), bounds=(0, 1))
    return np.zeros(len(rows)) if found.status else np.maximum(0.0, -found.ineqlin.marginals)


def together(rows: Sequence[Row], weights: Floats) -> Row:
    """The one row that is this mean of several, each in units of its rest: who keeps them all keeps it, too."""
    units = [_unit(row) for row in rows]
    parts = [w / u for w, u in zip(weights, units, strict=True)]
    costs = [
        sum((part * (cost - cost.min()) for part, cost in zip(parts, own, strict=True)), np.zeros(own[0].shape))
        for own in zip(*(row.costs for row in rows), strict=True)
    ]
    return Row(costs, sum(part * _excess_rest(row) for part, row in zip(parts, rows, strict=True)))


def _excess_rest(row: Row) -> float:
    """The amount that may be spent beyond the cheapest code."""
    least = sum(float(cost.min()) for cost in row.costs)
    return row.rest - least + (ROUNDING * (abs(row.rest) + abs(least)) if np.isfinite(row.rest) else 0.0)


def _unit(row: Row) -> float:
    """The divisor of a row, so that numbers of ms and of bytes are alike to the solver."""
    rest = _excess_rest(row)
    return rest if rest > 0 and np.isfinite(rest) else 1.0


def _options(gains: Sequence[Floats], rows: Sequence[Row]) -> tuple[list[Ints], csr_array] | tuple[None, None]:
    """Per block the options that are worth looking at, and (rows, options) their excess, which 1 limits; None: none."""
    from scipy.sparse import csr_array

    rests = np.array([_excess_rest(row) for row in rows])
    if (rests < 0).any():
        return None, None
    units = np.array([_unit(row) for row in rows])
    ways, columns = [], []
    for block, gain in enumerate(gains):
        excess = np.array([row.costs[block].ravel() - row.costs[block].min() for row in rows])
        own = np.flatnonzero((excess <= rests[:, None]).all(axis=0))
        if not len(own):
            return None, None
        if len(own) > FEW_WAYS:
            own = own[_unbeaten(gain.ravel()[own], excess[:, own])]
        ways.append(own)
        columns.append(excess[:, own] / units[:, None])
    return ways, csr_array(np.concatenate(columns, axis=1))


def _unbeaten(gain: Floats, costs: Floats) -> Ints:
    """The options that no other one beats or equals in gain (n,) and in all costs (rows, n)."""
    order = np.lexsort((costs.sum(axis=0), -gain))
    kept: list[int] = []
    known = np.empty_like(costs)
    for i in order:
        if not (known[:, : len(kept)] <= costs[:, i, None]).all(axis=0).any():
            known[:, len(kept)] = costs[:, i]
            kept.append(int(i))
    return np.array(kept)


def _one_each(ways: Sequence[Ints]) -> csr_array:
    """(blocks, options): which options are a block's."""
    from scipy.sparse import block_diag, csr_array

    return csr_array(block_diag([np.ones((1, len(own))) for own in ways]))


def _solve(goal: Floats, excess: csr_array, ways: Sequence[Ints]) -> Floats | None:
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import vstack

    found = milp(
        goal,
        integrality=np.ones(len(goal)),
        bounds=Bounds(0, 1),
        constraints=[
            LinearConstraint(
                vstack([excess, _one_each(ways)]),
                np.append(np.full(excess.shape[0], -np.inf), np.ones(len(ways))),
                np.ones(excess.shape[0] + len(ways)),
            )
        ],
        options={"mip_rel_gap": 0.0},
    )
    return None if found.x is None else found.x


def _code(chosen: Floats, ways: Sequence[Ints], shapes: Sequence[tuple[int, ...]]) -> list[int]:
    """The code of a solution: (options,) numbers near 0 or 1."""
    code, begin = [], 0
    for own, shape in zip(ways, shapes, strict=True):
        way = own[int(chosen[begin : begin + len(own)].argmax())]
        code += [int(i) for i in np.unravel_index(way, shape)]
        begin += len(own)
    return code
