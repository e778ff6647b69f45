"""The card of a latency model that comes with hwnas: README.md for people, known_networks.json for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas.files import write_json, write_page
from hwnas.latency.tables.shipped import ShippedTable
from hwnas.latency.tables.table import LatencyTable
from hwnas.report.markdown import markdown_text

if TYPE_CHECKING:
    from latency_models import Comparison


def write_model_cards(
    table: LatencyTable,
    folder: Path,
    compared: Sequence[Comparison],
    without: Mapping[str, str],
    left_out_percent: float,
    alone_because: str,
) -> None:
    """Write both.

    Args:
        table: the figures.
        folder: of the model, with everything else in it.
        compared: known networks as the model prices them.
        without: why other known networks cannot be priced, by name.
        left_out_percent: mean error of the published blocks, each predicted from the others.
        alone_because: why no known network is set beside what others measured, if none is.
    """
    model = ShippedTable.of(folder)
    rows = [
        {
            "network": each.network,
            "width": each.width,
            "resolution": each.resolution,
            "predicted_ms": float(f"{each.prediction.ms:.4g}"),
            "interval_ms": [float(f"{end:.4g}") for end in each.prediction.interval_ms],
            "measured_ms": each.measured_ms,
            "measured_by": each.source,
            "error_percent": None if each.error_percent is None else round(each.error_percent, 1),
        }
        for each in compared
    ]
    facts = {"left_out_percent": round(left_out_percent, 1), "known_networks": rows, "not_priced": dict(without)}
    named = {name: value for name, value in model.to_json().items() if name != "folder"}
    write_json(folder / "known_networks.json", named | facts)
    write_page(folder / "README.md", _text(table, model, rows, without, left_out_percent, alone_because))


def _text(
    table: LatencyTable,
    model: ShippedTable,
    rows: Sequence[Mapping[str, Any]],
    without: Mapping[str, str],
    left_out_percent: float,
    alone_because: str,
) -> str:
    told, identity = table.conditions["imported"], table.conditions["identity"]
    stated = {name: identity[name] for name in ("runtime", "threads", "cores") if identity.get(name) is not None}
    facts = {
        "publication": told["publication"],
        "source": f"{told['source']}, commit {told['commit']}",
        "licence": told["licence"],
        "figures": f"{model.figures}, {len(table.blocks)} blocks from {told['mapped']} of {told['rows']} rows",
        **{name: str(value) for name, value in stated.items()},
        "how measured": told["protocol"],
        "not published": ", ".join(name.replace("_", " ") for name in told["unknown"]),
    }
    facts |= {f"{count} rows left out": reason for reason, count in told["unmapped"].items()}
    lines = [
        f"# {model.name}",
        "",
        "Predicted, never measured: nothing here comes from a phone that hwnas has seen.",
        "",
    ]
    lines += _table(("figures", ""), [(name, value) for name, value in facts.items()])
    lines += [*(f"* {note}" for note in told["notes"]), "", "## What it prices", ""]
    lines += _table(
        ("space", "how"),
        [(name, "every block is in the figures, at the size that the space is published at") for name in model.exact]
        + [(name, "blocks that are not in the figures are estimated from those that are") for name in model.estimated],
    )
    lines += [
        f"An estimate is {left_out_percent:.1f} % off on average: so far are the published blocks from what all others "
        "say of them. Blocks that are less like these are further off, and intervals allow for that.",
        "",
        "The 90 % interval is that of a plain sum of blocks, 25 % or wider. It is about these figures, and does not "
        "cover another build of the runtime: that alone has made a factor of 1.5 on one phone.",
        "",
        *_known(rows, model, alone_because),
    ]
    if without:
        lines += ["## What it cannot price", "", *_table(("network", "why"), list(without.items()))]
    return "\n".join(lines)


def _known(rows: Sequence[Mapping[str, Any]], model: ShippedTable, alone_because: str) -> list[str]:
    """The known networks: beside what others measured, and alone."""
    beside = [row for row in rows if row["measured_ms"] is not None]
    alone = [row for row in rows if row["measured_ms"] is None]
    lines = ["## Known networks", ""]
    if beside:
        errors = [row["error_percent"] for row in beside]
        lines += [
            f"In float, beside what others measured on this phone: {model.error_percent:g} % off on average, "
            f"{min(errors):+.1f} to {max(errors):+.1f} %.",
            "",
        ]
        heads = ("network", "width", "px", "predicted (ms)", "90 % interval", "measured (ms)", "error", "measured by")
        lines += _table(heads, [_row(row, beside=True) for row in beside])
    else:
        lines += [f"Nothing that others measured can be set beside these. {alone_because}", ""]
    return lines + _table(("network", "width", "px", "predicted (ms)", "90 % interval"), [_row(row) for row in alone])


def _row(row: Mapping[str, Any], beside: bool = False) -> tuple[str, ...]:
    low, high = row["interval_ms"]
    cells = (
        row["network"],
        f"{row['width']:g}",
        str(row["resolution"]),
        f"{row['predicted_ms']:g}",
        f"{low:.3g} to {high:.3g}",
    )
    if not beside:
        return cells
    return (*cells, f"{row['measured_ms']:g}", f"{row['error_percent']:+.1f} %", row["measured_by"])


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [heads, ["---"] * len(heads), *([markdown_text(cell) for cell in row] for row in rows)]
    return [*("| " + " | ".join(line) + " |" for line in lines), ""]
