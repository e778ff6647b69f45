"""Conformal intervals: as wide as errors on rows that a fit had not seen (Vovk, Gammerman and Shafer 2005).

MAPIE does the same around scikit-learn estimators, and would have to wrap fits that are none.
"""

from __future__ import annotations

import numpy as np

from hwnas.latency.arrays import Floats

COVERAGE = 0.9
"""Share of unseen rows that an interval is to hold."""


def conformal_quantile(scores: Floats) -> float:
    """The score that nine in ten scores of unseen rows stay below; between two of them, interpolated.

    Half a standard error more, since few rows say little of a quantile and often chose the model, too.

    Args:
        scores: (n,), n at least 1: how far each row was off when a fit had not seen it, in any unit.
    """
    n = len(scores)
    share = COVERAGE + 0.5 * np.sqrt(COVERAGE * (1 - COVERAGE) / n)
    return float(np.interp(share * (n + 1), np.arange(1, n + 1), np.sort(scores)))
