"""The contents of a page's charts: values placed on axes, which `templates/charts.html` draws as SVG."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import Any, Literal

import numpy as np

from hwnas.exporter.accuracy import wilson_interval
from hwnas.report.axis import Axis

PARETO_PX, LABEL_PX = 280, 17
"""Height of the picture of accuracies, and of a line of text in it."""
BINS = 120
"""A curve of more values is drawn from so many means."""
STYLES = 6
"""Lines that can be told apart without colour, in `style.css`; with more runs they come again."""
LONGEST_NAME = 30
"""In characters: a longer one is cut in the picture, and whole in its hover text."""

Json = Mapping[str, Any]
Kind = Literal["returned", "file", "known", "searched", "budget", "run"]


@dataclass(frozen=True)
class Point:
    """A network in the picture of ms and accuracy (a share from 0 to 1), with the 95 % interval of the latter."""

    name: str
    ms: float
    accuracy: float
    interval: tuple[float, float] | None
    kind: Kind

    @property
    def told(self) -> str:
        within = "" if self.interval is None else f" ({percents(self.interval)})"
        return f"{self.name}: {self.ms:.4g} ms, {100 * self.accuracy:.1f} % right{within}"


def percents(interval: Sequence[float]) -> str:
    """An interval of shares in words."""
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f} %"


def accuracy_interval(accuracy: float, images: int | None) -> tuple[float, float] | None:
    """The 95 % interval (Wilson) of a share of so many images; None where it is not known of how many."""
    return wilson_interval(round(accuracy * images), images) if images else None


def shortened(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def budget_chart(report: Json) -> Json:
    """The bars of measured ms against the budget; predicted ms and 90 % interval beside the one they are for."""
    budget_ms, target = report["budget_ms"], report["runtime"]
    limited = report.get("precision") or "float32"
    measured = {(name, limited): ms for name, ms in report["measured_ms"].items()}
    for model in report.get("models", ()):
        measured |= {(name, model["precision"]): ms for name, ms in model.get("ms", {}).items()}
    keys = sorted(measured, key=lambda key: (key != (target, limited), key[1] != limited))
    ends = [*(report["interval_ms"] or ()), *measured.values(), budget_ms]
    axis = Axis.around(ends, from_zero=True)
    rows = [_budget_row(name, precision, measured[name, precision], report, axis) for name, precision in keys]
    if not rows:
        rows = [_budget_row(target, limited, None, report, axis)]
    return {"rows": rows, "budget": axis.percent(budget_ms), "budget_ms": f"{budget_ms:g}", "ticks": axis.ticks()}


def _budget_row(name: str, precision: str, ms: float | None, report: Json, axis: Axis) -> Json:
    is_limited = (name, precision) == (report["runtime"], report.get("precision") or "float32")
    told = "not measured" if ms is None else f"{ms:.4g} ms measured"
    row: dict[str, Any] = {"name": f"{name}, {precision}", "ms": ms, "band": None, "predicted": None}
    if is_limited and report["predicted_ms"] is not None:
        low, high = report["interval_ms"]
        told += f", {report['predicted_ms']:.4g} ms predicted (90 % interval {low:.4g} to {high:.4g} ms)"
        start = axis.percent(low)
        row |= {
            "predicted": axis.percent(report["predicted_ms"]),
            "band": (start, round(axis.percent(high) - start, 2)),
        }
    over = ms is not None and ms > report["budget_ms"]
    row |= {"told": told, "over": over, "is_limited": is_limited, "length": 0 if ms is None else axis.percent(ms)}
    return row


def network_points(report: Json) -> list[Point]:
    """The networks returned, compared with, and on the frontier."""
    images = report.get("images", {}).get("test")

    def point(name: str, ms: float | None, accuracy: float | None, kind: Kind) -> list[Point]:
        if ms is None or accuracy is None:
            return []
        return [Point(name, ms, accuracy, accuracy_interval(accuracy, images), kind)]

    target = report["runtime"]
    limited = report.get("precision") or "float32"
    ms = report["measured_ms"].get(target, report["predicted_ms"])
    searched = [report["searched"] | {"network": "found by the search"}] if report.get("searched") else []
    points = point(returned_name(report), ms, report["accuracy"], "returned")
    for model in report.get("models", ()):
        if model["precision"] != limited:
            points += point(
                f"its {model['precision']} file", model.get("ms", {}).get(target), model.get("accuracy"), "file"
            )
    for each in [*searched, *report.get("found_against", ())]:
        kind: Kind = "searched" if each in searched else "known"
        if each["network"] != report.get("returned") or kind == "searched":
            points += point(f"{each['network']}, {each['resolution']} px", each["measured_ms"], each["accuracy"], kind)
    for each in report.get("frontier", ()):
        own_ms = each["predicted_ms"] if each["measured_ms"] is None else each["measured_ms"]
        points += point(f"for {each['budget_ms']:g} ms", own_ms, each["accuracy"], "budget")
    return points


def returned_name(report: Json) -> str:
    """The name of the network in pictures."""
    returned = report.get("returned") or "found"
    return "found (this network)" if returned == "found" else f"{returned} (this network)"


def pareto_chart(points: Sequence[Point], budgets_ms: Sequence[float]) -> Json:
    """ms against accuracy, with the budgets as lines and the best of each ms joined."""
    across = Axis.around([*(point.ms for point in points), *budgets_ms], margin=0.12)
    ends = [end for point in points for end in (point.interval or (point.accuracy,))]
    up = Axis.around(ends, margin=0.1)
    drawn = [
        {
            "name": shortened(point.name),
            "told": point.told,
            "kind": point.kind,
            "x": across.percent(point.ms),
            "y": 100 - up.percent(point.accuracy),
            "ends": None if point.interval is None else [100 - up.percent(end) for end in point.interval],
        }
        for point in points
    ]
    _place_labels(drawn)
    best = [point for point in points if not any(_beats(other, point) for other in points)]
    best.sort(key=lambda point: point.ms)
    corners = [(across.percent(each.ms), 100 - up.percent(each.accuracy)) for each in best]
    return {
        "points": drawn,
        "height": PARETO_PX,
        "budgets": [{"x": across.percent(ms), "text": f"budget {ms:g} ms"} for ms in dict.fromkeys(budgets_ms)],
        "steps": " ".join(f"{x:.2f},{y:.2f}" for x, y in _stairs(corners)),
        "across": across.ticks(),
        "up": up.ticks(100),
        "told": "; ".join(point.told for point in points),
    }


def _beats(one: Point, other: Point) -> bool:
    return (
        one.ms <= other.ms and one.accuracy >= other.accuracy and (one.ms, one.accuracy) != (other.ms, other.accuracy)
    )


def _stairs(corners: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The corners joined by steps: between two networks the faster one is the best that there is."""
    found = list(corners[:1])
    for (_, before), (x, y) in pairwise(corners):
        found += [(x, before), (x, y)]
    return found


