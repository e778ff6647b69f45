"""Two studies compared, row by row: the same method, images and budget, before and after a change."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field

from hwnas.errors import HwnasError
from hwnas.evaluation.statistics import Comparison, holm
from hwnas.evaluation.study import REPORT_FILE
from hwnas.files import read_json
from hwnas.foreign import checked

Json = dict[str, Any]
Key = tuple[str, str, float | str]
Share = Annotated[float, Field(ge=0, le=1)]


class _Gap(BaseModel):
    """The gap of a row: figures by name, some of them not known."""

    discretisation: float
    retraining: float
    regret: float
    hit: float | None
    tau: float | None
    tau_error: float | None
    tau_top_quartile: float | None
    tau_top_quartile_error: float | None
    tau_macs: float | None
    tau_macs_error: float | None
    tau_depth: float | None
    tau_depth_error: float | None
    tau_naswot: float | None = None
    tau_naswot_error: float | None = None
    tau_ceiling: float | None = None
    tau_ceiling_error: float | None = None
    regret_ceiling: float | None = None


class _Row(BaseModel):
    """The part of a row of a report that is shown or compared."""

    method: str
    data: str
    budget_ms: float = Field(gt=0)
    wanted_budget: float | str
    seeds: int = Field(ge=1)
    accuracies: list[Share] = Field(min_length=1)
    accuracy_mean: Share
    rank: int
    regret_mean: float | None
    regret_seeds: int | None = None  # earlier versions did not count them
    relative_improvement: float | None
    interval: tuple[float, float] | None
    p: float | None
    p_holm: float | None
    least_p: float | None
    superiority: float | None
    smallest_improvement: float | None
    budget_used: float
    search_seconds: float
    gap: _Gap | None


class _Report(BaseModel):
    rows: list[_Row] = Field(min_length=1)
    study: str


def read_report(study: Path) -> Json:
    """The report of a study that was made. Raises HwnasError if there is none, or it is damaged."""
    path = study / REPORT_FILE
    if not path.is_file():
        raise HwnasError(
            f"{study} holds no finished study (no {REPORT_FILE}). Name the folder of one, or repeat the `hwnas "
            "evaluate` that began it to go on with it."
        )
    found: Json = read_json(path, "the report of a study")
    if isinstance(found, dict) and not found.keys() & {"rows", "study"}:
        raise HwnasError(
            f"{path} is the report of another run, not of a study; `hwnas report {shlex.quote(str(study))}` shows it."
        )
    checked(_Report, found, f"{path} is damaged", "repeat the `hwnas evaluate` that made it")
    return found


def compare_studies(first: Path, second: Path) -> Json:
    """Every row that both studies have, the second against the first; p values corrected for all of them.

    Rows are the same where method, images and the budget as it was asked for are the same.

    Raises HwnasError if one is no study, or they have no row in common.
    """
    before, after = (_by_key(read_report(study)) for study in (first, second))
    common = [key for key in before if key in after]
    if not common:
        raise HwnasError(
            f"{first} and {second} have no method, images and budget in common: there is nothing to compare. Repeat "
            "one of them with those of the other."
        )
    rows = []
    for key in common:
        old, new = before[key], after[key]
        row: Json = {"method": key[0], "data": key[1], "budget_ms": new["budget_ms"], "seeds": len(new["accuracies"])}
        row |= {"accuracy_mean": new["accuracy_mean"], "accuracy_mean_before": old["accuracy_mean"]}
        rows.append(row | Comparison.of(new["accuracies"], old["accuracies"]).to_json())
    for row, corrected in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = corrected
    return {"rows": rows, "studies": [str(first), str(second)]}


def _by_key(report: Mapping[str, Any]) -> dict[Key, Json]:
    return {(row["method"], os.path.normpath(row["data"]), row["wanted_budget"]): row for row in report["rows"]}
