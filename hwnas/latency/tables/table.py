"""The LatencyTable: latencies measured on one Device and Runtime, block by block and network by network.

A table is a folder: ``blocks.csv`` and ``networks.csv`` for people and programs to read, and ``conditions.json`` with
the conditions of the measurements. A block is known by its Spec and the (C, H, W) shape of its input, nothing else;
only where a publication gives each layer of its network a number of its own, these are kept too, in ``layers.csv``.
"""

from __future__ import annotations

import csv
import json
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from hwnas.errors import HwnasError, UsageError
from hwnas.files import read_json, write_atomically, write_json
from hwnas.foreign import Count, Finite, Ms, NotNegative, checked, faults_of, parse_json, read_csv
from hwnas.space import Architecture, SearchSpace
from hwnas.specs.spec import Shape, Spec, check_shape, spec_from_json
from hwnas.text import excerpt

BLOCKS_FILE, NETWORKS_FILE, CONDITIONS_FILE = "blocks.csv", "networks.csv", "conditions.json"
LAYERS_FILE = "layers.csv"

CHECKSUM = "crc32"
"""The last column of each file."""
ROWS = "rows"
"""In the conditions: how many were written to each file."""

Block = tuple[Spec, Shape]
Layer = tuple[int, Block]
"""A block at a place of the chain: 0 is the first link."""
Key = TypeVar("Key")


@checked_dataclass(frozen=True)
class Latency:
    """One row: the statistics of all runs of one model. Percentages are relative to the median.

    Raises ValueError for numbers that no measurement gives: nothing, less than nothing, or percentiles out of order.
    """

    median_ms: Ms
    p5_ms: NotNegative
    p95_ms: Ms
    runs: Count
    between_visits_percent: NotNegative
    """How far the medians of this model's separate repetitions lie apart: the noise that repeating shows."""
    noisy: bool = False
    halves_percent: NotNegative | None = None
    """How far one half of the repetitions is off the other: the noise of the median. None: not known."""
    drift_percent: Finite | None = None
    """How far the reference model was off around these repetitions, at worst; None: there was none, or not known."""

    def __repr__(self) -> str:
        return f"Latency({self.median_ms:.4g} ms, {self.runs} runs from {self.p5_ms:.4g} to {self.p95_ms:.4g})"

    def __post_init__(self) -> None:
        if not self.p5_ms <= self.median_ms <= self.p95_ms:
            raise ValueError(
                f"the 5th percentile, the median and the 95th must be in this order, not {self.p5_ms:g}, "
                f"{self.median_ms:g} and {self.p95_ms:g} ms"
            )