def _place_labels(points: Sequence[dict[str, Any]]) -> None:
    """Give each point the height of its label in pixels, so that no label is over another."""
    taken = 0.0
    for point in sorted(points, key=lambda each: each["y"]):
        wanted = PARETO_PX * point["y"] / 100 - 7
        taken = max(wanted, taken + LABEL_PX) if taken else max(wanted, LABEL_PX)
        point["label_y"] = round(taken, 1)
        point["ends_there"] = point["x"] > 50
    beyond = taken - (PARETO_PX - 4)
    if beyond > 0:  # they reached the axis: all move up
        for point in points:
            point["label_y"] = round(max(LABEL_PX, point["label_y"] - beyond), 1)


def curve(
    name: str, unit: str, records: Iterable[Json], key: str, limit: float | None = None, joined: bool = True
) -> Json | None:
    """A value over the steps of a search; None where fewer than two were recorded.

    Args:
        name, unit: of the value, for people.
        records: of ``metrics.jsonl``.
        key: of the value there; what is no number is left out, as a loss that was none.
        limit: a value to be drawn as a line.
        joined: by a line; else each value is a dot.
    """
    values = [(float(each["step"]), float(each[key])) for each in records if _is_number(each.get(key))]
    if len(values) < 2:
        return None
    bins = _binned(values)
    across = Axis(bins[0][0], bins[-1][0]) if bins[-1][0] > bins[0][0] else Axis.around([bins[0][0]])
    up = Axis.around([value for _, value in bins] + ([] if limit is None else [limit]))
    width = 100 / len(bins)
    places = [(across.percent(step), round(100 - up.percent(value), 2)) for step, value in bins]
    first, last = bins[0][1], bins[-1][1]
    limited = "" if limit is None else f"; the budget is {limit:g}{unit}"
    return {
        "name": name,
        "told": f"{name}, from {first:.3g}{unit} at first to {last:.3g}{unit} at last{limited}",
        "lines": [_line(name, 0, places)] if joined else [],
        "dots": () if joined else places,
        "spots": [
            {"x": round(place * width, 2), "width": round(width, 2), "told": f"step {step:,.0f}: {value:.4g}{unit}"}
            for place, (step, value) in enumerate(bins)
        ],
        "limit": None if limit is None else 100 - up.percent(limit),
        "across": across.ticks(),
        "up": up.ticks(),
    }


