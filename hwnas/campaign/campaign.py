"""The Campaign: every entry visited several times in random order, with a reference model as the witness of drift."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hwnas.campaign.conditions import Conditions, conditions_of
from hwnas.campaign.journal import Journal
from hwnas.campaign.measurement import Measurement
from hwnas.campaign.progress import Progress, Summary
from hwnas.campaign.sitting import Entry, Sitting
from hwnas.devices.device import Device
from hwnas.errors import UsageError
from hwnas.runners.base import Runner


def _ignore(_: Progress) -> None:
    pass


@dataclass
class Campaign:
    """Measures entries on a Device with a Runner; what the journal holds already is not measured again."""

    device: Device
    runner: Runner
    """Entered, and left, by whoever made it: see `hwnas.runners.open_runner`."""
    journal: Path
    entries: Sequence[Entry]
    reference: bytes
    """A model of a few ms, in the runner's format, that is measured again and again: if it is slower, so is all."""
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
        self.conditions = conditions_of(self.runner, self.device, self.precision)

    def run(self) -> dict[str, Measurement]:
        """Measure what is missing, then return the Measurement of every entry by its key.

        Whatever ends it early, Ctrl-C included, every finished visit is kept, and the next run goes on from there.

        Raises:
            HwnasError: entries cannot be made, loaded or run (the message names them; the others are measured first);
                the device stays unfit, lost or full; the journal is of other conditions, damaged or not writable.
        """
        with self.sitting() as sitting:
            measurements = sitting.measure(self.entries)
            sitting.raise_failures()
            return measurements

    @contextmanager
    def sitting(self) -> Iterator[Sitting]:
        """The journal opened, to measure some entries now and others in the light of them.

        Raises as `run` does. `summary` is there when it ends.
        """
        with Journal(self.journal, self.conditions.identity) as journal:
            sitting = Sitting(self, journal)
            try:
                yield sitting
            finally:
                sitting.close()
                self.summary = sitting.summary()
