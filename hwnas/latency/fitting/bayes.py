"""A Bayesian linear model of latency: many terms in groups, each group as strong as the measurements show.

    1 = sum over terms of weight * (value / measured ms) + error          weight ~ N(prior, variance of its group)

Dividing by the measured ms makes the error relative. The variance of each group and of the error are those under which
the measurements are most probable (type II maximum likelihood by expectation-maximisation; Bishop, Pattern Recognition
and Machine Learning, 3.5 and 9.3.4). So a group that explains nothing shrinks to nothing, with 20 networks most weights
stay near their prior, and with 900 each has a value of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hwnas.latency.arrays import Floats, Ints

ITERATIONS = 60
"""Steps of expectation-maximisation at most; from a good start, `REFINEMENTS` are enough."""
REFINEMENTS = 10
CONVERGED = 1e-3
"""Largest relative change of the noise between two steps that counts as none."""
EXACT = 1e-6
"""Noise variance of a fit that needs no further steps: errors of 0.1 %, less than any device repeats."""

LEAST_VARIANCE = 1e-10
SMALLEST_RESIDUAL = 0.05
"""In units of the noise: it keeps the weight of a network that is fitted exactly finite."""


@dataclass(frozen=True, eq=False)
class Posterior:
    """The weights as a Gaussian, and the variances it was found with.

    Attributes:
        mean: (terms,).
        covariance: (terms, terms).
        variances: (groups,), of a weight of each group a priori.
        noise_variance: of the relative error of one network.
        sample_weight: (networks,), how much each network counts; 1 unless errors have heavy tails.
    """

    mean: Floats
    covariance: Floats
    variances: Floats
    noise_variance: float
    sample_weight: Floats

    def relative_variance(self, values: Floats, predicted_ms: Floats) -> Floats:
        """(n,): how uncertain the weights leave the predictions for rows of `values` (n, terms), relative squared."""
        variance: Floats = np.einsum("ij,jk,ik->i", values, self.covariance, values, optimize=True)
        return variance / predicted_ms**2


def fit_weights(
    values: Floats,
    groups: Ints,
    measured_ms: Floats,
    prior_mean: Floats,
    heavy_tails: bool = False,
    start: Posterior | None = None,
) -> Posterior:
    """The posterior of the weights.

    Args:
        values: (networks, terms), each term of a size at which the weights of its group are comparable.
        groups: (terms,), number of the group that each term belongs to, from 0 on without gaps.
        measured_ms: (networks,).
        prior_mean: (terms,), of the weights without evidence.
        heavy_tails: errors are Laplace instead of Gaussian, which leaves stray measurements (another speed of the
            processor, a branch that was not pruned) without much weight; the fit follows the median.
        start: a fit to these networks and some more, to go on from; its sample weights are those of these.
    """
    rows = values / measured_ms[:, None]
    target = 1.0 - rows @ prior_mean
    if start is None:
        share = np.bincount(groups, (rows**2).mean(0))
        variances, noise_variance, sample_weight = 0.3 / np.maximum(share, 1e-12), 0.01, np.ones(len(rows))
    else:
        variances, noise_variance, sample_weight = start.variances, start.noise_variance, start.sample_weight
    expected = (_moments_of_few if len(rows) < rows.shape[1] else _moments)(rows, target, groups)
    for _ in range(ITERATIONS if start is None else REFINEMENTS):
        given = sample_weight, variances, noise_variance
        mean_square, squared = expected(*given)
        variances = np.maximum(mean_square, LEAST_VARIANCE)
        before, noise_variance = noise_variance, max(float(sample_weight @ squared) / len(rows), LEAST_VARIANCE)
        if heavy_tails:
            sample_weight = 1 / np.maximum(np.sqrt(squared / noise_variance), SMALLEST_RESIDUAL)
            sample_weight /= sample_weight.mean()
        if abs(noise_variance - before) < CONVERGED * before or noise_variance < EXACT:
            break
    mean, covariance = _solve(rows, target, groups, *given)
    return Posterior(prior_mean + mean, covariance, variances, noise_variance, sample_weight)


Moments = Callable[[Floats, Floats, float], tuple[Floats, Floats]]
"""(sample weights, variances of the groups, that of the noise) -> what the posterior expects: the mean square of the
weights of each group, (groups,), and the squared errors, (networks,)."""


def _moments(rows: Floats, target: Floats, groups: Ints) -> Moments:
    """For at least as many networks as terms."""
    sizes = np.bincount(groups)

    def expected(sample_weight: Floats, variances: Floats, noise_variance: float) -> tuple[Floats, Floats]:
        mean, covariance = _solve(rows, target, groups, sample_weight, variances, noise_variance)
        squared = (target - rows @ mean) ** 2 + ((rows @ covariance) * rows).sum(1)
        return np.bincount(groups, mean**2 + np.diag(covariance)) / sizes, squared

    return expected


def _moments_of_few(rows: Floats, target: Floats, groups: Ints) -> Moments:
    """For fewer networks than terms: their covariance is inverted, not the precision of the terms.

    By the matrix inversion lemma (Rasmussen and Williams, Gaussian Processes for Machine Learning, A.9). A group has
    one variance, so its terms come in through what they add to that covariance alone.
    """
    n, sizes = len(rows), np.bincount(groups)
    products = np.array([rows[:, groups == group] @ rows[:, groups == group].T for group in range(len(sizes))])
    flat = products.reshape(len(sizes), n * n)

    def expected(sample_weight: Floats, variances: Floats, noise_variance: float) -> tuple[Floats, Floats]:
        noise = noise_variance / sample_weight
        covariance = variances @ flat
        covariance[:: n + 1] += noise
        inverse = np.linalg.inv(covariance.reshape(n, n))
        weight = inverse @ target
        explained = variances * (flat @ inverse.ravel())
        mean_square = variances * (variances * (products @ weight @ weight) + np.maximum(sizes - explained, 0)) / sizes
        return mean_square, np.maximum((noise * weight) ** 2 + noise - noise**2 * inverse.diagonal(), 0.0)

    return expected


def _solve(
    rows: Floats, target: Floats, groups: Ints, sample_weight: Floats, variances: Floats, noise_variance: float
) -> tuple[Floats, Floats]:
    """Mean and covariance of the weights' deviation from their prior for given variances (Bishop, 3.53 and 3.54).

    Scaled by the prior's standard deviations, the matrix to invert has no eigenvalue below 1.
    """
    deviation = np.sqrt(variances)[groups]
    scaled = rows * deviation
    precision = (scaled.T * sample_weight) @ scaled / noise_variance + np.eye(len(deviation))
    inverse = np.linalg.inv(precision)
    inverse = (inverse + inverse.T) / 2
    mean = deviation * (inverse @ (scaled.T @ (sample_weight * target))) / noise_variance
    return mean, inverse * np.outer(deviation, deviation)
