"""The LatencyTable: what was measured on one Device and Runtime, block by block and network by network.

A table is a folder: ``blocks.csv`` and ``networks.csv`` for people and programs to read, and ``conditions.json`` with
what the numbers were taken under. A block is known by its Spec and the (C, H, W) shape of its input, nothing else; only
where a publication gives each layer of its network a number of its own, these are kept too, in ``layers.csv``.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from hwnas.errors import HwnasError
from hwnas.files import read_json, write_atomically, write_json
from hwnas.space import Architecture, SearchSpace
from hwnas.spec import Shape, Spec, spec_from_json

BLOCKS_FILE, NETWORKS_FILE, CONDITIONS_FILE = "blocks.csv", "networks.csv", "conditions.json"
LAYERS_FILE = "layers.csv"

CHECKSUM = "crc32"
"""The last column of each file."""

Block = tuple[Spec, Shape]
Layer = tuple[int, Block]
"""A block at a place of the chain: 0 is the first link."""
Key = TypeVar("Key")


@dataclass(frozen=True)
class Latency:
    """One row: the statistics of all runs of one model. Percentages are relative to the median."""

    median_ms: float
    p5_ms: float
    p95_ms: float
    runs: int
    between_visits_percent: float
    """How far the medians of this model's separate visits lie apart: the noise that repeating shows."""
    noisy: bool = False
    halves_percent: float | None = None
    """How far one half of the visits is off the other: the noise of the median. None: visited once, or not known."""
    drift_percent: float | None = None
    """How far the reference model was off around these visits, at worst; None: there was none, or not known."""

    def __post_init__(self) -> None:
        numbers = (self.median_ms, self.p5_ms, self.p95_ms, self.between_visits_percent)
        if not (np.isfinite(numbers).all() and self.median_ms > 0 and self.runs > 0):
            raise ValueError(f"a latency must be positive and finite, not {self}")


@dataclass
class LatencyTable:
    """Latencies of blocks and of whole networks, and the conditions they share."""

    blocks: dict[Block, Latency] = field(default_factory=dict)
    networks: dict[Architecture, Latency] = field(default_factory=dict)
    conditions: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    layers: dict[Layer, Latency] = field(default_factory=dict)
    """What a block costs at one place of the chain, where that is known; elsewhere it costs what `blocks` says."""

    @property
    def publication(self) -> str | None:
        """What the table was imported from; None: it was measured."""
        return self.conditions.get("imported", {}).get("publication")

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

    def save(self, folder: Path) -> None:
        """Write the files. Raises HwnasError if the folder cannot be written."""
        blocks = [_block_row(block, latency) for block, latency in self.blocks.items()]
        layers = [{"layer": place, **_block_row(block, row)} for (place, block), row in self.layers.items()]
        networks = [
            {"space": a.space, "code": a.code, **asdict(latency), "architecture": json.dumps(a.to_json())}
            for a, latency in self.networks.items()
        ]
        for name, rows in ((BLOCKS_FILE, blocks), (NETWORKS_FILE, networks), (LAYERS_FILE, layers)):
            if rows or name != LAYERS_FILE:
                checked = [row | {CHECKSUM: _checksum(row)} for row in rows]
                write_atomically(folder / name, partial(pd.DataFrame(checked).to_csv, index=False))
        write_json(folder / CONDITIONS_FILE, self.conditions)
        self.folder = folder

    @staticmethod
    def load(folder: Path | str) -> LatencyTable:
        """Read a table. Raises HwnasError naming the file and the row that is missing or damaged."""
        folder = Path(folder)
        if not (folder / BLOCKS_FILE).is_file():
            raise HwnasError(
                f"there is no latency table in {folder} (no {BLOCKS_FILE}); make one with "
                "`hwnas measure --space tiny --device local --runtime litert`."
            )
        table = LatencyTable(conditions=read_json(folder / CONDITIONS_FILE, "the latency table"), folder=folder)
        table.blocks = dict(_rows(folder / BLOCKS_FILE, _block_of))
        if (folder / NETWORKS_FILE).is_file():
            table.networks = dict(_rows(folder / NETWORKS_FILE, _architecture_of))
        if (folder / LAYERS_FILE).is_file():
            table.layers = dict(_rows(folder / LAYERS_FILE, _layer_of))
        return table


def _block_row(block: Block, latency: Latency) -> dict[str, Any]:
    spec, shape = block
    dumped = json.dumps(spec.to_json(), separators=(",", ":"))
    return {"block": str(spec), "input_shape": "x".join(map(str, shape)), **asdict(latency), "spec": dumped}


def _block_of(row: dict[str, Any]) -> Block:
    channels, height, width = (int(side) for side in str(row["input_shape"]).split("x"))
    return spec_from_json(json.loads(row["spec"])), (channels, height, width)


def _layer_of(row: dict[str, Any]) -> Layer:
    return int(row["layer"]), _block_of(row)


def _architecture_of(row: dict[str, Any]) -> Architecture:
    return Architecture.from_json(json.loads(row["architecture"]))


def _checksum(row: dict[str, Any]) -> str:
    """CRC-32 of what a row says, whether it is to be written or was read."""
    what = [str(row.get(name, "")) for name in ("layer", "input_shape", "spec", "architecture")]
    return f"{zlib.crc32(repr((what, _latency_of(row))).encode()):08x}"


def _latency_of(row: dict[str, Any]) -> Latency:
    statistics = {name: float(row[name]) for name in ("median_ms", "p5_ms", "p95_ms", "between_visits_percent")}
    # tables of earlier versions lack these columns
    later_names = ("halves_percent", "drift_percent")
    later: dict[str, Any] = {n: float(row[n]) if row.get(n) not in ("", None) else None for n in later_names}
    noisy = {"True": True, "False": False}[str(row["noisy"])]
    return Latency(runs=int(row["runs"]), noisy=noisy, **statistics, **later)


def _rows(path: Path, key_of: Callable[[dict[str, Any]], Key]) -> Iterator[tuple[Key, Latency]]:
    """Each row of a table's CSV as its key and Latency. Raises HwnasError naming the line that is damaged."""
    cure = "restore the file, or delete the table's folder and measure again"
    try:
        frame = pd.read_csv(path, keep_default_na=False, float_precision="round_trip", dtype={CHECKSUM: str})
    except pd.errors.EmptyDataError:
        return
    except (OSError, UnicodeDecodeError, pd.errors.ParserError) as error:
        raise HwnasError(f"{path} is damaged ({error}); {cure}.") from None
    for line, row in enumerate(frame.to_dict("records"), start=2):
        try:
            if row.get(CHECKSUM) and row[CHECKSUM] != _checksum(row):  # earlier versions wrote none
                raise ValueError(f"it does not match its {CHECKSUM}, which whoever changes a row must empty")
            yield key_of(row), _latency_of(row)
        except (HwnasError, KeyError, ValueError, TypeError) as error:
            raise HwnasError(f"{path}, line {line}, is damaged ({error}); {cure}.") from None
