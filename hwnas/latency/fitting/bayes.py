"""A Bayesian linear model of latency: many terms in groups, each group as strong as the measurements show.

    1 = sum over terms of weight * (value / measured ms) + error          weight ~ N(prior, variance of its group)

Dividing by the measured ms makes the error relative. The variance of each group and of the error are those under which
the measurements are most probable (type II maximum likelihood by expectation-maximisation; Bishop, Pattern Recognition
and Machine Learning, 3.5 and 9.3.4). So a group that explains nothing shrinks to nothing, with 20 networks most weights
stay near their prior, and with 900 each has a value of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwnas.latency.arrays import Floats, Ints

ITERATIONS = 60
"""Steps of expectation-maximisation at most; from a good start, `REFINEMENTS` are enough."""
REFINEMENTS = 10
CONVERGED = 1e-3
"""Largest relative change of the noise between two steps that counts as none."""

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
    sizes = np.bincount(groups)
    if start is None:
        share = np.bincount(groups, (rows**2).mean(0))
        variances, noise_variance, sample_weight = 0.3 / np.maximum(share, 1e-12), 0.01, np.ones(len(rows))
    else:
        variances, noise_variance, sample_weight = start.variances, start.noise_variance, start.sample_weight
    few = len(rows) < rows.shape[1]
    for _ in range(ITERATIONS if start is None else REFINEMENTS):
        given = sample_weight, variances[groups], noise_variance
        second_moment, squared = (_moments_of_few if few else _moments)(rows, target, *given)
        variances = np.maximum(np.bincount(groups, second_moment) / sizes, LEAST_VARIANCE)
        before, noise_variance = noise_variance, max(float(sample_weight @ squared) / len(rows), LEAST_VARIANCE)
        if heavy_tails:
            sample_weight = 1 / np.maximum(np.sqrt(squared / noise_variance), SMALLEST_RESIDUAL)
            sample_weight /= sample_weight.mean()
        if abs(noise_variance - before) < CONVERGED * before:
            break
    mean, covariance = _solve(rows, target, *given)
    return Posterior(prior_mean + mean, covariance, variances, noise_variance, sample_weight)


def _moments(
    rows: Floats, target: Floats, sample_weight: Floats, variance: Floats, noise_variance: float
) -> tuple[Floats, Floats]:
    """What the weights' squares (terms,) and the squared errors (networks,) are expected to be, by the posterior."""
    mean, covariance = _solve(rows, target, sample_weight, variance, noise_variance)
    squared = (target - rows @ mean) ** 2 + ((rows @ covariance) * rows).sum(1)
    return mean**2 + np.diag(covariance), squared


def _moments_of_few(
    rows: Floats, target: Floats, sample_weight: Floats, variance: Floats, noise_variance: float
) -> tuple[Floats, Floats]:
    """The same, for fewer networks than terms: their covariance is inverted, not the precision of the terms.

    By the matrix inversion lemma (Rasmussen and Williams, Gaussian Processes for Machine Learning, A.9).
    """
    scaled = rows * np.sqrt(variance)
    noise = noise_variance / sample_weight
    covariance = scaled @ scaled.T
    covariance.flat[:: len(noise) + 1] += noise
    inverse = np.linalg.inv(covariance)
    weight = inverse @ target
    explained = ((inverse @ scaled) * scaled).sum(0)
    squared = (noise * weight) ** 2 + noise - noise**2 * np.diag(inverse)
    return variance * ((scaled.T @ weight) ** 2 + np.maximum(1 - explained, 0.0)), np.maximum(squared, 0.0)


def _solve(
    rows: Floats, target: Floats, sample_weight: Floats, variance: Floats, noise_variance: float
) -> tuple[Floats, Floats]:
    """Mean and covariance of the weights' deviation from their prior for given variances (Bishop, 3.53 and 3.54).

    Scaled by the prior's standard deviations, the matrix to invert has no eigenvalue below 1.
    """
    deviation = np.sqrt(variance)
    scaled = rows * deviation
    precision = (scaled.T * sample_weight) @ scaled / noise_variance + np.eye(len(deviation))
    inverse = np.linalg.inv(precision)
    inverse = (inverse + inverse.T) / 2
    mean = deviation * (inverse @ (scaled.T @ (sample_weight * target))) / noise_variance
    return mean, inverse * np.outer(deviation, deviation)
