"""Published latency tables as LatencyTables, so that a phone need not be at hand. One module per format.

Adding a format is a module with `recognises` and `read`, and a line in `PUBLISHED_FORMATS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hwnas.errors import HwnasError
from hwnas.latency.tables.imported import lookup_keys, nn_meter, single_path, tunas
from hwnas.latency.tables.imported.content import Content, read_content
from hwnas.latency.tables.imported.rows import Rows
from hwnas.latency.tables.shipped import REGRESSION_FILE
from hwnas.latency.tables.table import BLOCKS_FILE, LatencyTable


@dataclass(frozen=True)
class PublishedFormat:
    """One kind of file.

    Attributes:
        example: an excerpt of such a file, for a person whose file is none.
        recognises: whether a content is of this kind, damaged or not.
        read: the rows of it, for a device that a person named, or None.
    """

    example: str
    recognises: Callable[[Content], bool]
    read: Callable[[Content, str | None], Rows]


PUBLISHED_FORMATS = {
    "Single-Path NAS": PublishedFormat(single_path.EXAMPLE, single_path.recognises, single_path.read),
    "ProxylessNAS and Once-for-All": PublishedFormat(lookup_keys.EXAMPLE, lookup_keys.recognises, lookup_keys.read),
    "nn-Meter": PublishedFormat(nn_meter.EXAMPLE, nn_meter.recognises, nn_meter.read),
    "TuNAS": PublishedFormat(tunas.EXAMPLE, tunas.recognises, tunas.read),
}


@dataclass(frozen=True)
class ImportedTable:
    """A table that was imported, and the numbers of rows that became blocks and did not."""

    table: LatencyTable
    folder: Path
    rows: int
    mapped: int
    unmapped: dict[str, int]
    """Rows that are no block of hwnas, by reason."""

    def to_json(self) -> dict[str, Any]:
        return {
            "table": str(self.folder),
            "rows": self.rows,
            "mapped": self.mapped,
            "unmapped": self.unmapped,
            "blocks": len(self.table.blocks),
            "conditions": self.table.conditions,
        }


def import_table(file: Path | str, device: str | None = None, tables: Path | str = "latency_models") -> ImportedTable:
    """Read a published table into ``tables/DEVICE/PUBLICATION``. Imported twice, it is the same table.

    Args:
        file: JSON, YAML or CSV, packed with gzip or not; its contents decide how it is read.
        device: the device it was measured on, where the publication does not say, or says it otherwise.
        tables: the folder that tables are kept in.

    Raises:
        UsageError: the device must be named, or the file has nothing for it.
        HwnasError: the file cannot be read or is of no known kind; the folder holds another table.
    """
    content = read_content(file)
    known = next((each for each in PUBLISHED_FORMATS.values() if each.recognises(content)), None)
    if known is None:
        examples = "; ".join(f"{name}: {each.example}" for name, each in PUBLISHED_FORMATS.items())
        fault = f" ({content.fault})" if content.fault else ""
        raise HwnasError(f"{file} is no published latency table that hwnas can read{fault}. It reads {examples}.")
    rows = known.read(content, device)
    if not rows.mapped:
        raise HwnasError(f"no row of {file} is a block of hwnas: {_counted(rows.unmapped)}.")
    name = device or rows.device or ""
    if not name or Path(name).name != name or name.startswith("."):
        raise HwnasError(f"{name!r} cannot name the folder of a device's tables; give a name such as --device pixel-1.")
    folder = Path(tables) / name / rows.publication.name
    table = LatencyTable(rows.blocks, conditions=_conditions(rows, content, name), layers=rows.layers)
    _check_replaceable(folder, table)
    table.save(folder)
    return ImportedTable(table, folder, rows.mapped + rows.unmapped.total(), rows.mapped, dict(rows.unmapped))


def _conditions(rows: Rows, content: Content, device: str) -> dict[str, Any]:
    """The conditions of an imported table: as those of a measured one, and where it comes from."""
    publication = rows.publication
    identity = publication.identity(content.sha256)
    return {
        "identity": identity,
        "circumstances": {"device": device, "date": None},
        "imported": {
            "publication": publication.title,
            "source": publication.source,
            "licence": publication.licence,
            "protocol": publication.protocol,
            "file": content.name,
            "sha256": content.sha256,
            "imported_on": datetime.now(UTC).date().isoformat(),
            "rows": rows.mapped + rows.unmapped.total(),
            "mapped": rows.mapped,
            "unmapped": dict(rows.unmapped),
            "unknown": [*(name for name, value in identity.items() if value is None), "date"],
            "notes": rows.notes,
        },
    }


def _check_replaceable(folder: Path, table: LatencyTable) -> None:
    """Raise HwnasError if the folder holds anything but this publication's table of the same file."""
    if (folder / REGRESSION_FILE).is_file():
        raise HwnasError(
            f"{folder} comes with hwnas and stays as it is; it needs no import. Name another folder with --tables to "
            "have the table of this file."
        )
    if not (folder / BLOCKS_FILE).exists():
        return
    there = LatencyTable.load(folder)
    if there.conditions.get("identity") != table.conditions["identity"]:
        held = there.publication or "a measured table"
        raise HwnasError(
            f"{folder} holds {held} of another file; tables are never mixed. Import into another folder with --tables, "
            "or delete that one."
        )


def _counted(unmapped: dict[str, int]) -> str:
    return "; ".join(f"{count} rows: {reason}" for reason, count in unmapped.items())
