"""The page of a study: one HTML file that needs nothing else, with the tables and every run of them as a point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hwnas.errors import HwnasError
from hwnas.files import write_page
from hwnas.report.axis import Axis
from hwnas.report.page_charts import Kind, Point, pareto_chart
from hwnas.report.search_page import render
from hwnas.report.study_table import (
    CONFIDENT,
    EXPLAINED,
    GAP_EXPLAINED,
    HEADS,
    by_budget,
    cells,
    gap_cells,
    gap_heads,
    too_few,
)

PAGE_FILE, TEMPLATE = "report.html", "study.html"

RULES = ("random", "most-layers", "most-macs")
"""Contenders that search nothing."""

Json = Mapping[str, Any]


def write_study_page(folder: Path, report: Json) -> Path:
    """Write the page into a study's folder. Raises HwnasError if it cannot be written."""
    path = folder / PAGE_FILE
    try:
        text = study_page(report)
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        raise HwnasError(
            f"the page: the report of {folder} lacks data that a page needs ({error!r}); repeat the study."
        ) from error
    write_page(path, text)
    return path


def study_page(report: Json) -> str:
    """The page as HTML.

    Args:
        report: what the study's ``report.json`` holds.
    """
    config = report["config"]
    gaps = [row for row in report["rows"] if row["gap"] is not None]
    return render(
        TEMPLATE,
        title=f"search methods on {config['space']}",
        headline=_headline(report["rows"]),
        facts=_facts(report),
        warning=too_few(report["rows"]),
        heads=HEADS,
        explained=EXPLAINED,
        budgets=[
            {
                "title": f"{data} within {budget_ms:.4g} ms",
                "rows": [cells(row) for row in rows],
                "runs": _runs(rows),
                "pareto": pareto_chart([_point(row) for row in rows], [budget_ms]),
            }
            for (data, budget_ms), rows in by_budget(report["rows"]).items()
        ],
        gap_heads=gap_heads(gaps),
        gap_explained=GAP_EXPLAINED,
        gaps=[gap_cells(row) for row in gaps],
    )


def _headline(rows: Sequence[Json]) -> str:
    """The outcome of the study in a sentence: which methods are better than random networks beyond chance."""
    compared = [row for row in rows if row["p_holm"] is not None]
    shown = [row for row in compared if row["p_holm"] <= CONFIDENT and row["relative_improvement"] > 0]
    budgets = len(by_budget(rows))
    where = f" in all {budgets} comparisons" if budgets > 1 else ""
    better = [name for name in _methods(compared) if sum(row["method"] == name for row in shown) == budgets]
    if not better:
        return f"No method is shown to be better than random networks{where}."
    return f"Better than random networks{where}: {', '.join(better)}."


def _methods(rows: Sequence[Json]) -> list[str]:
    return list(dict.fromkeys(row["method"] for row in rows))


def _facts(report: Json) -> list[tuple[str, str]]:
    config = report["config"]
    first, seeds = config["first_seed"], config["seeds"]
    return [
        ("seeds", f"{seeds}, from {first} to {first + seeds - 1}"),
        ("training", f"{config['epochs']} epochs, batches of {config['batch_size']}, {_equal(config)}"),
        ("latency table", config["latency"] or f"of {config['device']}"),
        ("networks ranked", f"all that were trained, and {config['ranked']} random ones{_repeats(config)}"),
    ]


def _equal(config: Json) -> str:
    seconds = config.get("search_seconds")
    if seconds is None:
        return "of supernets and networks alike"
    return f"of every network; searches of about {seconds:g} s each"


def _repeats(config: Json) -> str:
    seeds = config.get("ranked_seeds", 1)
    return f", each with {seeds} seeds" if seeds > 1 else ""


def _point(row: Json) -> Point:
    kind: Kind = "known" if row["method"] in RULES else "searched"
    return Point(row["method"], row["budget_used"] * row["budget_ms"], row["accuracy_mean"], None, kind)


def _runs(rows: Sequence[Json]) -> Json:
    """Each run of a contender as a point on one scale of accuracy, and the mean as a line."""
    axis = Axis.around([accuracy for row in rows for accuracy in row["accuracies"]])
    return {
        "ticks": axis.ticks(100),
        "rows": [
            {
                "name": row["method"],
                "told": f"mean {100 * row['accuracy_mean']:.2f} %" + _improvement(row),
                "mean": axis.percent(row["accuracy_mean"]),
                "points": [
                    {"x": axis.percent(each), "told": f"{row['method']}, run {number}: {100 * each:.2f} %"}
                    for number, each in enumerate(row["accuracies"], 1)
                ],
            }
            for row in rows
        ],
    }


def _improvement(row: Json) -> str:
    interval = row["interval"]
    within = "" if interval is None else f" ({interval[0]:+.2f} to {interval[1]:+.2f})"
    return "" if row["relative_improvement"] is None else f", RI {row['relative_improvement']:+.2f} %{within}"
