"""The precision that a table was measured in: latencies of different ones have tables of their own and never mix."""

from __future__ import annotations

from hwnas.errors import HwnasError
from hwnas.latency.tables.table import LatencyTable

USUAL_PRECISION = "float32"
"""Of model files, where nothing else is said."""

AUTO_PRECISION, AUTO_PRECISIONS = "auto", ("float32", "int8")
"""Of a design: whichever of these gives the better file within the budget."""


def table_name(runtime: str, precision: str = USUAL_PRECISION) -> str:
    """The folder of a measured table among those of its device: ``litert``, ``litert-int8``."""
    return runtime if precision == USUAL_PRECISION else f"{runtime}-{precision}"


def precision_of(table: LatencyTable) -> str:
    """Of the model files that were measured; a table that does not say, as published ones, is of float32."""
    return str((table.conditions.get("identity") or {}).get("precision") or USUAL_PRECISION)


def check_precision(table: LatencyTable, precision: str) -> None:
    """Raise HwnasError if the table is of another precision: no factor leads from one to the other."""
    if precision != (found := precision_of(table)):
        raise HwnasError(
            f"the table {table.folder} is of {found} files, and {precision} is asked for: latencies of one precision "
            f"say nothing of another. Leave out --latency, name a table of `hwnas measure --precision {precision}`, or "
            f"ask for --precision {found}."
        )