@dataclass
class LatencyTable:
    """Latencies of blocks and of whole networks, and the conditions they share."""

    blocks: dict[Block, Latency] = field(default_factory=dict)
    networks: dict[Architecture, Latency] = field(default_factory=dict)
    conditions: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    layers: dict[Layer, Latency] = field(default_factory=dict)
    """The latency of a block at one place of the chain, where that is known; elsewhere `blocks` has it."""

    def __repr__(self) -> str:
        folder = "" if self.folder is None else f" in {excerpt(str(self.folder))}"
        return f"LatencyTable({len(self.blocks)} blocks, {len(self.networks)} networks{folder})"

    @property
    def publication(self) -> str | None:
        """The publication that the table was imported from; None: it was measured."""
        return (self.conditions.get("imported") or {}).get("publication")

    def block_ms(self, spec: Spec, input_shape: Shape) -> float:
        """Median ms of a block; 0 for an identity. Raises HwnasError, with the cure, where it was not measured."""
        if spec.is_identity:
            return 0.0
        if (spec, input_shape) not in self.blocks:
            place = self.folder or "this table"
            raise HwnasError(
                f"no latency for {spec} on a {'x'.join(map(str, input_shape))} input in {place}; measure the space "
                "that it belongs to with `hwnas measure --space NAME` (same resolution, classes and width)."
            )
        return self.blocks[spec, input_shape].median_ms

    def missing(self, space: SearchSpace) -> list[Block]:
        """The blocks of a space that the table lacks."""
        return [block for block in space.distinct_blocks() if block not in self.blocks]

    def networks_of(self, space: SearchSpace) -> dict[Architecture, Latency]:
        """The measured networks that are architectures of this space (same resolution, classes and width)."""
        blocks = set(space.distinct_blocks())
        return {
            architecture: latency
            for architecture, latency in self.networks.items()
            if architecture.input_shape == space.input_shape
            and all(spec.is_identity or (spec, shape) in blocks for spec, shape in architecture.placed_blocks())
        }

    def save(self, folder: Path | str) -> None:
        """Write the files: in whatever moment this is stopped, what is there can be read.

        Raises HwnasError if the folder cannot be written.
        """
        folder = Path(folder)
        if not (folder / BLOCKS_FILE).exists():
            write_json(folder / CONDITIONS_FILE, self.conditions)
        blocks = [(_block_row(block, latency), latency) for block, latency in self.blocks.items()]
        layers = [({"layer": place, **_block_row(block, row)}, row) for (place, block), row in self.layers.items()]
        networks = [
            ({"space": a.space, "code": a.code, **asdict(latency), "architecture": json.dumps(a.to_json())}, latency)
            for a, latency in self.networks.items()
        ]
        counts: dict[str, int] = {}
        for name, rows in ((BLOCKS_FILE, blocks), (NETWORKS_FILE, networks), (LAYERS_FILE, layers)):
            if rows or name != LAYERS_FILE:
                checked = [row | {CHECKSUM: _checksum(row, latency)} for row, latency in rows]
                write_atomically(folder / name, partial(_write_csv, checked))
                counts |= {name: len(rows)} if rows else {}
        write_json(folder / CONDITIONS_FILE, self.conditions | {ROWS: counts})
        self.folder = folder

    @staticmethod
    def load(folder: Path | str) -> LatencyTable:
        """Read a table. Raises HwnasError naming the file and the row that is missing or damaged."""
        folder = Path(folder)
        if not (folder / BLOCKS_FILE).exists():
            raise HwnasError(f"there is no latency table in {folder} (no {BLOCKS_FILE}); {_where_tables_are(folder)}.")
        path = folder / CONDITIONS_FILE
        conditions = read_json(path, "the latency table")
        counts = checked(_Conditions, conditions, str(path), CURE).rows
        conditions.pop(ROWS, None)
        table = LatencyTable(conditions=conditions, folder=folder)
        table.blocks = _rows(folder / BLOCKS_FILE, _block_of, counts)
        table.networks = _rows(folder / NETWORKS_FILE, _architecture_of, counts)
        table.layers = _rows(folder / LAYERS_FILE, _layer_of, counts)
        return table


CURE = "restore the file, or delete the table's folder and measure again"


class _Imported(BaseModel):
    publication: str


class _Summary(BaseModel):
    reference_us: Ms | None = None


class _Conditions(BaseModel):
    """The part of a table's conditions that hwnas uses; the rest is for people."""

    identity: dict[str, Any] = {}
    circumstances: dict[str, Any] = {}
    imported: _Imported | None = None
    summary: _Summary = _Summary()
    rows: dict[str, Count] = {}


