"""A Gaussian process over architectures: how good a code is expected to be, and how sure that is.

The covariance of two codes is exp(-sum over blocks of w_b * squared distance of their features), plus noise. How much
each block weighs is the most probable setting under a weak prior (Rasmussen and Williams 2006, section 5.4.1); the
amplitude is profiled out. Scores are first replaced by the normal scores of their ranks: a network that cannot be
trained, with an accuracy of chance, then bends nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import ndtri
from scipy.stats import rankdata

from hwnas.latency.arrays import Floats
from hwnas.searches.guided.pool import squared_distances

EXPECTED_NOISE = 1e-2
"""Variance of the noise as a share of the amplitude's, as is expected before anything is known."""

WEIGHT_SPREAD, NOISE_SPREAD, STEP_SPREAD = 1.5, 2.0, 0.8
"""Standard deviations: of the priors on the logarithms of weights and noise, and of the steps in a fit."""

STEPS = 4
"""How often each of the hyper-parameters is moved in a fit."""


@dataclass(frozen=True, eq=False)
class _Factor:
    """A Cholesky factor of a covariance, and what follows from it."""

    lower: Floats
    whitened: Floats
    amplitude: float
    loss: float


class ArchitectureProcess:
    """The process, and its hyper-parameters, which a next fit begins with.

    Args:
        spreads: per block the mean squared distance of two codes of the space.
    """

    def __init__(self, spreads: Sequence[float]) -> None:
        weights = [-np.log(len(spreads) * max(spread, 1e-9)) for spread in spreads]
        self._expected = np.array([*weights, np.log(EXPECTED_NOISE)])
        self._spread = np.array([WEIGHT_SPREAD] * len(weights) + [NOISE_SPREAD])
        self._logs = self._expected
        self._tuned_at = 0

    def fit(
        self, blocks: Sequence[Floats], scores: Floats, rng: np.random.Generator, trend: Floats | None = None
    ) -> None:
        """Learn from rows of features, a block each, and their scores; larger is better.

        Hyper-parameters are looked for only when there is a third more to learn from than the last time.

        Args:
            trend: (n,), of about unit variance: what the mean is a straight line of, before anything is known; None:
                the mean is 0.
        """
        self._blocks, targets = blocks, normal_scores(scores)
        self.best, self._slope = float(targets.max()), 0.0
        if trend is not None:
            away = trend - trend.mean()
            self._slope = float(away @ targets) / (float(away @ away) + 1)  # shrunk, as a slope of variance 1 is
            targets = targets - self._slope * away
            self._middle = float(trend.mean())
        distances = np.stack([squared_distances(block, block) for block in blocks])
        self._factor = self._factored(self._logs, distances, targets)
        if len(targets) < 4 / 3 * self._tuned_at:
            return
        self._tuned_at = len(targets)
        for step in range(STEPS * len(self._logs)):
            logs = self._logs.copy()
            logs[step % len(logs)] += STEP_SPREAD * rng.standard_normal()
            factor = self._factored(logs, distances, targets)
            if factor.loss < self._factor.loss:
                self._factor, self._logs = factor, logs

    def posterior(self, blocks: Sequence[Floats], trend: Floats | None = None) -> Posterior:
        """The posterior at other rows of features; `trend` as in `fit`."""
        cross = np.exp(-self._weighted(self._blocks, blocks))
        lower = self._factor.lower
        solved = solve_triangular(lower, cross, lower=True, check_finite=False)
        mean = solved.T @ self._factor.whitened
        if trend is not None:
            mean = mean + self._slope * (trend - self._middle)
        return Posterior(self, blocks, solved, mean, self._factor.amplitude)

    def covariance_with(self, blocks: Sequence[Floats], row: int) -> Floats:
        """(n,): of one row with all, before anything is known."""
        covariance: Floats = np.exp(-self._weighted([block[row : row + 1] for block in blocks], blocks)[0])
        return covariance

    @property
    def noise(self) -> float:
        """Variance of the noise as a share of the amplitude's."""
        return float(np.exp(self._logs[-1]))

    def _weighted(self, first: Sequence[Floats], second: Sequence[Floats]) -> Floats:
        roots = np.exp(self._logs[:-1] / 2)
        left, right = (np.concatenate([r * b for r, b in zip(roots, each, strict=True)], 1) for each in (first, second))
        return squared_distances(left, right)

    def _factored(self, logs: Floats, distances: Floats, targets: Floats) -> _Factor:
        covariance = np.exp(-np.tensordot(np.exp(logs[:-1]), distances, 1))
        covariance[np.diag_indices(len(targets))] += np.exp(logs[-1]) + 1e-8
        lower = np.linalg.cholesky(covariance)
        whitened = solve_triangular(lower, targets, lower=True, check_finite=False)
        amplitude = max(float(whitened @ whitened) / len(targets), 1e-12)
        prior = 0.5 * float((((logs - self._expected) / self._spread) ** 2).sum())
        loss = len(targets) / 2 * np.log(amplitude) + float(np.log(np.diag(lower)).sum()) + prior
        return _Factor(lower, whitened, amplitude, loss)


class Posterior:
    """Means and variances of the scores of some codes, given what was evaluated and what is about to be."""

    def __init__(
        self, process: ArchitectureProcess, blocks: Sequence[Floats], solved: Floats, mean: Floats, amplitude: float
    ) -> None:
        self._process, self._blocks, self._solved = process, blocks, solved
        self.mean, self._amplitude = mean, amplitude
        self._variance = np.maximum(1 - np.einsum("ij,ij->j", solved, solved), 1e-12)

    @property
    def deviation(self) -> Floats:
        """(n,): standard deviation of each score."""
        deviation: Floats = np.sqrt(np.maximum(self._variance, 1e-12) * self._amplitude)
        return deviation

    def will_know(self, row: int) -> None:
        """Take one of the codes for evaluated, with its expected value: a batch then holds no two for one reason."""
        known = self._solved[:, row] @ self._solved
        rest = self._process.covariance_with(self._blocks, row) - known
        rest /= np.sqrt(max(rest[row], 0.0) + self._process.noise)
        self._solved = np.vstack([self._solved, rest[None]])
        self._variance = self._variance - rest * rest


def normal_scores(scores: Floats) -> Floats:
    """(n,): quantiles of the normal distribution at the scores' ranks, which no increasing map changes."""
    ranks = rankdata(scores)
    targets: Floats = ndtri((ranks - 0.5) / len(scores))
    targets -= targets.mean()
    return targets
