"""The LimitRecord: how much of a limit a design takes, predicted and measured; one per device and per count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hwnas.exporter.exported import ExportedModel
from hwnas.latency.limit import Limit, written
from hwnas.space import Architecture

Status = Literal["within", "over", "predicted"]


@dataclass(frozen=True)
class LimitRecord:
    """One limit, and how much of it the network takes.

    Attributes:
        name: ``DEVICE/RUNTIME``, or what is counted.
        unit: ``ms``, ``B``, or none.
        most: the limit.
        predicted, interval: by the device's table; None for a known network, which is not of the table's space.
        measured: on the device, or counted of the network or its file; None: there was neither.
        source: where the prediction of a device is from that was not measured.
    """

    name: str
    unit: str
    most: float
    predicted: float | None
    interval: tuple[float, float] | None
    measured: float | None
    source: str | None = None

    @property
    def status(self) -> Status:
        """Whether it is within, as measured; ``predicted`` where it was not measured."""
        if self.measured is None:
            return "predicted"
        return "within" if self.measured <= self.most * (1 + 1e-9) else "over"

    @property
    def used(self) -> float | None:
        """As a share of the limit."""
        amount = self.predicted if self.measured is None else self.measured
        return None if amount is None else amount / self.most

    @property
    def told(self) -> str:
        """For people: ``0.412 ms measured: within 0.5 ms (82 %)``."""
        return "".join(self.told_parts)

    @property
    def told_parts(self) -> tuple[str, str, str]:
        """The parts of `told`: before the status, the status, after it. Without a status the last two are empty."""
        if self.used is None:
            return f"not known; the limit is {written(self.most, self.unit)}", "", ""
        share, most = f"{100 * self.used:.1f} %", written(self.most, self.unit)
        if self.measured is None:
            assert self.predicted is not None
            amount = written(self.predicted, self.unit)
            end = "" if self.interval is None else f", 90 % interval to {written(self.interval[1], self.unit)}"
            return f"{amount} predicted, never measured{end}; the limit is {most} ({share})", "", ""
        kind = "measured" if self.unit == "ms" else "counted"
        return f"{written(self.measured, self.unit)} {kind}: ", self.status, f" {most} ({share})"

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "unit": self.unit,
            "limit": self.most,
            "predicted": self.predicted,
            "interval": None if self.interval is None else list(self.interval),
            "measured": self.measured,
            "status": self.status,
            "used": self.used,
            "source": self.source,
            "told": self.told,
        }


def record_of(
    limit: Limit, found: Architecture | None, measured: float | None, source: str | None = None
) -> LimitRecord:
    """The record of a limit.

    Args:
        limit: what is limited.
        found: the network, if it is of the space that the limit predicts; else None.
        measured: the true amount.
        source: of predictions that are not measured.
    """
    prediction = None if found is None else limit.model.predict(found)
    predicted = None if prediction is None else prediction.ms
    interval = None if prediction is None else prediction.interval_ms
    return LimitRecord(limit.name, limit.unit, limit.most, predicted, interval, measured, source)


def counted_of(
    limit: Limit, architecture: Architecture, models: Sequence[ExportedModel], precision: str
) -> float | None:
    """The count of a network or of its exported file, for a limit; None where no such file was made."""
    if limit.name in ("parameters", "macs"):
        return float(architecture.params if limit.name == "parameters" else architecture.macs)
    format = limit.name.partition(" (")[2].rstrip(")")
    for model in models:
        if model.precision == precision and format in ("", model.format):
            peak = model.info.peak_activation_bytes
            if limit.name.startswith("file-size"):
                return float(model.bytes)
            return None if peak is None else float(peak)
    return None
