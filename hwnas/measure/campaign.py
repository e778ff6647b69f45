"""The Campaign: every entry visited several times in random order, with a reference model as the witness of drift."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter
from typing import Any

from hwnas.errors import HwnasError, UsageError
from hwnas.measure.affinity import pinned
from hwnas.measure.conditions import Conditions, current_conditions
from hwnas.measure.device import Device
from hwnas.measure.drift import Drift, looks_us, reference_drifts_percent
from hwnas.measure.journal import Journal
from hwnas.measure.measurement import Measurement
from hwnas.measure.timing import open_session, time_session
from hwnas.measure.visits import combine, correct, visits_by_key, visits_wanted
from hwnas.runtimes.base import Runtime, Session


@dataclass(frozen=True)
class Entry:
    """One model to measure. Its bytes are made when it is its turn, so that a campaign holds one model at a time."""

    key: str
    """What the journal knows it by: equal keys are the same model, today and after a restart."""
    label: str
    """What people call it."""
    model: Callable[[], bytes]


@dataclass(frozen=True)
class Progress:
    """Where a campaign stands, after each visit."""

    done: int
    """Visits finished, those of earlier sittings included."""
    total: int
    """Visits there will be; it grows when disturbed ones have to be taken again."""
    label: str
    eta_s: float
    drift_percent: float
    """How far the latest look at the reference model is off its campaign median."""

    @property
    def text(self) -> str:
        """What is measured now and how the machine is doing."""
        return f"{self.label}, drift {self.drift_percent:+.1f} %"


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


def _ignore(_: Progress) -> None:
    pass


@dataclass
class Campaign:
    """Measures entries on a Device and Runtime; what the journal holds already is not measured again."""

    device: Device
    runtime: Runtime
    journal: Path
    entries: Sequence[Entry]
    reference: bytes
    """A model of a few ms, in the runtime's format, that is measured again and again: if it is slower, so is all."""
    precision: str | None = None
    """What the models compute in, such as "float32"; None if unknown."""
    seed: int = 0
    """Decides the order of the visits."""
    progress: Callable[[Progress], None] = _ignore
    conditions: Conditions = field(init=False)
    summary: Summary = field(init=False)
    """What the last `run` did, also if it was interrupted."""

    def __post_init__(self) -> None:
        keys = Counter(entry.key for entry in self.entries)
        if repeated := [key for key, count in keys.items() if count > 1]:
            raise UsageError(f"each entry of a campaign needs a key of its own; repeated: {', '.join(repeated)}.")
        self.conditions = current_conditions(self.device, self.runtime, self.precision)

    def run(self) -> dict[str, Measurement]:
        """Measure what is missing, then return the Measurement of every entry by its key.

        Raises HwnasError if an entry cannot be made or loaded (the message names it), or if the journal is of other
        conditions, damaged or not writable. Whatever ends it early, Ctrl-C included, every finished visit is kept, and
        the next run goes on from there.
        """
        with self.sitting() as sitting:
            return sitting.measure(self.entries)

    @contextmanager
    def sitting(self) -> Iterator[Sitting]:
        """The journal opened and the cores pinned, to measure some entries now and others in the light of them.

        Raises as `run` does. `summary` is there when it ends.
        """
        with Journal(self.journal, self.conditions.identity) as journal, pinned(self.device.cores):
            sitting = Sitting(self, journal)
            try:
                yield sitting
            finally:
                self.summary = sitting.summary()


class Sitting:
    """One process's part of a campaign: from opening the journal to the end, or to whatever ends it early."""

    def __init__(self, campaign: Campaign, journal: Journal) -> None:
        self._campaign, self._device, self._journal = campaign, campaign.device, journal
        self._digest = hashlib.sha256(campaign.reference).hexdigest()[:12]
        self._reference: Session | None = None
        self._looks_us = looks_us(journal.records)[self._digest]
        self._begin = perf_counter()
        self._inference_s = 0.0
        self._known: set[str] = set()
        self._reused = self._measured = 0
        self._entries: set[str] = set()

    def measure(self, entries: Sequence[Entry]) -> dict[str, Measurement]:
        """Visit what these entries lack, then return their Measurements by key. Raises as `Campaign.run` does."""
        new = {entry.key for entry in entries} - self._known
        self._known |= new
        self._reused += sum(record.get("entry") in new for record in self._journal.records)
        while pending := self._pending(entries):
            # a new pass only if the look at the reference after the last one finds disturbed visits
            self._visit(pending)
        visits, _ = correct(visits_by_key(self._journal.records))
        return {entry.key: combine(visits[entry.key], self._device) for entry in entries}

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
        order = Random(self._campaign.seed)
        pending = []
        for number in range(max(missing.values(), default=0)):
            shuffled = order.sample(list(entries), len(entries))
            pending += [entry for entry in shuffled if missing[entry.key] > number]
        return pending

    def _visit(self, pending: Sequence[Entry]) -> None:
        """Visit these entries in this order, with looks at the reference before, between and after."""
        if self._reference is None:  # loaded once: where its memory happens to lie must not look like drift
            with _named("the reference model"):
                self._reference = self._open(self._campaign.reference)
            self._journal.append({"start": self._campaign.conditions.circumstances})
        self._look_at(self._reference)
        for count, entry in enumerate(pending, start=1):
            with _named(f"the entry {entry.label} ({entry.key})"):
                runs_us = self._time(self._open(entry.model()))
            self._journal.append({"entry": entry.key, "label": entry.label, "runs_us": runs_us})
            self._measured += 1
            self._entries.add(entry.key)
            if count % self._device.reference_every == 0 or count == len(pending):
                self._look_at(self._reference)
            self._report(entry.label, remaining=len(pending) - count)

    def _open(self, model: bytes) -> Session:
        return open_session(self._campaign.runtime, model, self._device)

    def _time(self, session: Session) -> list[float]:
        timing = time_session(session, self._device)
        self._inference_s += timing.inference_s
        return timing.runs_us

    def _look_at(self, reference: Session) -> None:
        runs_us = self._time(reference)
        self._journal.append({"reference": self._digest, "runs_us": runs_us})
        self._looks_us.append(median(runs_us))

    def _report(self, label: str, remaining: int) -> None:
        done = self._reused + self._measured
        eta_s = (perf_counter() - self._begin) / self._measured * remaining
        drift_percent = 100 * (self._looks_us[-1] / median(self._looks_us) - 1)
        self._campaign.progress(Progress(done, done + remaining, label, eta_s, drift_percent))


@contextmanager
def _named(described: str) -> Iterator[None]:
    """Say which model it was, whatever its conversion, loading or running fails with."""
    try:
        yield
    except Exception as error:
        raise HwnasError(f"cannot measure {described}: {error}") from error
