"""The error card: how far a predictor is off on whole networks it has not seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from hwnas.foreign import Finite, Ms, NotNegative, typed
from hwnas.latency.arrays import Floats
from hwnas.latency.tables.table import Latency

Number = Annotated[int, Field(ge=0, le=10**12)]
Percent = Annotated[float, Field(ge=0, le=100)]
Correlation = Annotated[float, Field(ge=-1.001, le=1.001)]

IN_FILES: dict[str, str] = {"held_out": "judged"}
"""Fields of the card that files call otherwise."""


@dataclass(frozen=True)
class CurvePoint:
    """The error after measuring so many networks, on networks not seen."""

    networks: Number
    mape: NotNegative
    """Mean over several random choices of the networks, in percent."""


@dataclass(frozen=True)
class HeldOutPrediction:
    """One network, predicted by a fit that had not seen it."""

    code: str
    predicted_ms: Finite
    low_ms: Finite
    """Lower end of the 90 % interval."""
    high_ms: Finite
    measured_ms: Ms
    reason: str = ""
    """Why it may be far off, where something is known."""

    @property
    def error_percent(self) -> float:
        """Positive where the network was predicted too slow."""
        return 100 * (self.predicted_ms / self.measured_ms - 1)

    @property
    def covered(self) -> bool:
        return self.low_ms <= self.measured_ms <= self.high_ms


@dataclass(frozen=True)
class ErrorCard:
    """Errors in percent of the measured latency; None where there were too few networks to tell."""

    predictor: str
    """Its kind, and how it prices the blocks of a network."""
    n_blocks: Number
    n_networks: Number
    mape: NotNegative | None
    """Mean absolute percentage error."""
    hit5: Percent | None
    """Share of networks predicted within 5 %."""
    hit10: Percent | None
    spearman: Correlation | None
    """Rank correlation of predicted and measured latency; None where all networks are equally fast."""
    noise_floor: NotNegative | None
    """How far repeated measurements of one network differ: no predictor can be better."""
    protocol: str
    kendall: Correlation | None = None
    """Another rank correlation: the share of pairs in the right order minus that in the wrong one."""
    coverage90: Percent | None = None
    """Share of networks within their 90 % interval."""
    measured_on: Mapping[str, Any] | None = None
    """The conditions of the table's measurements, in short."""
    learning_curve: tuple[CurvePoint, ...] = ()
    held_out: Annotated[tuple[HeldOutPrediction, ...], Field(alias=IN_FILES["held_out"])] = ()
    """Every network, farthest off first."""
    own_mape: NotNegative | None = None
    """For a predictor transferred from other devices: the error of the fit to this table alone, on the same
    networks."""

    def __repr__(self) -> str:
        error = "error not known" if self.mape is None else f"error {self.mape:.2f} %"
        return f"ErrorCard({error}, {self.n_networks} networks, {self.n_blocks} blocks)"

    @staticmethod
    def not_evaluated(n_blocks: int, n_networks: int) -> ErrorCard:
        """The card of a plain block sum, which too few networks were measured to evaluate."""
        protocol = "not evaluated: fewer than 5 whole networks measured"
        return ErrorCard("block sum", n_blocks, n_networks, None, None, None, None, None, protocol)

    @staticmethod
    def evaluated(measured_ms: Floats, unseen_ms: Floats, noise_floor: float | None, n_blocks: int) -> ErrorCard:
        """The card of predictions for networks that the predictor had not seen; both arrays (n,) in ms."""
        statistics = errors(measured_ms, unseen_ms)
        return ErrorCard(
            predictor="calibrated block sum",
            n_blocks=n_blocks,
            n_networks=len(measured_ms),
            noise_floor=noise_floor,
            protocol="5-fold cross-validation over whole networks",
            **statistics,
        )

    def with_held_out(self, predictions: Iterable[HeldOutPrediction]) -> ErrorCard:
        """This card about these networks: all its statistics, and the networks themselves."""
        ordered = tuple(sorted(predictions, key=lambda network: -abs(network.error_percent)))
        measured_ms = np.array([network.measured_ms for network in ordered])
        statistics = errors(measured_ms, np.array([network.predicted_ms for network in ordered]))
        coverage90 = 100 * float(np.mean([network.covered for network in ordered]))
        return replace(self, n_networks=len(ordered), held_out=ordered, coverage90=coverage90, **statistics)

    @property
    def over_noise(self) -> float | None:
        """How many times the noise floor the error is; None where either is not known."""
        return self.mape / self.noise_floor if self.mape is not None and self.noise_floor else None

    def to_json(self) -> dict[str, Any]:
        """The fields, as JSON data."""
        networks = [asdict(network) | {"error_percent": network.error_percent} for network in self.held_out]
        data: dict[str, Any] = asdict(self) | {"held_out": networks}
        return {IN_FILES.get(name, name): value for name, value in data.items()}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> ErrorCard:
        """The card that `to_json` wrote, of this version or an earlier one. Raises ValueError for anything else."""
        keys = [IN_FILES.get(field.name, field.name) for field in fields(ErrorCard)]
        known = {key: data[key] for key in keys if key in data}
        networks = known.get("judged", ())
        if isinstance(networks, Sequence) and all(isinstance(network, dict) for network in networks):
            known["judged"] = [{k: v for k, v in n.items() if k != "error_percent"} for n in networks]
        card: ErrorCard = typed(ErrorCard, known)
        for i, network in enumerate(card.held_out):
            if network.low_ms > network.high_ms:
                raise ValueError(f"judged[{i}]: low_ms is {network.low_ms:g}, above high_ms = {network.high_ms:g}")
        return card


def errors(measured_ms: Floats, predicted_ms: Floats) -> dict[str, Any]:
    """How far predictions are off: ``mape, hit5, hit10, spearman, kendall``, in percent but for the correlations.

    Args:
        measured_ms: (n,), n at least 1.
        predicted_ms: (n,).
    """
    from scipy.stats import kendalltau, spearmanr

    off = 100 * np.abs(predicted_ms - measured_ms) / measured_ms
    ranked = len(off) > 1 and np.ptp(measured_ms) > 0 and np.ptp(predicted_ms) > 0
    return {
        "mape": float(off.mean()),
        "hit5": 100 * float((off <= 5).mean()),
        "hit10": 100 * float((off <= 10).mean()),
        "spearman": float(spearmanr(measured_ms, predicted_ms).statistic) if ranked else None,
        "kendall": float(kendalltau(measured_ms, predicted_ms).statistic) if ranked else None,
    }


def noise_floor(latencies: Iterable[Latency]) -> float | None:
    """Percent that a perfect predictor would be off the measurements, on average; None if nothing was repeated.

    That is half of what one half of the repetitions is off the other: each half has twice the variance of all of them
    together, and both err. Tables of earlier versions have the range of the repetitions instead, which is larger.
    """
    known = [
        row.between_visits_percent if row.halves_percent is None else row.halves_percent
        for row in latencies
        if row.halves_percent is not None or row.between_visits_percent > 0  # else it was not repeated, or not measured
    ]
    return float(np.mean(known)) / 2 if known else None
