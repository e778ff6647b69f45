"""Sustained speed on the terminal: figures, and a line of blocks for each thing that changes over time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from hwnas.campaign.sustained import FIRST, Sustained
from hwnas.report.console import key_value_table
from hwnas.report.sparkline import sparkline


def sustained_table(found: Sustained, model: Path) -> Table:
    """The figures of the first runs and of the last third of the time, and how it went in between."""
    minutes = found.samples[-1].at_s / 60
    asked = "" if minutes >= found.minutes else f" of {found.minutes:g}"
    rows: dict[str, str | Text] = {
        "first": f"{found.first_ms:.4g} ms, the median of {min(FIRST, len(found.samples))} samples",
        "sustained": f"{found.sustained_ms:.4g} ms, the median of the last third of {minutes:.3g}{asked} minutes",
        "slowdown": Text(f"{found.slowdown:.3f} times", "bold"),
    }
    for name, values in series(found).items():
        if values:
            rows[name] = f"{min(values):.4g} to {max(values):.4g}\n{sparkline(values)}"
        else:
            rows[name] = "the device does not tell"
    rows["under"] = "{runtime} {runtime_version}, threads: {threads}, {cpu}".format(**found.conditions["identity"])
    return key_value_table(str(model), rows)


def series(found: Sustained) -> dict[str, list[float]]:
    """The values that change over time, with their units; empty where not every sample tells."""
    frequencies = [each.frequency_khz and each.frequency_khz / 1e6 for each in found.samples]
    limits = [each.max_frequency_khz and each.max_frequency_khz / 1e6 for each in found.samples]
    told: dict[str, Sequence[float | None]] = {
        "ms": [each.ms for each in found.samples],
        "°C": [each.temperature_celsius for each in found.samples],
        "GHz": frequencies,
        "GHz allowed": limits,
    }
    return {
        name: [] if any(value is None for value in values) else [float(value or 0) for value in values]
        for name, values in told.items()
    }
