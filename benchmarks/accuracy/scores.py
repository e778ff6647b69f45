"""The figures by which every predictor is judged, and their means over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

MAX_TEST = 4000
"""At most so many unseen rows are judged."""

NORMAL_90 = 1.645


def scores(measured_ms: np.ndarray, predicted_ms: np.ndarray, relative_std: np.ndarray) -> dict[str, float]:
    """Errors of unseen rows in percent, their rank correlation, and the share that 90 % intervals hold in percent."""
    from scipy.stats import spearmanr

    error = 100 * np.abs(predicted_ms - measured_ms) / measured_ms
    rank_correlation = float(spearmanr(measured_ms, predicted_ms).statistic)
    inside = np.abs(measured_ms / predicted_ms - 1) <= NORMAL_90 * relative_std
    return {
        "mape": float(error.mean()),
        "hit5": 100 * float((error <= 5).mean()),
        "hit10": 100 * float((error <= 10).mean()),
        "spearman": 0.0 if math.isnan(rank_correlation) else rank_correlation,
        "coverage90": 100 * float(inside.mean()),
    }


def mape(measured_ms: np.ndarray, predicted_ms: np.ndarray) -> float:
    """Mean absolute percentage error."""
    return 100 * float(np.abs(predicted_ms / measured_ms - 1).mean())


def mean_scores(results: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean of every figure over seeds."""
    return {name: float(np.mean([result[name] for result in results])) for name in results[0]}


def relative_least_squares(features: np.ndarray, measured_ms: np.ndarray) -> np.ndarray:
    """Weights (d,) of the least squared relative error: the plain linear model that a predictor must beat."""
    return np.linalg.lstsq(features / measured_ms[:, None], np.ones(len(measured_ms)), rcond=None)[0]
