"""The DesignResult: what was designed, and how it measured."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from hwnas.designer.config import DesignConfig
from hwnas.designer.limit_records import LimitRecord
from hwnas.exporter.exported import ExportedModel
from hwnas.latency.predictor import Prediction
from hwnas.latency.tables.precision import USUAL_PRECISION
from hwnas.pricing import Price
from hwnas.report.recorded import FOUND
from hwnas.searches.derivation import LEAST_SHARE, Derivation
from hwnas.searches.frontier import FrontierPoint
from hwnas.space import Architecture


@dataclass(frozen=True)
class Rival:
    """A known network that was trained, its latency and its accuracies (shares from 0 to 1).

    Attributes:
        measured_ms: with random weights, before it was trained.
        val_accuracy, val_loss: on the validation images, by which what is returned is chosen.
        folder: where its weights are.
    """

    network: str
    width: float
    resolution: int
    measured_ms: float
    val_accuracy: float
    val_loss: float
    accuracy: float
    params: int
    folder: Path

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"folder": str(self.folder)}


@dataclass(frozen=True)
class Int8FineTuning:
    """The loss of a network by rounding on the validation images, and how much of it fine-tuning brought back.

    Attributes:
        float_accuracy: of the network before, in float32, from 0 to 1.
        before, after: of its int8 file, before and after fine-tuning.
        epochs: of the fine-tuning.
        kept: whether the fine-tuned weights are what the design goes on with: they are if the file got better.
    """

    float_accuracy: float
    before: float
    after: float
    epochs: int
    kept: bool

    def __str__(self) -> str:
        went = "" if self.kept else "; that is no better, so that the weights stay as they were"
        return (
            f"int8 took {100 * (self.float_accuracy - self.before):.1f} points of the validation accuracy of "
            f"{100 * self.float_accuracy:.1f} %; {self.epochs} epochs of fine-tuning with fake quantisation brought "
            f"the file from {100 * self.before:.1f} to {100 * self.after:.1f} %{went}"
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"told": str(self)}


@dataclass(frozen=True)
class PrecisionChoice:
    """The outcome of ``--precision auto`` in one precision, and whether it was chosen.

    Attributes:
        val_accuracy: of the file, on the validation images (a share from 0 to 1), by which is chosen.
        accuracy: of the file, on the test images.
        measured_ms, status: of the file on the runtime that the budget is for.
        folder: a whole run of its own.
        reason: why nothing was designed in this precision; all that is above is then None.
    """

    precision: str
    taken: bool = False
    val_accuracy: float | None = None
    accuracy: float | None = None
    measured_ms: float | None = None
    status: str | None = None
    folder: Path | None = None
    reason: str | None = None

    def __str__(self) -> str:
        if self.reason is not None or self.val_accuracy is None:
            return f"{self.precision} was left out: {self.reason}"
        right = f"{100 * self.val_accuracy:.2f} % of the validation images right"
        return f"the {self.precision} file gets {right} in {self.measured_ms:.4g} ms ({self.status} its limits)"

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"folder": None if self.folder is None else str(self.folder)}


@dataclass(frozen=True)
class DesignResult:
    """The designed network and its measurements. Accuracy is a share from 0 to 1, on images the search never read.

    As a rule it is the one that the search found. If a known network of the same ms is better, it is returned instead:
    architecture, files and figures are then its own, and `searched` is what the search found.
    """

    config: DesignConfig
    budget_ms: float
    """In ms also where a share of the space's networks was wanted."""
    budget_hint: str | None
    """A note on the budget: that it is above the slowest network."""
    runtime: str
    """The one whose latency the budget limits."""
    status: Literal["within", "over", "predicted"]
    """The last where nothing was measured, since the latency table is a published one."""
    architecture: Architecture
    drift_percent: float | None
    """How much longer the reference model takes now than when the table was measured; None: the table does not say.

    For the reader: no number is corrected by it."""
    measured_ms: dict[str, float]
    accuracy: float
    models: list[ExportedModel]
    run: Path
    seconds: float
    conditions: dict[str, dict[str, Any]]
    """The conditions of each runtime's measurement: see `hwnas.campaign.conditions.Conditions`."""
    prediction: Prediction | None = None
    """By the table, whatever the machine does now; None for a known network, which is not of the table's space."""
    is_fastest: bool = False
    """Whether this is the fastest network of the space: if it is over the budget, so is every other."""
    price: Price | None = None
    """Block by block, at the speed that the machine had for the table; None where `prediction` is."""
    publication: str | None = None
    """Where the latency table is from, if it was not measured."""
    frontier: tuple[FrontierPoint, ...] = ()
    accuracy_without_leaked: float | None = None
    """On the test images that are no copies of images the search read; None: there are no copies, or nothing else."""
    data_warnings: tuple[str, ...] = ()
    """Warnings about the images: see `hwnas.train.findings.Findings`."""
    derivation: Derivation | None = None
    """How the architecture was derived, and how much of the budget it uses."""
    val_accuracy: float | None = None
    """On the validation images, where it was compared."""
    found_against: tuple[Rival, ...] = ()
    """Known networks of the same ms, trained the same way."""
    returned: str = FOUND
    """``found``, or the name of the known network that is returned since it is better."""
    searched: Rival | None = None
    """The network that the search found, where a known network is returned."""
    chosen: tuple[str, ...] = ()
    """The choices that the configuration left open, and how they were decided."""
    training_threads: int | None = None
    """Threads that each process trained with."""
    precision: str = USUAL_PRECISION
    """Of the file that the budget is for: `measured_ms` and `accuracy` are its own."""
    float_accuracy: float | None = None
    """Of the network before its file was rounded, where the budget is for another one than the float32 file."""
    precision_hint: str | None = None
    """A note on rounding: that it loses more than it should."""
    int8_fine_tuning: Int8FineTuning | None = None
    """Where int8 cost the search's network more accuracy than it may; None: it did not, or another precision."""
    precisions: tuple[PrecisionChoice, ...] = ()
    """The outcomes that ``--precision auto`` chose between; empty for other designs."""
    files_ms: dict[str, dict[str, float]] = field(default_factory=dict)
    """By the name of each exported file: median ms per runtime."""

    limits: tuple[LimitRecord, ...] = ()
    """How much of each limit the network takes, the first budget's first, where there are several."""

    @property
    def in_interval(self) -> bool | None:
        """Whether the measured latency lies in the predicted 90 % interval; None where either is not known."""
        if not self.measured_ms or self.prediction is None:
            return None
        return self.prediction.holds(self.measured_ms[self.runtime])

    @property
    def budget_used(self) -> float | None:
        """Measured ms / budget; None where nothing was measured."""
        return self.measured_ms[self.runtime] / self.budget_ms if self.measured_ms else None

    @property
    def unused(self) -> str | None:
        """How much of the budget the network leaves, and why; None where it uses most of it, or nobody knows why."""
        used, predicted, derived = self.budget_used, self.prediction, self.derivation
        if used is not None and used < LEAST_SHARE and predicted and used * self.budget_ms < predicted.low_ms:
            faster = 100 * (1 - used * self.budget_ms / predicted.ms)
            return (
                f"{100 * (1 - used):.0f} % of the budget: it measured {faster:.0f} % faster than predicted, as "
                "where the machine was slower when its table was measured. To use that, delete the table's folder and "
                "design into another --out while nothing else runs"
            )
        if derived is None:
            return None
        if derived.reason:
            return f"{100 * (1 - derived.budget_share):.0f} % of the budget: {derived.reason}"
        if used and predicted and used < LEAST_SHARE <= predicted.ms / self.budget_ms:  # else another limit is used up
            faster = 100 * (1 - used * self.budget_ms / predicted.ms)
            return f"{100 * (1 - used):.0f} % of the budget: it measured {faster:.0f} % faster than predicted"
        return None

    def to_json(self) -> dict[str, Any]:
        return {
            "status": self.status,
            "budget_ms": self.budget_ms,
            "wanted_budget": self.config.budget_ms,
            "budget_hint": self.budget_hint,
            "device": self.config.device,
            "runtime": self.runtime,
            "precision": self.precision,
            "predicted_ms": None if self.prediction is None else self.prediction.ms,
            "interval_ms": None if self.prediction is None else list(self.prediction.interval_ms),
            "in_interval": self.in_interval,
            "is_fastest": self.is_fastest,
            "drift_percent": self.drift_percent,
            "measured_ms": self.measured_ms,
            "conditions": self.conditions,
            "accuracy": self.accuracy,
            "accuracy_without_leaked": self.accuracy_without_leaked,
            "float_accuracy": self.float_accuracy,
            "precision_hint": self.precision_hint,
            "data_warnings": list(self.data_warnings),
            "macs": self.architecture.macs,
            "params": self.architecture.params,
            "architecture": self.architecture.to_json(),
            "price": None if self.price is None else _price_json(self.price),
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
            "derivation": None if self.derivation is None else self.derivation.to_json(),
            "budget_used": self.budget_used,
            "unused": self.unused,
            "limits": [record.to_json() for record in self.limits],
            "val_accuracy": self.val_accuracy,
            "found_against": [rival.to_json() for rival in self.found_against],
            "returned": self.returned,
            "searched": None if self.searched is None else self.searched.to_json(),
            "chosen": list(self.chosen),
            "int8_fine_tuning": None if self.int8_fine_tuning is None else self.int8_fine_tuning.to_json(),
            "precisions": [each.to_json() for each in self.precisions],
            "training_threads": self.training_threads,
        }


def _price_json(price: Price) -> dict[str, Any]:
    return price.to_json() | {"architecture": price.architecture.to_json()}
