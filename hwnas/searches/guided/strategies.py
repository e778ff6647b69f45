"""Strategies: which codes to evaluate next, given the scores of those that were. Random and evolution, as yardsticks.

    codes = strategy.ask(5)             # (5, decisions)
    strategy.tell(codes, scores)        # larger is better

No strategy asks twice for one network, and none is told the answer before it has asked.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Hashable

import numpy as np

from hwnas.latency.arrays import Floats, Ints
from hwnas.searches.guided.pool import CodePool, neighbours

DRAWS = 64
"""Random codes that are drawn at once for one that is new, and so often."""


class Strategy(ABC):
    """The part that all strategies share: the codes asked and told, of which none is asked twice.

    Args:
        pool: what may be asked for.
        seed: of everything random.
    """

    def __init__(self, pool: CodePool, seed: int = 0) -> None:
        self.pool, self.rng = pool, np.random.default_rng(seed)
        self.codes: list[Ints] = []
        self.scores: list[float] = []
        self._asked: set[Hashable] = set()
        self._queue: deque[Ints] = deque()

    def ask(self, count: int) -> Ints:
        """(n, decisions): up to `count` codes of new networks; fewer where the pool has no more."""
        asked: list[Ints] = []
        while len(asked) < count:
            if not self._queue:
                self._queue.extend(self.propose())
            if not self._queue:
                break
            code = self._queue.popleft()
            if self.is_new(code):
                self._asked.add(self.pool.network(code))
                asked.append(code)
        return np.array(asked, dtype=int).reshape(-1, len(self.pool.sizes))

    def tell(self, codes: Ints, scores: Floats) -> None:
        """Learn the scores of codes."""
        self.codes += list(codes)
        self.scores += [float(score) for score in scores]

    def is_new(self, code: Ints) -> bool:
        """Whether no code of the same network was asked for."""
        return self.pool.network(code) not in self._asked

    def new_draws(self, count: int) -> list[Ints]:
        """Up to `count` random codes of new networks, each network once."""
        found: dict[Hashable, Ints] = {}
        for _ in range(DRAWS):
            for code in self.pool.draw(max(count, DRAWS), self.rng):
                if self.is_new(code):
                    found.setdefault(self.pool.network(code), code)
            if len(found) >= count:
                break
        return list(found.values())[:count]

    @abstractmethod
    def propose(self) -> list[Ints]:
        """At least one new code, if there is one."""


class RandomStrategy(Strategy):
    """Random codes, whatever they are worth."""

    def propose(self) -> list[Ints]:
        return self.new_draws(DRAWS)


class RegularisedEvolution(Strategy):
    """Regularised evolution (arXiv 1802.01548): the best of a sample has a child with one change; the oldest dies.

    Args:
        population: how many live; a quarter of them, drawn for each child, compete for being the parent.
    """

    def __init__(self, pool: CodePool, seed: int = 0, population: int = 20) -> None:
        super().__init__(pool, seed)
        self._population = population

    def propose(self) -> list[Ints]:
        if len(self.codes) < self._population:
            return self.new_draws(1)
        first = len(self.codes) - self._population
        for _ in range(DRAWS):
            sample = first + self.rng.choice(self._population, max(2, self._population // 4), replace=False)
            parent = self.codes[max(sample, key=self.scores.__getitem__)]
            children = self.pool.allowed(neighbours(parent, self.pool.sizes))
            new = [child for child in children if self.is_new(child)]
            if new:
                return [new[int(self.rng.integers(len(new)))]]
        return self.new_draws(1)


class LocalSearch(Strategy):
    """Hill climbing (arXiv 2005.02960): neighbours of the best code; random ones anew where none is better."""

    def __init__(self, pool: CodePool, seed: int = 0, start: int = 10) -> None:
        super().__init__(pool, seed)
        self._start = start
        self._climb = 0
        """Where the codes of this climb begin."""

    def propose(self) -> list[Ints]:
        told = range(self._climb, len(self.codes))
        if len(told) < self._start:
            return self.new_draws(self._start - len(told)) or self.new_draws(1)
        best = self.codes[max(told, key=self.scores.__getitem__)]
        new = [code for code in self.pool.allowed(neighbours(best, self.pool.sizes)) if self.is_new(code)]
        if not new:
            self._climb = len(self.codes)
            return self.new_draws(self._start)
        self.rng.shuffle(new)
        return new[:1]
