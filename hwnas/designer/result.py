"""The DesignResult: what was designed, and how it measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hwnas.designer.config import DesignConfig
from hwnas.exporter.exported import ExportedModel
from hwnas.latency.predictor import Prediction
from hwnas.pricing import Price
from hwnas.searches.frontier import FrontierPoint
from hwnas.space import Architecture


@dataclass(frozen=True)
class DesignResult:
    """What was designed and how it measured. Accuracy is a share from 0 to 1, on images the search never read."""

    config: DesignConfig
    runtime: str
    """The one whose latency the budget limits."""
    status: Literal["within", "over", "predicted"]
    """The last where nothing was measured, since the latency table is a published one."""
    architecture: Architecture
    prediction: Prediction
    """By the table, whatever the machine does now."""
    drift_percent: float | None
    """How much longer the reference model takes now than when the table was measured; None: the table does not say.

    For the reader: no number is corrected by it."""
    is_fastest: bool
    """Whether this is the fastest network of the space: if it is over the budget, so is every other."""
    measured_ms: dict[str, float]
    accuracy: float
    models: list[ExportedModel]
    run: Path
    seconds: float
    conditions: dict[str, dict[str, Any]]
    """What each runtime was measured under: see `hwnas.campaign.conditions.Conditions`."""
    price: Price
    """Block by block, at the speed that the machine had for the table."""
    publication: str | None = None
    """Where the latency table is from, if it was not measured."""
    frontier: tuple[FrontierPoint, ...] = ()
    accuracy_without_leaked: float | None = None
    """On the test images that are no copies of images the search read; None: there are no copies, or nothing else."""
    data_warnings: tuple[str, ...] = ()
    """What is to be known of the images: see `hwnas.train.findings.Findings`."""
    training_threads: int | None = None
    """Threads that each process trained with."""
    files_ms: dict[str, dict[str, float]] = field(default_factory=dict)
    """By the name of each exported file: median ms per runtime."""

    @property
    def in_interval(self) -> bool | None:
        """Whether the measured latency lies in the predicted 90 % interval; None where nothing was measured."""
        return self.prediction.holds(self.measured_ms[self.runtime]) if self.measured_ms else None

    def to_json(self) -> dict[str, Any]:
        return {
            "status": self.status,
            "budget_ms": self.config.budget_ms,
            "device": self.config.device,
            "runtime": self.runtime,
            "predicted_ms": self.prediction.ms,
            "interval_ms": list(self.prediction.interval_ms),
            "in_interval": self.in_interval,
            "is_fastest": self.is_fastest,
            "drift_percent": self.drift_percent,
            "measured_ms": self.measured_ms,
            "conditions": self.conditions,
            "accuracy": self.accuracy,
            "accuracy_without_leaked": self.accuracy_without_leaked,
            "data_warnings": list(self.data_warnings),
            "macs": self.architecture.macs,
            "params": self.architecture.params,
            "architecture": self.architecture.to_json(),
            "price": self.price.to_json() | {"architecture": self.price.architecture.to_json()},
            "publication": self.publication,
            "models": [
                {
                    "format": model.format,
                    "precision": model.precision,
                    "path": str(model.path),
                    "bytes": model.bytes,
                    "sha256": model.info.sha256,
                    "max_relative_error": model.max_relative_error,
                    "ms": self.files_ms.get(model.path.name, {}),
                    "accuracy": None if model.accuracy is None else model.accuracy.share,
                }
                for model in self.models
            ],
            "frontier": [point.to_json() for point in self.frontier],
            "run": str(self.run),
            "seconds": self.seconds,
            "training_threads": self.training_threads,
        }