def laid_over(name: str, unit: str, runs: Mapping[str, Iterable[Json]], key: str) -> Json | None:
    """A value over the steps of several searches, on the same axes; None where fewer than two runs have recorded it.

    Args:
        name, unit, key: as of `curve`.
        runs: the records of each run, by its name.
    """
    recorded = {
        run: [(float(each["step"]), float(each[key])) for each in records if _is_number(each.get(key))]
        for run, records in runs.items()
    }
    values = {run: _binned(each) for run, each in recorded.items() if len(each) > 1}
    if len(values) < 2:
        return None
    across = Axis(0.0, max(each[-1][0] for each in values.values()))
    up = Axis.around([value for each in values.values() for _, value in each])
    places = np.linspace(0, across.high, BINS + 1)[1:]
    spots = []
    for number, step in enumerate(places):
        told = [
            f"{run} {_at(step, each):.4g}{unit}" for run, each in values.items() if each[0][0] <= step <= each[-1][0]
        ]
        x, width = 100 * number / BINS, 100 / BINS
        if told:
            text = f"step {step:,.0f}: {', '.join(told)}"
            spots.append({"x": round(x, 2), "width": round(width, 2), "told": text})
    lines = [
        _line(run, number, [(across.percent(step), round(100 - up.percent(value), 2)) for step, value in each])
        for number, (run, each) in enumerate(values.items())
    ]
    ends = ", ".join(f"{run} {each[-1][1]:.3g}{unit}" for run, each in values.items())
    return {
        "name": name,
        "told": f"{name} of {len(values)} runs, at last: {ends}",
        "lines": lines,
        "dots": (),
        "spots": spots,
        "limit": None,
        "across": across.ticks(),
        "up": up.ticks(),
    }


def _line(name: str, number: int, places: Iterable[tuple[float, float]]) -> Json:
    """The line of a run through places in percent of the width and height."""
    return {"name": name, "style": number % STYLES, "points": " ".join(f"{x},{y}" for x, y in places)}


def _at(step: float, values: Sequence[tuple[float, float]]) -> float:
    steps, found = zip(*values, strict=True)
    return float(np.interp(step, steps, found))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _binned(values: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The means of at most `BINS` equal parts; the first step and the last keep their places."""
    size = -(-len(values) // BINS)
    parts = [values[start : start + size] for start in range(0, len(values), size)]
    return [(part[-1][0] if part is parts[-1] else part[0][0], fmean(value for _, value in part)) for part in parts]
