"""The regression of a table's blocks as a file beside it, so that pricing others takes no minute of fitting.

Tables that come with hwnas have one (`hwnas.latency.tables.shipped`).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hwnas.errors import HwnasError
from hwnas.files import read_json, write_json
from hwnas.latency.fitting.regression import BlockRegression
from hwnas.latency.tables.measured import measured_digest
from hwnas.latency.tables.shipped import REGRESSION_FILE
from hwnas.latency.tables.table import Block, LatencyTable

ROWS = ("costs", "places")
"""Matrices of the regression, which are written a line of text per row: else each number would have a line."""
LISTS = ("measured_ms", "prior", "unit_costs", "trust")
DIGITS = 6
"""Of the numbers in the file."""

CONVOLUTIONS_ALONE = frozenset({"conv", "head", "conv_head", "pool_linear", "pool_head", "skip"})
"""Kinds of blocks that are one or two convolutions or linear layers: a ready regression prices them from any others."""


def write_regression(regression: BlockRegression, table: LatencyTable, folder: Path) -> BlockRegression:
    """Write the regression of a table into a folder, and return it as it will be read: its numbers are rounded."""
    data = {"fitted_to": measured_digest(table), **_packed(regression.to_json())}
    write_json(folder / REGRESSION_FILE, data)
    return _unpacked(data, folder / REGRESSION_FILE)


def rounded(regression: BlockRegression) -> BlockRegression:
    """The regression as its file would have it."""
    return _unpacked(_packed(regression.to_json()), Path(REGRESSION_FILE))


def ready_regression(table: LatencyTable) -> BlockRegression | None:
    """The regression beside a table; None if there is none, or if it is that of other numbers.

    Raises HwnasError if it is damaged.
    """
    path = None if table.folder is None else table.folder / REGRESSION_FILE
    if path is None or not path.is_file():
        return None
    data = read_json(path, "the ready regression")
    if not isinstance(data, dict) or data.get("fitted_to") != measured_digest(table):
        return None
    return _unpacked(data, path)


def unlike(table: LatencyTable, blocks: Iterable[Block]) -> list[str]:
    """The kinds of those blocks that the table has nothing alike for, so that an estimate would be a guess."""
    known = {spec.kind for spec, _ in table.blocks}
    if table.folder is not None and (table.folder / REGRESSION_FILE).is_file():
        known |= CONVOLUTIONS_ALONE
    return sorted({spec.kind for spec, shape in blocks if (spec, shape) not in table.blocks} - known)


def _packed(data: dict[str, Any]) -> dict[str, Any]:
    """The JSON of a regression with rounded numbers and a line per row."""
    model = dict(data["model"])
    model |= {name: [_line(row) for row in model[name]] for name in ROWS}
    model |= {name: _line(model[name]) for name in LISTS}
    model |= {name: float(_line([model[name]])) for name in ("speed", "widening")}
    hyperparameters = model["hyperparameters"]
    model["hyperparameters"] = {
        name: float(_line([value])) if isinstance(value, float) else [float(_line([each])) for each in value]
        for name, value in hyperparameters.items()
    }
    return data | {"model": model, "centre": _line(data["centre"]), "spread": _line(data["spread"])}


def _unpacked(data: dict[str, Any], path: Path) -> BlockRegression:
    try:
        model = dict(data["model"])
        model |= {name: [_numbers(row) for row in model[name]] for name in ROWS}
        model |= {name: _numbers(model[name]) for name in LISTS}
        found = data | {"model": model, "centre": _numbers(data["centre"]), "spread": _numbers(data["spread"])}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise HwnasError(
            f"{path} is damaged ({error!r}); restore it, or delete it and it is made when needed."
        ) from None
    return BlockRegression.from_json(found)


def _line(values: Iterable[float]) -> str:
    return " ".join(f"{value:.{DIGITS}g}" for value in values)


def _numbers(line: str) -> list[float]:
    return [float(value) for value in line.split()]
