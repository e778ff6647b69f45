"""The Sitting: one process's part of a campaign, from opening the journal to the end, or to whatever ends it early."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from random import Random
from statistics import median
from time import perf_counter, sleep
from typing import TYPE_CHECKING

from hwnas.campaign.drift import looks_us, reference_drifts_percent
from hwnas.campaign.journal import Journal
from hwnas.campaign.measurement import Measurement
from hwnas.campaign.progress import Progress, Summary
from hwnas.campaign.repetitions import combine, correct, visits_by_key, visits_wanted
from hwnas.devices.preconditions import Gate
from hwnas.errors import HwnasError
from hwnas.runners.retrying import Unmeasurable, Visitor
from hwnas.transports.base import DeviceFull, DeviceLost, Health

if TYPE_CHECKING:
    from hwnas.campaign.campaign import Campaign

FAILURES_TOLD = 3
"""An error names so many entries; the journal has them all."""


@dataclass(frozen=True)
class Entry:
    """One model to measure. Its bytes are made when it is its turn, so that a campaign holds one model at a time."""

    key: str
    """What the journal knows it by: equal keys are the same model, today and after a restart."""
    label: str
    """What people call it."""
    model: Callable[[], bytes]

    def __str__(self) -> str:
        return f"{self.label} ({self.key})"


class Sitting:
    """Visits entries, with looks at the reference model and at the device's health in between, and journals it all."""

    def __init__(self, campaign: Campaign, journal: Journal) -> None:
        self._campaign, self._device, self._journal = campaign, campaign.device, journal
        self._digest = hashlib.sha256(campaign.reference).hexdigest()[:12]
        self._visitor = Visitor(campaign.runner, campaign.reference, self._note_lost)
        self._gate = Gate(self._device, self._visitor.health, self._note_health, self._report_waiting)
        self._started = False
        self._uptime_s = 0.0
        self._looks_us = looks_us(journal.records)[self._digest]
        self._begin = perf_counter()
        self._inference_s = 0.0
        self._known: set[str] = set()
        self._reused = self._measured = self._remaining = 0
        self._entries: set[str] = set()
        self.failures: dict[str, str] = {}
        """Entries that this sitting could not measure, by key, with the reason for people."""

    def measure(self, entries: Sequence[Entry]) -> dict[str, Measurement]:
        """Visit what these entries lack, then return their Measurements by key, without those in `failures`.

        Raises as `Campaign.run` does, except for entries that cannot be measured: see `raise_failures`.
        """
        new = {entry.key for entry in entries} - self._known
        self._known |= new
        self._reused += sum(record.get("entry") in new for record in self._journal.records)
        while pending := self._pending(entries):
            # a new pass only if the look at the reference after the last one finds disturbed visits
            self._visit(pending)
        visits, _ = correct(visits_by_key(self._journal.records))
        measured = [entry.key for entry in entries if entry.key not in self.failures]
        return {key: combine(visits[key], self._device) for key in measured}

    def raise_failures(self) -> None:
        """Raises HwnasError, naming them and the reasons, if there were entries that could not be measured."""
        if self.failures:
            told = "; ".join(list(self.failures.values())[:FAILURES_TOLD])
            more = len(self.failures) - FAILURES_TOLD
            rest = f" (and {more} more, which {self._journal.path} names)" if more > 0 else ""
            raise HwnasError(
                f"cannot measure {told}{rest}. All others are measured and kept: repeat the command to try these again."
            )

    def close(self) -> None:
        """Take the reference model off the device."""
        self._visitor.__exit__(None, None, None)

    def summary(self) -> Summary:
        """What this sitting has done so far; the drift is that of the whole campaign."""
        drifts = [drift for drift in reference_drifts_percent(self._journal.records) if drift is not None] or [0.0]
        seconds = perf_counter() - self._begin
        return Summary(
            seconds,
            self._inference_s,
            self._measured,
            self._reused,
            len(self._entries),
            median(self._looks_us) if self._looks_us else float("nan"),
            min(drifts),
            max(drifts),
            correct(visits_by_key(self._journal.records))[1],
        )

    def _pending(self, entries: Sequence[Entry]) -> list[Entry]:
        """The visits to make: each round visits every entry that still lacks one, in an order of its own."""
        visits, _ = correct(visits_by_key(self._journal.records))
        missing = {entry.key: visits_wanted(visits.get(entry.key, []), self._device) for entry in entries}
        missing |= dict.fromkeys(self.failures, 0)
        order = Random(self._campaign.seed)
        pending = []
        for number in range(max(missing.values(), default=0)):
            shuffled = order.sample(list(entries), len(entries))
            pending += [entry for entry in shuffled if missing[entry.key] > number]
        return pending

    def _visit(self, pending: Sequence[Entry]) -> None:
        """Visit these entries in this order, with looks at the reference before, between and after."""
        self._remaining = len(pending)
        if not self._started:
            self._journal.append({"start": self._campaign.conditions.circumstances})
            self._started = True
        self._gate.wait()
        self._look()
        for count, entry in enumerate(pending, start=1):
            if entry.key not in self.failures:
                sleep(self._device.cool_down_s)
                if self._gate.wait():
                    self._look()  # the last one tells nothing of a device that has cooled down since
                self._visit_one(entry)
            self._remaining = len(pending) - count
            if count % self._device.reference_every == 0 or count == len(pending):
                self._look()
            self._report(entry.label)
        self._gate.look()

    def _visit_one(self, entry: Entry) -> None:
        """Visit one entry, or note why it cannot be measured."""
        try:
            timing = self._visitor.time(entry.model)
        except Unmeasurable as error:
            self.failures[entry.key] = f"the entry {entry}: {str(error).removesuffix('.')}"
            self._journal.append({"failed": entry.key, "label": entry.label, "reason": str(error)})
            self._look()  # with a model that worked before: is it the device?
            return
        except (DeviceLost, DeviceFull, MemoryError) as error:
            raise HwnasError(
                f"measuring stopped at the entry {entry}: {str(error) or 'memory ran out.'} What is measured is kept: "
                "repeat the command to go on."
            ) from error
        self._inference_s += timing.inference_s
        self._journal.append({"entry": entry.key, "label": entry.label, "runs_us": timing.runs_us})
        self._measured += 1
        self._entries.add(entry.key)

    def _look(self) -> None:
        """Time the reference model."""
        try:
            timing = self._visitor.time_reference()
        except (HwnasError, MemoryError) as error:
            raise HwnasError(f"cannot measure the reference model: {str(error) or 'memory ran out'}") from error
        self._inference_s += timing.inference_s
        self._journal.append({"reference": self._digest, "runs_us": timing.runs_us})
        self._looks_us.append(median(timing.runs_us))

    def _note_health(self, health: Health) -> None:
        """Journal how the device is; one that runs for a shorter time than before was started again."""
        uptime_s = health.uptime_s or self._uptime_s
        restarted = {"restarted": True} if uptime_s < self._uptime_s else {}
        self._uptime_s = uptime_s
        self._journal.append({"health": asdict(health)} | restarted)

    def _note_lost(self, reason: str) -> None:
        self._journal.append({"lost": reason})
        self._report_waiting("the device was lost, and is being looked for")

    def _report(self, label: str, waiting: str = "") -> None:
        done = self._reused + self._measured
        per_visit_s = (perf_counter() - self._begin) / max(self._measured, 1)
        drift_percent = 100 * (self._looks_us[-1] / median(self._looks_us) - 1) if self._looks_us else 0.0
        health = self._gate.latest
        celsius = None if health is None else health.temperature_celsius or health.battery_celsius
        self._campaign.progress(
            Progress(
                done, done + self._remaining, label, per_visit_s * self._remaining, drift_percent, celsius, waiting
            )
        )

    def _report_waiting(self, reason: str) -> None:
        self._report("", reason)
