"""The work of `hwnas measure --import`: a published table in place of a measured one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hwnas.cli.output import print_json
from hwnas.errors import UsageError


def import_published(file: Path, devices: Sequence[str], tables: Path, as_json: bool) -> None:
    """Import a published table, and say what became of its rows. Raises UsageError for more than one device."""
    from hwnas.latency.tables.imported.import_table import import_table
    from hwnas.report.console import CONSOLE, key_value_table

    if len(devices) > 1:
        raise UsageError(f"a published table is of one device, not of {', '.join(devices)}; name one with --device.")
    found = import_table(file, devices[0] if devices else None, tables)
    if as_json:
        print_json(found.to_json())
        return
    told = found.table.conditions["imported"]
    rows = {
        "from": f"{told['publication']} ({told['source']}; licence: {told['licence']})",
        "table": f"{found.folder}: {len(found.table.blocks)} blocks from {found.mapped} of {found.rows} rows",
        "how measured": told["protocol"],
        "not published": ", ".join(name.replace("_", " ") for name in told["unknown"]),
    }
    rows |= {f"{count} rows left out": reason for reason, count in found.unmapped.items()}
    rows |= {f"note {number}": note for number, note in enumerate(told["notes"], start=1)}
    CONSOLE.print(key_value_table(f"imported {file}", rows))
