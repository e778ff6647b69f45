"""The LatencyRange: what a space can do on a device, from its fastest to its slowest network, and known networks there.

`hwnas.latency.measuring.latency_range` finds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hwnas.latency.predictor import LatencyPredictor, Prediction
from hwnas.latency.tables.table import LatencyTable
from hwnas.networks.scaling import ScaledNetwork
from hwnas.space import Architecture, SearchSpace


@dataclass(frozen=True)
class End:
    """The fastest or the slowest network of a space."""

    architecture: Architecture
    prediction: Prediction
    measured_ms: float | None

    @staticmethod
    def of(architecture: Architecture, predictor: LatencyPredictor, measured: LatencyTable) -> End:
        row = measured.networks.get(architecture)
        return End(architecture, predictor.predict(architecture), None if row is None else row.median_ms)

    @property
    def is_measured(self) -> bool:
        return self.measured_ms is not None

    @property
    def ms(self) -> float:
        """As measured, or else as predicted."""
        return self.prediction.ms if self.measured_ms is None else self.measured_ms


@dataclass(frozen=True)
class SpaceRange:
    """The fastest and the slowest network of a space, as a predictor has it, and what they take."""

    space: SearchSpace
    fastest: End
    slowest: End

    @staticmethod
    def of(space: SearchSpace, predictor: LatencyPredictor, measured: LatencyTable) -> SpaceRange:
        """`measured`: holds whole networks, perhaps the ends."""
        return SpaceRange(space, *(End.of(network, predictor, measured) for network in predictor.extremes(space)))

    @property
    def ends(self) -> dict[str, End]:
        return {"fastest": self.fastest, "slowest": self.slowest}

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"resolution": self.space.input_shape[1]}
        for name, end in self.ends.items():
            found |= {f"{name}_ms": end.ms, f"{name}_code": end.architecture.code}
            found |= {f"{name}_measured": end.is_measured, f"{name}_interval_ms": list(end.prediction.interval_ms)}
        return found


Source = Literal["measured", "priced", "estimated"]
"""Where a known network's ms is from: it was measured as a whole; its blocks were; some are estimated from others."""


@dataclass(frozen=True)
class KnownLatency:
    """A known network, and where its ms is from."""

    network: ScaledNetwork
    source: Source
    interval_ms: tuple[float, float] | None = None
    """Holds it with 90 %; None for a measured one."""

    def to_json(self) -> dict[str, Any]:
        interval_ms = None if self.interval_ms is None else list(self.interval_ms)
        return self.network.to_json() | {"source": self.source, "interval_ms": interval_ms}


@dataclass(frozen=True)
class LatencyRange:
    """The range of a space, at one resolution or several, and the known networks."""

    spaces: tuple[SpaceRange, ...]
    known: tuple[KnownLatency, ...]
    """From the fastest to the slowest, those outside the range too."""
    left_out: Mapping[str, str]
    """Why a known network has no ms, by its name."""
    table: Path
    publication: str | None

    def __repr__(self) -> str:
        return f"LatencyRange({self.fastest_ms:.4g} to {self.slowest_ms:.4g} ms, {len(self.between)} known networks)"

    @property
    def fastest_ms(self) -> float:
        """Over all resolutions."""
        return min(each.fastest.ms for each in self.spaces)

    @property
    def slowest_ms(self) -> float:
        return max(each.slowest.ms for each in self.spaces)

    @property
    def between(self) -> tuple[KnownLatency, ...]:
        """The known networks between the fastest and the slowest of the space."""
        return tuple(each for each in self.known if self.fastest_ms <= each.network.ms <= self.slowest_ms)

    def to_json(self) -> dict[str, Any]:
        """``fastest_ms, slowest_ms, known: [{network, width, resolution, ms}]`` and the rest."""
        between = self.between
        return {
            "fastest_ms": self.fastest_ms,
            "slowest_ms": self.slowest_ms,
            "known": [each.to_json() for each in between],
            "outside": [each.to_json() for each in self.known if each not in between],
            "left_out": dict(self.left_out),
            "space": self.spaces[0].space.name,
            "resolutions": [each.to_json() for each in self.spaces],
            "table": str(self.table),
            "publication": self.publication,
        }
