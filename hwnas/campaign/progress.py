"""What a campaign tells: where it stands while it runs, and what it did in the end."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from hwnas.campaign.drift import Drift


@dataclass(frozen=True)
class Progress:
    """Where a campaign stands, after each visit and while it waits for the device."""

    done: int
    """Visits finished, those of earlier sittings included."""
    total: int
    """Visits there will be; it grows when disturbed ones have to be taken again."""
    label: str
    eta_s: float
    drift_percent: float
    """How far the latest look at the reference model is off its campaign median."""
    temperature_celsius: float | None = None
    """Of the device's hottest CPU sensor, or else of its battery, a few seconds ago; None: it does not tell."""
    waiting: str = ""
    """Why nothing is measured at the moment."""

    @property
    def text(self) -> str:
        """What is measured now and how the device is doing."""
        if self.waiting:
            return f"waiting: {self.waiting}"
        heat = "" if self.temperature_celsius is None else f", {self.temperature_celsius:.0f} C"
        return f"{self.label}{heat}, drift {self.drift_percent:+.1f} %"


@dataclass(frozen=True)
class Summary:
    """What a sitting did and what it spent its time on."""

    seconds: float
    inference_s: float
    """Seconds inside inference, timed or warming up."""
    visits_measured: int
    visits_reused: int
    """Visits to these entries that the journal already held."""
    entries_measured: int
    """Entries that were visited now; all others the journal already knew."""
    reference_us: float
    """Median of all looks at the reference model: how fast the machine was, to compare a later one with."""
    drift_min_percent: float
    drift_max_percent: float
    drift: Drift
    """How far the visits of the whole journal follow the reference: what they were corrected by."""

    @property
    def inference_share(self) -> float:
        """How much of the time went into inference, from 0 to 1."""
        return self.inference_s / self.seconds if self.seconds else 0.0

    def to_json(self) -> dict[str, Any]:
        """The fields, and `inference_share`."""
        return asdict(self) | {"inference_share": self.inference_share}