def _write_csv(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Rows of one kind, a column for each of their names; what is None is empty."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _block_row(block: Block, latency: Latency) -> dict[str, Any]:
    spec, shape = block
    dumped = json.dumps(spec.to_json(), separators=(",", ":"))
    return {"block": str(spec), "input_shape": "x".join(map(str, shape)), **asdict(latency), "spec": dumped}


def _block_of(row: dict[str, str]) -> Block:
    sides = re.fullmatch(r"(\d{1,6})x(\d{1,6})x(\d{1,6})", row["input_shape"])
    if sides is None:
        raise ValueError(f"input_shape: must be CxHxW, such as 16x32x32 (found {excerpt(row['input_shape'])})")
    channels, height, width = map(int, sides.groups())
    spec, shape = spec_from_json(_json_of(row, "spec")), (channels, height, width)
    check_shape(shape)
    spec.output_shape(shape)
    return spec, shape


def _layer_of(row: dict[str, str]) -> Layer:
    if re.fullmatch(r"\d{1,4}", row["layer"]) is None:
        raise ValueError(f"layer: must be a place in the chain, from 0 (found {excerpt(row['layer'])})")
    return int(row["layer"]), _block_of(row)


def _architecture_of(row: dict[str, str]) -> Architecture:
    return Architecture.from_json(_json_of(row, "architecture"))


def _json_of(row: dict[str, str], column: str) -> Any:
    try:
        return parse_json(row[column])
    except ValueError as error:
        raise ValueError(f"{column}: must be JSON: {error} (found {excerpt(row[column])})") from None


_LATENCY = TypeAdapter(Latency)
LATER = ("halves_percent", "drift_percent")


def _latency_of(row: dict[str, str]) -> Latency:
    """The statistics of a row. Raises KeyError for a column that is not there, ValidationError for a wrong value."""
    names = [f.name for f in fields(Latency)]
    # tables of earlier versions lack the later columns; what is not known is empty
    return _LATENCY.validate_strings({name: row[name] for name in names if name not in LATER or row.get(name)})


def _checksum(row: dict[str, Any], latency: Latency) -> str:
    """CRC-32 of the values of a row, whether it is to be written or was read."""
    what = [str(row.get(name, "")) for name in ("layer", "input_shape", "spec", "architecture")]
    return f"{zlib.crc32(repr((what, asdict(latency))).encode()):08x}"


def _rows(path: Path, key_of: Callable[[dict[str, str]], Key], counts: Mapping[str, int]) -> dict[Key, Latency]:
    """The rows of a table's CSV by key; none where there is no file.

    Args:
        path: of the file.
        key_of: what a row is about.
        counts: how many rows were written, by the file's name; earlier versions counted none.

    Raises HwnasError naming the line, the value and the rule that it breaks, or how many rows were lost.
    """
    rows: dict[Key, Latency] = {}
    lines: dict[Key, int] = {}
    written = counts.get(path.name, 0)
    if not path.exists():
        if written:
            raise HwnasError(f"{path} is missing, and {written} rows were written to it; {CURE}.")
        return rows
    if path.stat().st_size == 0:
        raise HwnasError(f"{path} is damaged: it is empty; {CURE}.")
    for line, row in read_csv(path, "the latency table"):
        try:
            key, latency = key_of(row), _latency_of(row)
            if row.get(CHECKSUM) and row[CHECKSUM] != _checksum(row, latency):  # earlier versions wrote none
                raise ValueError(f"it does not match its {CHECKSUM}; empty that cell if you changed the row")
            if key in rows:
                raise ValueError(f"it is about the same as line {lines[key]}, and only one of them can be right")
        except KeyError as error:
            raise HwnasError(f"{path}, line {line}, is damaged: there is no column {error}; {CURE}.") from None
        except ValidationError as error:
            raise HwnasError(f"{path}, line {line}, is damaged: {faults_of(error)}; {CURE}.") from None
        except (HwnasError, ValueError) as error:
            raise HwnasError(f"{path}, line {line}, is damaged: {str(error).rstrip('.')}; {CURE}.") from None
        rows[key], lines[key] = latency, line
    if len(rows) < written:
        raise HwnasError(f"{path} is damaged: {len(rows)} of the {written} rows that were written are left; {CURE}.")
    return rows


def _where_tables_are(folder: Path) -> str:
    """The cure for a folder without a table."""
    if folder.is_file():
        return f"name the folder of the table, such as {folder.parent}"
    if below := [*folder.glob(f"*/{BLOCKS_FILE}"), *folder.glob(f"*/*/{BLOCKS_FILE}")]:
        return f"name one of the tables below it, such as {min(below).parent}"
    return "make one with `hwnas measure --space tiny --device local --runtime litert`"


def check_device(table: LatencyTable, name: str | None) -> str | None:
    """The device that a published table is about, as far as it says.

    Raises UsageError if that is another one than is named; None: none is.
    """
    about = table.conditions.get("circumstances", {}).get("device") if table.publication else None
    if about is None or not isinstance(about, str):
        return None
    if name not in (None, about):
        raise UsageError(
            f"the table {table.folder or 'that is named'} is about {about}, not {name}: leave --device out, or name a "
            f"table of {name}."
        )
    return about
