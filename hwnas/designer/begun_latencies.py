"""The latencies that a run began with: a table that it measured by itself may have grown meanwhile.

A noisy block is measured again when its table is next asked for, and `hwnas measure` may add to it. The run goes on
with the predictor that it keeps, as long as the table is of the same conditions; a table that is named is another
matter: with other numbers it is another run.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from hwnas.errors import HwnasError
from hwnas.files import read_json, write_json
from hwnas.latency.predictor import LatencyPredictor
from hwnas.latency.tables.table import LatencyTable
from hwnas.space import SearchSpace


def begun_with(
    folder: Path, fitted: LatencyPredictor, table: LatencyTable, space: SearchSpace, name: str = ""
) -> LatencyPredictor:
    """The predictor that the run in `folder` keeps.

    It is `fitted` where there is none, or for a table of other conditions, or where the run is of another space, which
    is found out when it is opened.

    Args:
        fitted: to the table as it is now.
        table: that is measured by the run itself.
        space: that is searched.
        name: of a further device; empty for the first.
    """
    predictor, conditions = _files(folder, name)
    if conditions.is_file() and read_json(conditions, "the run's conditions") == _conditions(table):
        with suppress(HwnasError):  # damaged: it is made again from the table
            kept = fitted.saved(predictor)
            kept.decision_costs(space)
            return kept
    return fitted


def keep(folder: Path, fitted: LatencyPredictor, table: LatencyTable, name: str = "") -> LatencyPredictor:
    """Keep the predictor in a run that is open, if it has none; as it is kept. A fit to the same numbers differs in its
    last digits on other threads."""
    predictor, conditions = _files(folder, name)
    with suppress(HwnasError):  # it is not there yet, or damaged
        return fitted.saved(predictor)
    write_json(conditions, _conditions(table))  # first: a predictor without them would never be taken
    fitted.save(predictor)
    return fitted.saved(predictor)


def _conditions(table: LatencyTable) -> dict[str, Any]:
    """The conditions that must be equal before numbers are mixed, as a file has them."""
    found: dict[str, Any] = json.loads(json.dumps({"identity": table.conditions.get("identity")}))
    return found


def _files(folder: Path, name: str) -> tuple[Path, Path]:
    of = f"-{name.replace('/', '-')}" if name else ""
    return folder / f"predictor{of}.json", folder / f"conditions{of}.json"
