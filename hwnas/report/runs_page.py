"""The page of several runs: all of them in one picture of ms and accuracy, and in one table."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hwnas.errors import HwnasError
from hwnas.files import check_ours, write_page
from hwnas.report.page_charts import Point, accuracy_interval, laid_over, pareto_chart, percents
from hwnas.report.page_facts import device_name
from hwnas.report.recorded import budget_status
from hwnas.report.search_page import PAGE_FILE, render
from hwnas.report.written import logged, read_run
from hwnas.run import METRICS_FILE

TEMPLATE = "runs.html"
MARK = b'class="eyebrow">hwnas</p>'
"""A mark in every page of several runs, and in no other page."""
HEADS = ("run", "device", "budget", "ms", "accuracy", "95 % interval", "parameters", "returned", "method")

Json = Mapping[str, Any]


def write_runs_page(folders: Sequence[Path], path: Path) -> Path:
    """Write one page of several runs.

    Args:
        folders: of the runs.
        path: of the page; one that is there and was not written by hwnas is left alone.

    Raises HwnasError if a folder is no finished run, or the page cannot be written.
    """
    reports = {folder: read_run(folder) for folder in folders}
    metrics = {folder: logged(folder / METRICS_FILE) for folder in folders}
    check_ours(path, MARK)
    try:
        text = runs_page(reports, path.parent, metrics)
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        raise HwnasError(f"a report lacks data that a page needs ({error!r}); repeat its command.") from error
    write_page(path, text)
    return path


def runs_page(reports: Mapping[Path, Json], beside: Path, metrics: Mapping[Path, Sequence[Json]]) -> str:
    """The page as HTML.

    Args:
        reports: ``report.json`` by the folder of the run.
        beside: the folder of the page, which links are relative to.
        metrics: of each search, by the folder of the run.
    """
    names = _names(list(reports))
    points = [_point(names[folder], report) for folder, report in reports.items()]
    searches = {names[folder]: records for folder, records in metrics.items()}
    curves = [
        laid_over("Loss of the training images", "", searches, "loss"),
        laid_over("Expected latency", " ms", searches, "expected_ms"),
    ]
    where = {(report["device"], report["runtime"]) for report in reports.values()}
    return render(
        TEMPLATE,
        title=f"{len(reports)} runs",
        pareto=pareto_chart(points, [report["budget_ms"] for report in reports.values()]),
        curves=[each for each in curves if each is not None],
        several=len(where) > 1,
        other_images=len({(report.get("data") or {}).get("digest") for report in reports.values()}) > 1,
        heads=HEADS,
        rows=[_row(names[folder], folder, report, beside) for folder, report in reports.items()],
    )


def _names(folders: Sequence[Path]) -> dict[Path, str]:
    """The last part of each path, or as many as tell them apart."""
    parts = 1
    resolved = {folder: folder.resolve().parts for folder in folders}
    longest = max(map(len, resolved.values()))
    while parts < longest and len({found[-parts:] for found in resolved.values()}) < len(folders):
        parts += 1
    return {folder: "/".join(found[-parts:]) for folder, found in resolved.items()}


def _ms(report: Json) -> float:
    return float(report["measured_ms"].get(report["runtime"], report["predicted_ms"]))


def _point(name: str, report: Json) -> Point:
    interval = accuracy_interval(report["accuracy"], report.get("images", {}).get("test"))
    return Point(name, _ms(report), report["accuracy"], interval, "run")


def _row(name: str, folder: Path, report: Json, beside: Path) -> Json:
    interval = accuracy_interval(report["accuracy"], report.get("images", {}).get("test"))
    link = Path(os.path.relpath(folder, beside)).as_posix() + f"/{PAGE_FILE}"
    measured = report["runtime"] in report["measured_ms"]
    return {
        "name": name,
        "link": link if (folder / PAGE_FILE).is_file() else "",
        "cells": [
            f"{device_name(report)}, {report['runtime']}",
            f"{report['budget_ms']:g} ms",
            f"{_ms(report):.4g} {'measured, ' + budget_status(report) if measured else 'predicted'}",
            f"{100 * report['accuracy']:.1f} %",
            percents(interval) if interval else "",
            f"{report['params'] / 1e3:,.1f} k",
            report.get("returned") or "found",
            report.get("method") or "",
        ],
    }
