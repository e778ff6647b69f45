"""The rows of a published file: those that are blocks of hwnas, those that are none, and where they come from."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from hwnas.errors import HwnasError
from hwnas.foreign import Count, Ms, NotNegative, faults_of
from hwnas.latency.tables.table import Block, Latency, Layer
from hwnas.specs.spec import Shape, Spec, check_shape

UNKNOWN_UNLESS_STATED = (
    *("system", "architecture", "cpu", "core_count"),
    *("runtime_version", "library_sha256", "threads", "cores", "precision"),
)

NORMAL_90 = 1.645
"""A normal variable is within so many standard deviations of its mean nine times in ten."""


@dataclass(frozen=True)
class Publication:
    """Where a published table comes from, and how it says that it was measured."""

    name: str
    """One word: the folder of its tables."""
    title: str
    source: str
    """Repository and file."""
    licence: str
    runtime: str
    protocol: str
    """How it was measured, as far as that is published."""
    stated: dict[str, Any] = field(default_factory=dict)
    """Conditions that decide a latency and are published, by their names in a measured table: ``{"threads": 1}``."""

    def identity(self, sha256: str) -> dict[str, Any]:
        """The conditions that decide whether numbers may be mixed: no measured table has the same."""
        known = {"publication": self.name, "source_sha256": sha256, "runtime": self.runtime, "batch": 1} | self.stated
        return known | {name: None for name in UNKNOWN_UNLESS_STATED if name not in known}


@dataclass
class Rows:
    """The rows of one published table.

    Attributes:
        publication: their source.
        device: the phone, as hwnas names it; None: the file does not say.
        notes: on how rows became blocks, for a reader.
    """

    publication: Publication
    device: str | None
    notes: list[str] = field(default_factory=list)
    layers: dict[Layer, Latency] = field(default_factory=dict)
    derived: dict[Block, Latency] = field(default_factory=dict)
    """Blocks that no row is about, but several together."""
    unmapped: Counter[str] = field(default_factory=Counter)
    """How many rows are no block that hwnas knows, by reason."""
    _found: dict[Block, list[Latency]] = field(default_factory=lambda: defaultdict(list))

    def add(self, block: Block, latency: Latency) -> None:
        """A row that is this block."""
        self._found[block].append(latency)

    def add_layer(self, place: int, block: Block, latency: Latency) -> None:
        """A row that is this block at one place of the published network."""
        self.layers[place, block] = latency
        self.add(block, latency)

    def leave_out(self, reason: str) -> None:
        """A row that no Spec describes."""
        self.unmapped[reason] += 1

    @property
    def mapped(self) -> int:
        """How many rows became blocks."""
        return sum(len(rows) for rows in self._found.values())

    @property
    def blocks(self) -> dict[Block, Latency]:
        """One latency per block: the mean of its rows where several are that block, and those that are derived."""
        return {block: _mean(rows) for block, rows in self._found.items()} | self.derived


class _Published(BaseModel):
    """The value of a row's column. Text is taken for the number that it spells: CSV has nothing else."""

    mean: Ms
    count: Count = 1
    std: NotNegative = 0.0


def published_latency(place: str, mean: Any, **more: Any) -> Latency:
    """The mean of a published row in the place of a median; with a spread, its 5 and 95 % points if it were normal.

    Args:
        place: the file and where it is in it, for the message.
        mean: ms.
        more: ``count`` of its runs, 1 unless given, and ``std``, their standard deviation in ms, 0 unless given.

    Raises HwnasError naming the place, the value and the rule, if it is no latency.
    """
    try:
        row = _Published(mean=mean, **more)
        spread_ms = NORMAL_90 * row.std
        low_ms = max(0.0, row.mean - spread_ms)
        return Latency(row.mean, low_ms, row.mean + spread_ms, row.count, between_visits_percent=0.0)
    except ValidationError as error:
        raise HwnasError(
            f"{place}: {faults_of(error)}, so it is no latency in ms. Correct it, or fetch the file again."
        ) from None


def checked_block(place: str, make: Callable[[], tuple[Spec | str, Shape]]) -> tuple[Spec | str, Shape]:
    """The block that `make` makes of a row: a Spec, or why there is none, and the shape of its input.

    Raises HwnasError, naming the place, for a size that no layer has.
    """
    try:
        spec, shape = make()
        check_shape(shape)
        if isinstance(spec, Spec):
            spec.output_shape(shape)
        return spec, shape
    except HwnasError as error:
        raise HwnasError(f"{place}: {error}") from None


def _mean(rows: list[Latency]) -> Latency:
    if len(rows) == 1:
        return rows[0]
    runs = sum(row.runs for row in rows)
    median, low, high = (
        sum(row.runs * getattr(row, name) for row in rows) / runs for name in ("median_ms", "p5_ms", "p95_ms")
    )
    return Latency(median, low, high, runs, between_visits_percent=0.0)
