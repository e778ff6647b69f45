"""Pools: the codes that a guided search may propose, those of a table or those within a latency budget."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import product
from typing import Protocol

import numpy as np

from hwnas.errors import UsageError
from hwnas.latency.arrays import Floats, Ints
from hwnas.latency.budget import Budget
from hwnas.latency.sampling import UniformWithin

MOST_LISTED = 4096
"""Codes of a space that are listed, and asked for their latencies one and all; larger spaces are drawn from."""


class CodePool(Protocol):
    """Codes, one index per decision, that may be proposed: rows of (n, decisions) arrays."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many candidates each decision has."""
        ...

    def draw(self, count: int, rng: np.random.Generator) -> Ints:
        """(n, decisions): `count` random codes of the pool, or fewer where it has no more."""
        ...

    def allowed(self, codes: Ints) -> Ints:
        """Those of the codes that are in the pool, in their order."""
        ...

    def network(self, code: Ints) -> Hashable:
        """The same for codes that build the same network."""
        ...


class TablePool:
    """The codes of a table.

    Args:
        codes: (n, decisions), each once.

    Raises:
        UsageError: there is no code, or one stands there twice.
    """

    def __init__(self, codes: Ints) -> None:
        if not codes.size:
            raise UsageError("a table to search in must have a row and a decision at least; this one has none.")
        self.codes = codes
        self.sizes = tuple(int(size) for size in codes.max(axis=0) + 1)
        self._rows = {code.tobytes(): row for row, code in enumerate(codes)}
        if len(self._rows) < len(codes):
            raise UsageError("each code may stand in a table once; leave out the rows that repeat one.")

    def row(self, code: Ints) -> int:
        """Where a code stands in the table."""
        return self._rows[code.tobytes()]

    def draw(self, count: int, rng: np.random.Generator) -> Ints:
        drawn: Ints = self.codes[rng.choice(len(self.codes), min(count, len(self.codes)), replace=False)]
        return drawn

    def allowed(self, codes: Ints) -> Ints:
        found: Ints = codes[[code.tobytes() in self._rows for code in codes]]
        return found

    def network(self, code: Ints) -> Hashable:
        return code.tobytes()


class BudgetPool:
    """The codes whose architectures are within a latency budget; the surest one alone where none is.

    Args:
        budget: names the space.
    """

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.sizes = tuple(len(decision.candidates) for decision in budget.space.decisions)
        self._draw = UniformWithin(budget) if budget.is_feasible else None
        self._within: dict[bytes, bool] = {}
        self._networks: dict[bytes, str] = {}
        self._listed: Ints | None = None
        if budget.space.size <= MOST_LISTED:
            self._listed = self.allowed(np.array(list(product(*map(range, self.sizes))), dtype=int))

    def draw(self, count: int, rng: np.random.Generator) -> Ints:
        space = self.budget.space
        if self._draw is None:
            return np.array([space.indices(self.budget.surest)], dtype=int)
        if self._listed is not None and len(self._listed):
            chosen: Ints = self._listed[rng.choice(len(self._listed), min(count, len(self._listed)), replace=False)]
            return chosen
        return np.array([space.indices(self._draw(rng)) for _ in range(count)], dtype=int)

    def allowed(self, codes: Ints) -> Ints:
        new = list({code.tobytes(): code for code in codes if code.tobytes() not in self._within}.values())
        architectures = [self.budget.space.decode(code.tolist()) for code in new]
        for code, within in zip(new, self.budget.are_within(architectures), strict=True):
            self._within[code.tobytes()] = within
        found: Ints = codes[[self._within[code.tobytes()] for code in codes]]
        return found

    def network(self, code: Ints) -> Hashable:
        key = code.tobytes()
        if key not in self._networks:
            self._networks[key] = self.budget.space.decode(code.tolist()).digest
        return self._networks[key]


def neighbours(code: Ints, sizes: Sequence[int]) -> Ints:
    """(n, decisions): every code that differs from this one in one decision."""
    changed = []
    for position, size in enumerate(sizes):
        for other in range(size):
            if other != code[position]:
                changed.append(code.copy())
                changed[-1][position] = other
    return np.array(changed, dtype=int).reshape(-1, len(code))


def unique_rows(codes: Ints) -> Ints:
    """The codes without repetitions, in their order."""
    return np.array(list({code.tobytes(): code for code in codes}.values()), dtype=int).reshape(-1, codes.shape[1])


def squared_distances(first: Floats, second: Floats) -> Floats:
    """(n, m): squared Euclidean distances between rows."""
    sums = (first * first).sum(axis=1)[:, None] + (second * second).sum(axis=1)[None]
    distances: Floats = np.maximum(sums - 2 * first @ second.T, 0.0)
    return distances
