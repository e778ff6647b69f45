"""The Campaign: every entry timed several times in random order, with a reference model as the witness of drift."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from time import perf_counter, sleep

from hwnas.campaign.conditions import conditions_of
from hwnas.campaign.drift import reference_medians_us
from hwnas.campaign.journal import (
    FailedRecord,
    HealthRecord,
    Journal,
    LostRecord,
    ReferenceRecord,
    RepetitionRecord,
    StartRecord,
)
from hwnas.campaign.measurement import Measurement
from hwnas.campaign.progress import CampaignProgress, CampaignSummary, Tally
from hwnas.campaign.repetitions import combine, correct, repetitions_by_key, repetitions_wanted
from hwnas.devices.device import Device
from hwnas.devices.preconditions import Preconditions
from hwnas.errors import HwnasError, UsageError
from hwnas.progress import silent
from hwnas.runners.base import Runner
from hwnas.runners.retrying import RetryingRunner, Unmeasurable
from hwnas.transports.base import DeviceFull, DeviceLost, Health

FAILURES_TOLD = 3
"""An error names so many entries; the journal has them all."""


@dataclass(frozen=True)
class Entry:
    """One model to measure. Its bytes are made when it is its turn, so that a campaign holds one model at a time."""

    key: str
    """Its name in the journal: equal keys are the same model, today and after a restart."""
    label: str
    """Its name for people."""
    model: Callable[[], bytes]

    def __str__(self) -> str:
        return f"{self.label} ({self.key})"


class Campaign:
    """Measures entries on a Device with a Runner; repetitions that the journal holds already are not made again.

    `run` measures entries in one go. As a context manager it keeps the journal open and the reference model loaded, so
    that `measure` can take some entries now and others in the light of them. Whatever ends it early, Ctrl-C included,
    every finished repetition is kept, and the next campaign on the same journal goes on from there.
    """

    def __init__(
        self,
        device: Device,
        runner: Runner,
        journal: Path,
        reference: bytes,
        precision: str | None = None,
        seed: int = 0,
        progress: Callable[[CampaignProgress], None] = silent,
    ) -> None:
        """
        Args:
            device: gives the numbers of repetitions and the limits of drift and heat.
            runner: entered, and left, by its owner: see `hwnas.runners.open_runner`.
            journal: the file, new or of an earlier campaign.
            reference: A model of a few ms, in the runner's format, that is measured again and again: if it is slower,
                so is everything.
            precision: the type that the models compute in, such as "float32"; None: unknown.
            seed: decides the order of the repetitions.
            progress: called after each repetition and while it waits for the device.
        """
        self.device, self.runner, self.path, self.reference = device, runner, journal, reference
        self.seed, self.progress = seed, progress
        self.conditions = conditions_of(runner, device, precision)
        self.failures: dict[str, str] = {}
        """Entries that could not be measured since the journal was opened, by key, with the reason for people."""

    def run(self, entries: Sequence[Entry]) -> dict[str, Measurement]:
        """Measure the entries that the journal lacks, then return the Measurement of every entry by its key.

        Raises:
            UsageError: two entries have one key.
            HwnasError: entries cannot be made, loaded or run (the message names them; the others are measured first);
                the device stays unfit, lost or full; the journal is of other conditions, damaged or not writable.
        """
        with self:
            measurements = self.measure(entries)
            self.raise_failures()
            return measurements

    def __enter__(self) -> Campaign:
        """Open the journal. Raises HwnasError if it is of other conditions, damaged, in use or not writable."""
        self._journal = Journal(self.path, self.conditions.identity)
        self._digest = hashlib.sha256(self.reference).hexdigest()[:12]
        self._tally = Tally(reference_medians_us(self._journal.records)[self._digest])
        self._retrying = RetryingRunner(self.runner, self.reference, self._note_loss)
        self._preconditions = Preconditions(
            self.device, self._retrying.health, self._note_health, lambda reason: self._report("", reason)
        )
        self._known: set[str] = set()
        self._started, self._uptime_s = False, 0.0
        self.failures = {}
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._retrying.__exit__()
        finally:
            self._tally.end_s = perf_counter()
            self._journal.close()

    def measure(self, entries: Sequence[Entry]) -> dict[str, Measurement]:
        """Time these entries as often as they lack it, then return their Measurements by key, without `failures`.

        Raises as `run` does, except for entries that cannot be measured: see `raise_failures`.
        """
        counts = Counter(entry.key for entry in entries)
        if repeated := [key for key, count in counts.items() if count > 1]:
            raise UsageError(f"each entry of a campaign needs a key of its own; repeated: {', '.join(repeated)}.")
        records = self._journal.records
        new = counts.keys() - self._known
        self._known |= new
        self._tally.reused += sum(isinstance(each, RepetitionRecord) and each.entry in new for each in records)
        while pending := self._pending(entries):
            # a new pass only if the reference measurement after the last one finds disturbed repetitions
            self._time_all(pending)
        made, _ = correct(repetitions_by_key(records))
        measured = [entry.key for entry in entries if entry.key not in self.failures]
        return {key: combine(made[key], self.device) for key in measured}

    def raise_failures(self) -> None:
        """Raises HwnasError, naming them and the reasons, if there were entries that could not be measured."""
        if self.failures:
            told = "; ".join(list(self.failures.values())[:FAILURES_TOLD])
            more = len(self.failures) - FAILURES_TOLD
            rest = f" (and {more} more, which {self.path} names)" if more > 0 else ""
            raise HwnasError(
                f"cannot measure {told}{rest}. All others are measured and kept: repeat the command to try these again."
            )

    @property
    def summary(self) -> CampaignSummary:
        """The work since the journal was opened, also if it was interrupted."""
        return self._tally.summary(self._journal.records)

    def _pending(self, entries: Sequence[Entry]) -> list[Entry]:
        """The repetitions to make, each named by its entry, in order."""
        made, _ = correct(repetitions_by_key(self._journal.records))
        wanted = {entry.key: repetitions_wanted(made.get(entry.key, []), self.device) for entry in entries}
        return in_random_rounds(entries, wanted | dict.fromkeys(self.failures, 0), self.seed)

    def _time_all(self, pending: Sequence[Entry]) -> None:
        """Time these entries in this order, and the reference before, between and after."""
        self._tally.remaining = len(pending)
        if not self._started:
            self._journal.append(StartRecord(self.conditions.circumstances))
            self._started = True
        self._preconditions.wait()
        self._time_reference()
        for count, entry in enumerate(pending, start=1):
            if entry.key not in self.failures:
                sleep(self.device.cool_down_s)
                if self._preconditions.wait():
                    self._time_reference()  # the last one tells nothing of a device that has cooled down since
                self._time_entry(entry)
            self._tally.remaining = len(pending) - count
            if count % self.device.reference_every == 0 or count == len(pending):
                self._time_reference()
            self._report(entry.label)
        self._preconditions.read_health()

    def _time_entry(self, entry: Entry) -> None:
        """Time one entry once, or note why it cannot be measured."""
        try:
            timing = self._retrying.time(entry.model)
        except Unmeasurable as error:
            self.failures[entry.key] = f"the entry {entry}: {str(error).removesuffix('.')}"
            self._journal.append(FailedRecord(entry.key, entry.label, str(error)))
            self._time_reference()  # a model that worked before: is it the device?
            return
        except (DeviceLost, DeviceFull, MemoryError) as error:
            raise HwnasError(
                f"measuring stopped at the entry {entry}: {str(error) or 'memory ran out.'} All measurements so far "
                "are kept: repeat the command to go on."
            ) from error
        self._journal.append(RepetitionRecord(entry=entry.key, label=entry.label, runs_us=tuple(timing.runs_us)))
        self._tally.count_repetition(entry.key, timing)

    def _time_reference(self) -> None:
        try:
            timing = self._retrying.time_reference()
        except (HwnasError, MemoryError) as error:
            raise HwnasError(f"cannot measure the reference model: {str(error) or 'memory ran out'}") from error
        self._journal.append(ReferenceRecord(self._digest, tuple(timing.runs_us)))
        self._tally.count_reference(timing)

    def _note_health(self, health: Health) -> None:
        """Journal how the device is; one that runs for a shorter time than before was started again."""
        uptime_s = health.uptime_s or self._uptime_s
        self._journal.append(HealthRecord(health, restarted=uptime_s < self._uptime_s))
        self._uptime_s = uptime_s

    def _note_loss(self, reason: str) -> None:
        self._journal.append(LostRecord(reason))
        self._report("", "the device was lost, and is being looked for")

    def _report(self, label: str, waiting: str = "") -> None:
        self.progress(self._tally.progress(label, waiting, self._preconditions.latest))


def in_random_rounds(entries: Sequence[Entry], wanted: Mapping[str, int], seed: int) -> list[Entry]:
    """The entries, each as often as is wanted of its key: in rounds of those that lack one more, each in another order.

    So the repetitions of one entry lie far apart in time, and a slow minute meets different entries each time.
    """
    order = Random(seed)
    pending = []
    for number in range(max(wanted.values(), default=0)):
        shuffled = order.sample(list(entries), len(entries))
        pending += [entry for entry in shuffled if wanted[entry.key] > number]
    return pending
