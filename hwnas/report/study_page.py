"""The page of a study: one HTML file that needs nothing else, with the tables and every run of them as a point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from hwnas.files import write_page
from hwnas.report.study_table import (
    EXPLAINED,
    GAP_EXPLAINED,
    GAP_HEADS,
    HEADS,
    by_budget,
    cells,
    gap_cells,
    too_few,
)

PAGE_FILE, TEMPLATE = "report.html", "study.html"
WIDTH_PX, ROW_PX = 420, 22

Json = Mapping[str, Any]


def write_study_page(folder: Path, report: Json) -> Path:
    """Write the page into a study's folder. Raises HwnasError if it cannot be written."""
    path = folder / PAGE_FILE
    write_page(path, study_page(report))
    return path


def study_page(report: Json) -> str:
    """The page as HTML.

    Args:
        report: what the study's ``report.json`` holds.
    """
    environment = Environment(loader=PackageLoader("hwnas.report"), autoescape=True, undefined=StrictUndefined)
    config = report["config"]
    return environment.get_template(TEMPLATE).render(
        title=f"search methods on {config['space']}",
        facts=_facts(report),
        warning=too_few(report["rows"]),
        heads=HEADS,
        explained=EXPLAINED,
        budgets=[
            {"title": f"{data} within {budget_ms:g} ms", "rows": [cells(row) for row in rows], "plot": _plot(rows)}
            for (data, budget_ms), rows in by_budget(report["rows"]).items()
        ],
        gap_heads=GAP_HEADS,
        gap_explained=GAP_EXPLAINED,
        gaps=[gap_cells(row) for row in report["rows"] if row["gap"] is not None],
        width=WIDTH_PX,
        row_height=ROW_PX,
    )


def _facts(report: Json) -> list[tuple[str, str]]:
    config = report["config"]
    first, seeds = config["first_seed"], config["seeds"]
    return [
        ("seeds", f"{seeds}, from {first} to {first + seeds - 1}"),
        ("training", f"{config['epochs']} epochs, batches of {config['batch_size']}, of supernets and networks alike"),
        ("latency table", config["latency"] or f"of {config['device']}"),
        ("networks ranked", f"all that were trained, and {config['ranked']} random ones"),
    ]


def _plot(rows: Sequence[Json]) -> list[Json]:
    """Each run of a contender as a point on one scale of accuracy, and the mean as a line."""
    values = [accuracy for row in rows for accuracy in row["accuracies"]]
    low, high = min(values), max(values)
    span = high - low or 1.0

    def place(accuracy: float) -> float:
        return float(round(10 + (WIDTH_PX - 20) * (accuracy - low) / span, 1))

    return [
        {
            "method": row["method"],
            "points": [(place(each), f"{100 * each:.2f} %") for each in row["accuracies"]],
            "mean": place(row["accuracy_mean"]),
        }
        for row in rows
    ]
