"""Tables that come with hwnas: published latencies of phones, ready to be priced with, where no phone is at hand.

Each is a folder ``latency_models/DEVICE/PUBLICATION`` of this repository, packed into the wheel, that holds the
figures, the regression that estimates other blocks from them, and a card. `benchmarks/latency_models.py` makes them. A
person's own tables are never among them: what makes a folder one of these is the regression beside its figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from hwnas.errors import HwnasError
from hwnas.files import read_json
from hwnas.foreign import NotNegative, checked
from hwnas.latency.tables.table import BLOCKS_FILE, CONDITIONS_FILE

REGRESSION_FILE = "regression.json"
CURE = "install hwnas again, or take the folder from its repository"


class _Shipped(BaseModel):
    """The part of ``conditions.json`` that only these tables have."""

    exact: list[str]
    estimated: list[str]
    known_networks_error_percent: NotNegative | None = None


class _Imported(BaseModel):
    publication: str
    source: str
    commit: str
    licence: str
    figures: str


class _Conditions(BaseModel):
    imported: _Imported
    shipped: _Shipped


@dataclass(frozen=True)
class ShippedTable:
    """One of them, as its conditions describe it.

    Attributes:
        device: the phone.
        folder: where it is.
        publication, source, commit, licence: where the figures are from.
        figures: "published", or "fitted" where the licence of the published ones is not known.
        exact: names of spaces all of whose blocks are in the figures.
        estimated: names of spaces some of whose blocks are estimated.
        error_percent: mean error on known networks that others measured on this phone; None: nobody published any.
    """

    device: str
    folder: Path
    publication: str
    source: str
    commit: str
    licence: str
    figures: str
    exact: tuple[str, ...]
    estimated: tuple[str, ...]
    error_percent: float | None

    @staticmethod
    def of(folder: Path) -> ShippedTable:
        """Raises HwnasError if its conditions are damaged."""
        path = folder / CONDITIONS_FILE
        found = checked(_Conditions, read_json(path, "the shipped table", CURE), str(path), CURE)
        told, own = found.imported, found.shipped
        return ShippedTable(
            folder.parent.name,
            folder,
            told.publication,
            told.source,
            told.commit,
            told.licence,
            told.figures,
            tuple(own.exact),
            tuple(own.estimated),
            own.known_networks_error_percent,
        )

    @property
    def name(self) -> str:
        """As ``--latency`` takes it: ``pixel-4/nn-meter``."""
        return f"{self.device}/{self.folder.name}"

    @property
    def spaces(self) -> tuple[str, ...]:
        """Those that it prices."""
        return (*self.exact, *self.estimated)

    def to_json(self) -> dict[str, Any]:
        """For programs: what `hwnas devices --json` says of it."""
        return {
            "name": self.name,
            "device": self.device,
            "folder": str(self.folder),
            "publication": self.publication,
            "source": self.source,
            "commit": self.commit,
            "licence": self.licence,
            "figures": self.figures,
            "spaces": {"exact": list(self.exact), "estimated": list(self.estimated)},
            "known_networks_error_percent": self.error_percent,
        }


def shipped_tables(device: str | None = None) -> list[ShippedTable]:
    """The tables that come with hwnas, of one device or of all; of one device the best first.

    Better is what is closer to known networks that others measured on that phone.
    """
    package = Path(__file__).parents[2]
    found = {
        f"{path.parent.parent.name}/{path.parent.name}": path.parent
        for root in (package / "data" / "latency_models", package.parent / "latency_models")
        for path in sorted(root.glob(f"{device or '*'}/*/{REGRESSION_FILE}"))
        if (path.parent / BLOCKS_FILE).is_file()
    }
    tables = [ShippedTable.of(folder) for _, folder in sorted(found.items())]
    return sorted(tables, key=lambda t: (t.device, float("inf") if t.error_percent is None else t.error_percent))


def shipped_table(device: str, space: str) -> ShippedTable | None:
    """The table that comes with hwnas and prices a space for a device best; None if there is none for the device.

    Raises HwnasError if there are some, and none prices the space.
    """
    tables = shipped_tables(device)
    serving = [each for each in tables if space in each.spaces]
    if tables and not serving:
        named = "; ".join(f"{each.name}: {', '.join(each.spaces)}" for each in tables)
        raise HwnasError(
            f"what comes with hwnas for {device} prices no network of space {space!r}, only of these: {named}. Choose "
            f"one of them with --space, or connect the phone and measure it: `hwnas measure --space {space} --device "
            f"{device}`."
        )
    return min(serving, key=lambda each: space not in each.exact, default=None)


def table_folder(latency: Path | str) -> Path:
    """The folder of a latency table: a path, or the name of one that comes with hwnas, such as ``pixel-4/nn-meter``.

    Raises HwnasError where there is neither.
    """
    path = Path(latency)
    if (path / BLOCKS_FILE).exists():
        return path
    shipped = {each.name: each.folder for each in shipped_tables()}
    if str(latency) not in shipped:
        raise HwnasError(
            f"there is no latency table in {latency} (no {BLOCKS_FILE}), and none of that name comes with hwnas. Make "
            f"one with `hwnas measure`, or take one that comes with hwnas: {', '.join(shipped)}."
        )
    return shipped[str(latency)]
