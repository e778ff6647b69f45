"""Active selection of the rows to measure next: those that teach a linear model most about all the others.

A Bayesian linear model knows how uncertain it is about every row before anything is measured: that depends on features
only. Greedily taking the row whose measurement lowers the mean variance of all rows is V-optimal design, a step at a
time (Chaloner and Verdinelli 1995, "Bayesian experimental design").
"""

from __future__ import annotations

import numpy as np

from hwnas.errors import UsageError
from hwnas.latency.arrays import Floats

NOISE = 0.1
"""Standard deviation of a measurement, relative to the ms that one column of features is expected to explain."""


def most_informative(
    features: Floats,
    count: int,
    known: Floats | None = None,
    prior_std: Floats | None = None,
    noise: float = NOISE,
    seed: int = 0,
) -> list[int]:
    """The rows to measure, most informative first; fewer than `count` only where there are fewer rows.

    No row is taken twice. Rows that teach equally much, such as duplicates, are taken in an order that `seed` decides.

    Args:
        features: (n, d), one row per candidate: architectures, or blocks; the mean variance is over these rows. Include
            a column of ones where the model has a bias.
        count: how many to choose.
        known: (k, d), rows that have been measured already.
        prior_std: (d,), how large a weight of each column is expected to be. By default such that every column
            contributes equally much to a row, 1 in the root mean square.
        noise: standard deviation of a measurement in the same units.
        seed: order of equals.

    Raises:
        UsageError: if a shape, `count` or `noise` makes no sense, or a feature is not a finite number.
    """
    features = np.asarray(features, dtype=float)
    _check(features, count, noise)
    if not len(features):
        return []
    if prior_std is None:
        size = np.sqrt((features**2).mean(0))
        prior_std = np.divide(1.0, size, out=np.zeros_like(size), where=size > 0)
    order = np.random.default_rng(seed).permutation(len(features))
    rows = features[order] * prior_std
    covariance = np.eye(rows.shape[1])
    for row in np.empty((0, rows.shape[1])) if known is None else np.asarray(known, dtype=float) * prior_std:
        covariance = _after(covariance, row, noise)
    chosen: list[int] = []
    importance = rows.T @ rows / len(rows)
    for _ in range(min(count, len(rows))):
        moved = rows @ covariance
        gain = np.einsum("ij,jk,ik->i", moved, importance, moved, optimize=True)
        gain /= noise**2 + np.einsum("ij,ij->i", moved, rows)
        gain[chosen] = -np.inf
        chosen.append(int(gain.argmax()))
        covariance = _after(covariance, rows[chosen[-1]], noise)
    return [int(order[i]) for i in chosen]


def _after(covariance: Floats, row: Floats, noise: float) -> Floats:
    """The covariance of the weights once `row` is measured (Sherman-Morrison)."""
    moved = covariance @ row
    after: Floats = covariance - np.outer(moved, moved) / (noise**2 + row @ moved)
    return after


def _check(features: Floats, count: int, noise: float) -> None:
    if features.ndim != 2 or not np.isfinite(features).all():
        raise UsageError(f"features must be finite numbers, one row per candidate, not an array of {features.shape}.")
    if count < 0 or not noise > 0:
        raise UsageError(f"count must be 0 or more and noise positive, not {count} and {noise}.")
