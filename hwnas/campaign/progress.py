"""The CampaignProgress while a campaign runs, its CampaignSummary in the end, and the Tally that both are read from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from time import perf_counter
from typing import Any

from hwnas.campaign.drift import Drift, reference_drifts_percent
from hwnas.campaign.journal import Record
from hwnas.campaign.repetitions import correct, repetitions_by_key
from hwnas.runners.timing import Timing
from hwnas.transports.base import Health


@dataclass(frozen=True)
class CampaignProgress:
    """Where a campaign stands, after each repetition and while it waits for the device."""

    done: int
    """Repetitions finished, those of earlier processes included."""
    total: int
    """Repetitions there will be; it grows when disturbed ones have to be repeated."""
    label: str
    eta_s: float
    drift_percent: float
    """How far the latest reference measurement is off its campaign median."""
    temperature_celsius: float | None = None
    """Of the device's hottest CPU sensor, or else of its battery, a few seconds ago; None: it does not tell."""
    waiting: str = ""
    """Why nothing is measured at the moment."""

    @property
    def text(self) -> str:
        """The model that was measured and how the device is doing."""
        if self.waiting:
            return f"waiting: {self.waiting}"
        heat = "" if self.temperature_celsius is None else f", {self.temperature_celsius:.0f} C"
        return f"{self.label}{heat}, drift {self.drift_percent:+.1f} %"


@dataclass(frozen=True)
class CampaignSummary:
    """One process's part in a campaign, and how it spent its time."""

    seconds: float
    inference_s: float
    """Seconds inside inference, timed or warming up."""
    visits_measured: int
    """Repetitions made now."""
    visits_reused: int
    """Repetitions of these entries that the journal already held."""
    entries_measured: int
    """Entries that were measured now; all others the journal already knew."""
    reference_us: float
    """Median of all reference measurements: how fast the machine was, to compare a later one with."""
    drift_min_percent: float
    drift_max_percent: float
    drift: Drift
    """How far the repetitions of the whole journal follow the reference, and so are corrected by it."""

    def __repr__(self) -> str:
        return (
            f"CampaignSummary({self.visits_measured} repetitions of {self.entries_measured} entries in "
            f"{self.seconds:.0f} s, drift {self.drift_min_percent:+.1f} to {self.drift_max_percent:+.1f} %)"
        )

    @property
    def inference_share(self) -> float:
        """How much of the time went into inference, from 0 to 1."""
        return self.inference_s / self.seconds if self.seconds else 0.0

    def to_json(self) -> dict[str, Any]:
        """The fields, and `inference_share`."""
        return asdict(self) | {"inference_share": self.inference_share}


@dataclass
class Tally:
    """The counts and the clock of one process's part in a campaign."""

    references_us: list[float]
    """Medians of the reference measurements, those of earlier processes included."""
    reused: int = 0
    """Repetitions that the journal already held."""
    measured: int = 0
    """Repetitions made now."""
    remaining: int = 0
    """Repetitions still to be made, as far as is known."""
    entries: set[str] = field(default_factory=set)
    """Keys of the entries that were measured now."""
    inference_s: float = 0.0
    begin_s: float = field(default_factory=perf_counter)
    end_s: float | None = None
    """None: it goes on."""

    def count_repetition(self, key: str, timing: Timing) -> None:
        """One repetition of the entry `key` is finished."""
        self.measured += 1
        self.entries.add(key)
        self.inference_s += timing.inference_s

    def count_reference(self, timing: Timing) -> None:
        """One measurement of the reference is finished."""
        self.references_us.append(median(timing.runs_us))
        self.inference_s += timing.inference_s

    def progress(self, label: str, waiting: str, health: Health | None) -> CampaignProgress:
        """Where the campaign stands."""
        done = self.reused + self.measured
        per_repetition_s = (perf_counter() - self.begin_s) / max(self.measured, 1)
        drift_percent = 100 * (self.references_us[-1] / median(self.references_us) - 1) if self.references_us else 0.0
        celsius = None if health is None else health.temperature_celsius or health.battery_celsius
        eta_s = per_repetition_s * self.remaining
        return CampaignProgress(done, done + self.remaining, label, eta_s, drift_percent, celsius, waiting)

    def summary(self, records: Sequence[Record]) -> CampaignSummary:
        """The work so far; the drift is that of all `records` of the journal."""
        drifts = [drift for drift in reference_drifts_percent(records) if drift is not None] or [0.0]
        return CampaignSummary(
            (perf_counter() if self.end_s is None else self.end_s) - self.begin_s,
            self.inference_s,
            self.measured,
            self.reused,
            len(self.entries),
            median(self.references_us) if self.references_us else float("nan"),
            min(drifts),
            max(drifts),
            correct(repetitions_by_key(records))[1],
        )
