"""A study of search methods on the terminal, and two studies compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from math import comb
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

Json = Mapping[str, Any]
CONFIDENT = 0.05
HEADS = {
    "method": "method",
    "accuracy_mean": "accuracy %",
    "rank": "rank",
    "regret_mean": "regret",
    "relative_improvement": "RI %",
    "interval": "95 % interval",
    "p": "p",
    "p_holm": "p (Holm)",
    "superiority": "better",
    "smallest_improvement": "shows RI",
    "budget_used": "budget used %",
    "search_seconds": "search s",
}
"""Columns of the table of methods, in their order."""
SHORT = ("method", "accuracy_mean", "regret_mean", "relative_improvement", "interval", "p", "p_holm", "search_seconds")
"""Columns on the terminal, which is narrower than a page."""
GAP_HEADS = {
    "method": "method",
    "discretisation": "discretised",
    "retraining": "inherited",
    "tau": "tau",
    "tau_top_quartile": "top quarter",
    "tau_macs": "tau: MACs",
    "tau_depth": "depth",
    "tau_naswot": "naswot",
    "tau_ceiling": "other seed",
    "hit": "top-5 hit %",
    "regret": "regret",
    "regret_ceiling": "other seed",
}
CEILING = ("tau_ceiling", "regret_ceiling")
"""Columns that are there where networks were trained twice."""
EXPLAINED = (
    "accuracy of the test images, every network trained from scratch alike; RI: improvement over random networks "
    "within the budget, with Welch's interval; p: exact permutation test, and with Holm's correction; better: "
    "probability that a run beats a random one; shows RI: the smallest that so many runs show in 80 of 100 studies"
)
GAP_EXPLAINED = (
    "points of validation accuracy; discretised: lost by taking one network out of the supernet; inherited: minus the "
    "same network's when retrained; tau: Kendall's, of inherited with trained accuracy over all networks that were "
    "trained, with its standard error; top-5 hit: how often the best trained network is among the five best by "
    "inherited accuracy; regret: points lost by taking the first of them; other seed: the same by a second training of "
    "each network, where there is one: what training them all once tells"
)


def study_table(report: Json) -> Group:
    """A table of methods per images and budget, and one of gaps; what is wider is on the page."""
    shown: list[Any] = []
    regrets = any(row["regret_mean"] is not None for row in report["rows"])
    heads = {name: HEADS[name] for name in SHORT if regrets or name != "regret_mean"}
    for (data, budget_ms), rows in by_budget(report["rows"]).items():
        shown.append(_table(f"{data} within {budget_ms:g} ms, {rows[0]['seeds']} seeds", heads, map(cells, rows)))
    shown.append(Text(EXPLAINED, style="dim"))
    if warning := too_few(report["rows"]):
        shown.append(Text(warning, style="yellow"))
    if gaps := [row for row in report["rows"] if row["gap"] is not None]:
        for key, rows in by_budget(gaps).items():
            title = f"optimisation gap of the supernets, {key[0]} within {key[1]:g} ms"
            heads = gap_heads(gaps)
            short = {name: head for name, head in heads.items() if name not in ("tau_top_quartile", "hit")}
            shown.append(_table(title, short, [gap_cells(row) | {"method": row["method"]} for row in rows]))
        shown.append(Text(GAP_EXPLAINED, style="dim"))
    shown.append(Text(f"study, with report.html: {report['study']}"))
    return Group(*shown)


def comparison_table(comparison: Json) -> Table:
    """The second of two studies against the first."""
    first, second = comparison["studies"]
    names = (
        "method",
        "data",
        "budget_ms",
        "before",
        "accuracy_mean",
        "relative_improvement",
        "interval",
        "p",
        "p_holm",
    )
    heads = {name: HEADS.get(name, name.replace("_", " ")) for name in names}
    rows = [
        cells(row)
        | {
            "data": row["data"],
            "budget_ms": f"{row['budget_ms']:g}",
            "before": f"{100 * row['accuracy_mean_before']:.2f}",
        }
        for row in comparison["rows"]
    ]
    return _table(f"{Path(second).name} against {Path(first).name}", heads, rows)


def by_budget(rows: Sequence[Json]) -> dict[tuple[str, float], list[Json]]:
    """The rows by images and budget, the best contender first."""
    found: dict[tuple[str, float], list[Json]] = {}
    for row in rows:
        found.setdefault((row["data"], row["budget_ms"]), []).append(row)
    return {key: sorted(group, key=lambda row: row["rank"]) for key, group in found.items()}


def cells(row: Json) -> dict[str, str]:
    """The cells of a row, by column; nothing where nothing is known."""
    interval = row["interval"]
    return {
        "method": row["method"],
        "accuracy_mean": f"{100 * row['accuracy_mean']:.2f}",
        "rank": _written(row.get("rank"), "d"),
        "regret_mean": _written(row.get("regret_mean"), ".2f") + _of_all(row.get("regret_seeds"), row["seeds"]),
        "relative_improvement": _written(row["relative_improvement"], "+.2f"),
        "interval": "" if interval is None else f"{interval[0]:+.2f} to {interval[1]:+.2f}",
        "p": _written(row["p"], ".3f"),
        "p_holm": _written(row["p_holm"], ".3f"),
        "superiority": _written(row["superiority"], ".2f"),
        "smallest_improvement": _written(row["smallest_improvement"], ".2f"),
        "budget_used": _written(row.get("budget_used"), ".0%").removesuffix("%"),
        "search_seconds": _written(row.get("search_seconds"), ".1f"),
    }


def _of_all(known: int | None, seeds: int) -> str:
    """How many of the seeds a mean is of, where it is not of all: what the others found is not published."""
    return f" ({known} of {seeds})" if known and known < seeds else ""


def gap_heads(rows: Sequence[Json]) -> dict[str, str]:
    """The columns of the gaps of some rows, by name."""
    known = any(row["gap"].get("tau_ceiling") is not None for row in rows)
    return {name: head for name, head in GAP_HEADS.items() if known or name not in CEILING}


def gap_cells(row: Json) -> dict[str, str]:
    """The gap of a row's supernets, by column; accuracies in points."""
    gap = row["gap"]
    # studies of earlier versions lack some
    taus = {name: _with_error(gap.get(name), gap.get(f"{name}_error")) for name in GAP_HEADS if name.startswith("tau")}
    points = {name: f"{100 * gap[name]:+.2f}" for name in ("discretisation", "retraining", "regret")}
    place = f"{row['method']}, {row['data']}, {row['budget_ms']:g} ms"
    ceiling = gap.get("regret_ceiling")
    points["regret_ceiling"] = _written(None if ceiling is None else 100 * ceiling, "+.2f")
    return {"method": place, "hit": _written(gap["hit"], ".0%").removesuffix("%"), **points, **taus}


def too_few(rows: Sequence[Json]) -> str:
    """A sentence where so few runs cannot show anything, whatever the methods are worth; empty: they can."""
    possible = [row["least_p"] for row in rows if row["least_p"] is not None]
    least = max(possible, default=0.0) * len(possible)  # as Holm's correction has it
    if least <= CONFIDENT:
        return ""
    seeds = next(n for n in count(2) if 2 / comb(2 * n, n) * len(possible) <= CONFIDENT)
    return (
        f"So few seeds cannot show a difference: the smallest p that {len(possible)} comparisons can have is "
        f"{min(1.0, least):.2g}, corrected after Holm. Take {seeds} seeds or more."
    )


def _with_error(tau: float | None, error: float | None) -> str:
    return "" if tau is None else f"{tau:.2f}" + ("" if error is None else f"±{error:.2f}")


def _written(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _table(title: str, heads: Mapping[str, str], rows: Any) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for name, head in heads.items():
        left = name in ("method", "data")
        style, justify = ("cyan", "left") if left else (None, "right")
        table.add_column(head, style=style, justify=justify, overflow="fold", no_wrap=name == "method")  # type: ignore[arg-type]
    for row in rows:
        table.add_row(*(row[name] for name in heads))
    return table
