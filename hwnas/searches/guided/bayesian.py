"""The default strategy: a Gaussian process over architectures, asked for small batches."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import ndtr

from hwnas.latency.arrays import Floats, Ints
from hwnas.searches.guided.features import CodeFeatures
from hwnas.searches.guided.gaussian_process import ArchitectureProcess
from hwnas.searches.guided.pool import CodePool, neighbours, unique_rows
from hwnas.searches.guided.strategies import Strategy

RANDOM_CODES, BEST_CODES, SECOND_STEPS = 500, 25, 100
"""The candidates for the next batch: so many random codes, the neighbours of so many of the best, and the neighbours
of so many neighbours of the best one."""
MOST_NEAR = 3000
"""Of the neighbours so many at most are asked whether they may be proposed, drawn at random."""


class BayesianStrategy(Strategy):
    """Proposes by a Gaussian process, in turn the largest upper confidence bound and the largest expected improvement.

    The bound, one standard deviation up, alone needs fewer queries on chains, the improvement alone on cells.

    Args:
        pool: what may be asked for.
        features: of codes.
        start: random codes that are evaluated first.
        batch: codes that are proposed with one fit.
        prior: a number per code that scores are expected to go with before anything is known; None: there is none.
    """

    def __init__(
        self,
        pool: CodePool,
        features: CodeFeatures,
        seed: int = 0,
        start: int = 10,
        batch: int = 2,
        prior: Callable[[Ints], Floats] | None = None,
    ) -> None:
        super().__init__(pool, seed)
        self._features, self._start, self._batch, self._prior = features, start, batch, prior
        drawn = pool.draw(RANDOM_CODES, self.rng)
        sample = features(drawn)
        if prior is not None:
            known = prior(drawn)
            self._middle, self._spread = float(known.mean()), float(known.std()) or 1.0
        self._process = ArchitectureProcess([2 * float(block.var(axis=0).sum()) for block in sample])

    def propose(self) -> list[Ints]:
        if len(self.codes) < self._start:
            return self.new_draws(self._start - len(self.codes))
        candidates = self._candidates()
        if not len(candidates):
            return self.new_draws(1)
        codes = np.array(self.codes)
        self._process.fit(self._features(codes), np.array(self.scores), self.rng, self._trend(codes))
        posterior = self._process.posterior(self._features(candidates), self._trend(candidates))
        chosen: list[int] = []
        for _ in range(min(self._batch, len(candidates))):
            worth = posterior.mean + posterior.deviation
            if len(chosen) % 2:
                worth = log_expected_improvement(posterior.mean, posterior.deviation, self._process.best)
            worth[chosen] = -np.inf
            chosen.append(int(worth.argmax()))
            posterior.will_know(chosen[-1])
        return [candidates[row] for row in chosen]

    def _trend(self, codes: Ints) -> Floats | None:
        """(n,): the prior's numbers, standardised over the pool."""
        return None if self._prior is None else (self._prior(codes) - self._middle) / self._spread

    def _candidates(self) -> Ints:
        """New codes that are worth comparing, in large spaces few of all."""
        sizes, order = self.pool.sizes, np.argsort(self.scores)[::-1]
        near = [neighbours(self.codes[row], sizes) for row in order[:BEST_CODES]]
        steps = self.rng.permutation(len(near[0]))[:SECOND_STEPS]
        near += [neighbours(near[0][step], sizes) for step in steps]
        around = unique_rows(np.concatenate(near))
        if len(around) > MOST_NEAR:
            around = around[self.rng.permutation(len(around))[:MOST_NEAR]]
        around = self.pool.allowed(around)
        codes = unique_rows(np.concatenate([around, self.pool.draw(RANDOM_CODES, self.rng)]))
        new: Ints = codes[[self.is_new(code) for code in codes]]
        return new


def log_expected_improvement(mean: Floats, deviation: Floats, best: float) -> Floats:
    """(n,): the logarithm of E[max(score - best, 0)], also where it is too small for a float itself."""
    z = (mean - best) / deviation
    log_density = -z * z / 2 - np.log(2 * np.pi) / 2
    improvement = z * ndtr(z) + np.exp(log_density)
    # far below the best score: phi(z) / z^2, the tail of the normal distribution
    tail = log_density - 2 * np.log(np.maximum(-z, 6.0))
    near: Floats = np.where(z < -6, tail, np.log(np.maximum(improvement, 1e-300)))
    near += np.log(deviation)
    return near
