"""The error card: how far a predictor is off on whole networks it has not seen."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class ErrorCard:
    """Errors in percent of the measured latency; None where there were too few networks to tell."""

    predictor: str
    n_blocks: int
    n_networks: int
    mape: float | None
    """Mean absolute percentage error."""
    hit5: float | None
    """Share of networks predicted within 5 %."""
    hit10: float | None
    spearman: float | None
    """Rank correlation of predicted and measured latency; None where all networks are equally fast."""
    noise_floor: float | None
    """How far repeated visits of one network differ: what no predictor can beat."""
    protocol: str

    @staticmethod
    def unjudged(n_blocks: int, n_networks: int) -> ErrorCard:
        """The card of a plain block sum that too few networks were measured to judge."""
        protocol = "not judged: fewer than 5 whole networks measured"
        return ErrorCard("block sum", n_blocks, n_networks, None, None, None, None, None, protocol)

    @staticmethod
    def judge(measured_ms: np.ndarray, unseen_ms: np.ndarray, noise_floor: float | None, n_blocks: int) -> ErrorCard:
        """The card of predictions for networks that the predictor had not seen; both arrays (n,) in ms."""
        from scipy.stats import spearmanr

        rank_correlation = float(spearmanr(measured_ms, unseen_ms).statistic)
        error = 100 * np.abs(unseen_ms - measured_ms) / measured_ms
        return ErrorCard(
            predictor="calibrated block sum",
            n_blocks=n_blocks,
            n_networks=len(measured_ms),
            mape=float(error.mean()),
            hit5=100 * float((error <= 5).mean()),
            hit10=100 * float((error <= 10).mean()),
            spearman=rank_correlation if np.isfinite(rank_correlation) else None,
            noise_floor=noise_floor,
            protocol="5-fold cross-validation over whole networks",
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
