"""A Gaussian process of two parts: a linear one, with a prior on its weights, and a smooth one that finds likenesses.

    target = linear rows @ weights + smooth(places) + noise
    covariance = a^2 linear linear' + b^2 Matern32(places / lengths) + s^2 / sample weight

(Rasmussen and Williams 2006, ch. 2.)

The linear part carries the knowledge that costs add up, and goes on where nothing was measured; the smooth part
corrects it near measured rows, and fades. How much each counts is the most probable setting given the data (section
5.4.1), under weak priors. Noise has the tails of Student's t distribution: a row that all others disagree with weighs
less (Lange, Little and Taylor 1989), since one interrupted run must not bend everything around it. scikit-learn's
regressor has neither kernels on separate columns, nor priors, nor such noise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from hwnas.foreign import Positive
from hwnas.latency.arrays import Floats

PRIOR_SPREAD = 1.0
"""Standard deviation of the prior on the logarithm of each amplitude: a factor of e either way is unsurprising."""

LENGTH_SPREAD = 0.7
"""The same for each length: lower, since there is one per column and 20 rows must settle them all."""

TUNING_ROWS = 300
"""So many rows settle the hyper-parameters; the process itself then uses them all."""

TAILS = 4.0
"""Degrees of freedom of the noise: at 4, one row in 25 is more than 2.8 standard deviations off."""

JITTER = 1e-9


@dataclass(frozen=True)
class Hyperparameters:
    """How far each part of a target may lie from its prior mean, and over which distances the smooth part varies."""

    linear: Positive
    smooth: Positive
    noise: Positive
    lengths: tuple[Positive, ...]
    """One per column of the places."""

    @property
    def log(self) -> Floats:
        return np.log([self.linear, self.smooth, self.noise, *self.lengths])

    @staticmethod
    def from_log(values: Floats) -> Hyperparameters:
        linear, smooth, noise, *lengths = map(float, np.exp(values))
        return Hyperparameters(linear, smooth, noise, tuple(lengths))


@dataclass(frozen=True, eq=False)
class GaussianProcess:
    """Rows that were seen, and the hyper-parameters by which they speak for others.

    Attributes:
        linear: (n, p), columns in units in which a weight of `hyperparameters.linear` is to be expected.
        places: (n, d), columns of about unit spread.
        targets: (n,), less their prior mean.
        sample_weight: (n,), about 1; how many ordinary rows one counts for.
    """

    linear: Floats
    places: Floats
    targets: Floats
    hyperparameters: Hyperparameters
    sample_weight: Floats

    @staticmethod
    def fit(linear: Floats, places: Floats, targets: Floats, expected: Hyperparameters) -> GaussianProcess:
        """The process with the most probable hyper-parameters; those `expected` are the centre of their prior."""
        process = GaussianProcess(linear, places, targets, expected, np.ones(len(targets)))
        process = replace(process, hyperparameters=_most_probable(process, expected))
        errors, stds = process.leave_one_out()
        process = replace(process, sample_weight=(TAILS + 1) / (TAILS + (errors / stds) ** 2))
        return replace(process, hyperparameters=_most_probable(process, expected))

    def predict(self, linear: Floats, places: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation (m,) of new rows' targets, noise included."""
        from scipy.linalg import solve_triangular

        across = covariance(linear, places, self.linear, self.places, self.hyperparameters)
        h = self.hyperparameters
        alone = h.linear**2 * (linear**2).sum(1) + h.smooth**2 + h.noise**2
        known = (solve_triangular(self._factor, across.T, lower=True) ** 2).sum(0)
        return across @ self._weights, np.sqrt(np.maximum(alone - known, h.noise**2))

    def leave_one_out(self) -> tuple[Floats, Floats]:
        """Each row's target less its prediction from all other rows, and that prediction's standard deviation, (n,).

        Closed form (Rasmussen and Williams 2006, equations 5.10 to 5.12); hyper-parameters are those of all rows.
        """
        from scipy.linalg import cho_solve

        precision = np.diag(cho_solve((self._factor, True), np.eye(len(self.targets))))
        return self._weights / precision, 1 / np.sqrt(precision)

    @cached_property
    def _factor(self) -> Floats:
        prior = covariance(self.linear, self.places, self.linear, self.places, self.hyperparameters)
        return np.linalg.cholesky(prior + np.diag(self.hyperparameters.noise**2 / self.sample_weight + JITTER))

    @cached_property
    def _weights(self) -> Floats:
        from scipy.linalg import cho_solve

        weights: Floats = cho_solve((self._factor, True), self.targets)
        return weights


def covariance(
    linear: Floats, places: Floats, other_linear: Floats, other_places: Floats, h: Hyperparameters
) -> Floats:
    """Prior covariances (n, m) of rows and other rows, without noise."""
    steps = _steps(places, other_places, h)
    found: Floats = h.linear**2 * linear @ other_linear.T + h.smooth**2 * (1 + steps) * np.exp(-steps)
    return found


def _steps(places: Floats, others: Floats, h: Hyperparameters) -> Floats:
    """sqrt(3) times the distances of places in units of the lengths, (n, m)."""
    from scipy.spatial.distance import cdist

    steps: Floats = np.sqrt(3.0) * cdist(places / h.lengths, others / h.lengths)
    return steps


def _most_probable(process: GaussianProcess, expected: Hyperparameters) -> Hyperparameters:
    """Hyper-parameters of the highest posterior density, from those that `process` has on."""
    from scipy.optimize import minimize

    rows = np.random.default_rng(0).permutation(len(process.targets))[:TUNING_ROWS]
    data = (process.linear[rows], process.places[rows], process.targets[rows], process.sample_weight[rows])
    centre = expected.log
    spread = np.full(len(centre), LENGTH_SPREAD)
    spread[:3] = PRIOR_SPREAD

    def loss(values: Floats) -> tuple[float, Floats]:
        likelihood, gradient = _negative_log_likelihood(*data, Hyperparameters.from_log(values))
        away = (values - centre) / spread
        return likelihood + 0.5 * float(away @ away), gradient + away / spread

    bounds = [(value - 7, value + 7) for value in centre]
    start = process.hyperparameters.log
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 60})
    return Hyperparameters.from_log(found.x)


def _negative_log_likelihood(
    linear: Floats, places: Floats, targets: Floats, sample_weight: Floats, h: Hyperparameters
) -> tuple[float, Floats]:
    """-log p(targets) and its gradient by the logarithms of the hyper-parameters (equations 5.8 and 5.9)."""
    from scipy.linalg import cho_solve

    steps = _steps(places, places, h)
    decay = np.exp(-steps)
    of_linear, of_smooth = h.linear**2 * linear @ linear.T, h.smooth**2 * (1 + steps) * decay
    factor = np.linalg.cholesky(of_linear + of_smooth + np.diag(h.noise**2 / sample_weight + JITTER))
    inverse = cho_solve((factor, True), np.eye(len(targets)))
    weights = inverse @ targets
    slope = inverse - np.outer(weights, weights)  # 2 dL/dK
    by_distance = slope * 3 * h.smooth**2 * decay  # times (x - x')^2 / length^2: 2 dL/dlog(length)
    scaled = places / h.lengths
    by_lengths = by_distance.sum(1) @ scaled**2 - ((by_distance @ scaled) * scaled).sum(0)
    gradient = [
        (slope * of_linear).sum(),
        (slope * of_smooth).sum(),
        h.noise**2 * (np.diag(slope) / sample_weight).sum(),
        *by_lengths,
    ]
    return 0.5 * float(targets @ weights) + float(np.log(np.diag(factor)).sum()), np.array(gradient)
