"""The StudyResult: every run of a study, and the table that is made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from hwnas.evaluation.config import StudyConfig
from hwnas.evaluation.gap import Gap
from hwnas.evaluation.rules import RANDOM
from hwnas.evaluation.statistics import Comparison, holm
from hwnas.evaluation.tasks import Task
from hwnas.latency.budget import Budget
from hwnas.latency.wanted_budget import WantedBudget
from hwnas.space import Architecture

Json = dict[str, Any]
Key = tuple[str, float]
"""Images and budget in ms: what is compared with each other."""


@dataclass
class Cell:
    """One run of one contender; what is not known yet is None.

    Attributes:
        method, data, wanted_budget, budget, seed: what was asked.
        search: its task; None: a rule.
        effort: epochs of the search, or children that it trained, where searches are given equal time; None: they are
            not.
        has_supernet: whether the search left one.
        architecture: what it found.
        accuracy: of that, trained from scratch: share of the test images.
        val_accuracy: the same, of the validation images.
        search_seconds, train_seconds: of the search, and of the training of what it found.
        regret: points of published accuracy between the best network within the budget and this one.
        gap: of its supernet.
    """

    method: str
    data: str
    wanted_budget: WantedBudget
    budget: Budget
    seed: int
    search: Task | None = None
    effort: int | None = None
    has_supernet: bool = False
    architecture: Architecture | None = None
    accuracy: float = 0.0
    val_accuracy: float = 0.0
    search_seconds: float = 0.0
    train_seconds: float = 0.0
    regret: float | None = None
    gap: Gap | None = None

    @property
    def network(self) -> Architecture:
        assert self.architecture is not None
        return self.architecture

    @property
    def predicted_ms(self) -> float:
        return self.budget.predictor.predict(self.network).ms

    def to_json(self) -> Json:
        return {
            "method": self.method,
            "data": self.data,
            "budget_ms": self.budget.budget_ms,
            "seed": self.seed,
            "code": self.network.code,
            "digest": self.network.digest,
            "macs": self.network.macs,
            "predicted_ms": self.predicted_ms,
            "accuracy": self.accuracy,
            "val_accuracy": self.val_accuracy,
            "search_seconds": self.search_seconds,
            "effort": self.effort,
            "train_seconds": self.train_seconds,
            "regret": self.regret,
            "gap": None if self.gap is None else self.gap.to_json(),
        }


@dataclass(frozen=True)
class StudyResult:
    """The results of a study."""

    config: StudyConfig
    folder: Path
    cells: Sequence[Cell]
    seconds: float

    def rows(self) -> list[Json]:
        """The table: a row per images, budget and contender, compared with the random networks there.

        p values are corrected for all comparisons of the table.
        """
        grouped: dict[Key, dict[str, list[Cell]]] = {}
        for cell in self.cells:
            grouped.setdefault((cell.data, cell.budget.budget_ms), {}).setdefault(cell.method, []).append(cell)
        rows = [_row(method, cells, groups) for groups in grouped.values() for method, cells in groups.items()]
        compared = [row for row in rows if row["p"] is not None]
        for row, corrected in zip(compared, holm([row["p"] for row in compared]), strict=True):
            row["p_holm"] = corrected
        return rows

    def to_json(self) -> Json:
        return {
            "rows": self.rows(),
            "runs": [cell.to_json() for cell in self.cells],
            "study": str(self.folder),
            "config": self.config.model_dump(mode="json"),
            "seconds": self.seconds,
        }


def _row(method: str, cells: Sequence[Cell], groups: dict[str, list[Cell]]) -> Json:
    """One row; ``p_holm`` is filled in when all rows are known."""
    means = {name: fmean(cell.accuracy for cell in group) for name, group in groups.items()}
    first = cells[0]
    row: Json = {
        "method": method,
        "data": first.data,
        "budget_ms": first.budget.budget_ms,
        "wanted_budget": first.wanted_budget,
        "seeds": len(cells),
        "accuracy_mean": means[method],
        "accuracies": [cell.accuracy for cell in cells],
        "rank": 1 + sum(mean > means[method] for mean in means.values()),
        "regret_mean": _mean(cells, lambda cell: cell.regret),
        "regret_seeds": sum(cell.regret is not None for cell in cells),
        "relative_improvement": None,
        "interval": None,
        "p": None,
        "p_holm": None,
        "least_p": None,
        "superiority": None,
        "smallest_improvement": None,
        "budget_used": fmean(cell.predicted_ms / cell.budget.budget_ms for cell in cells),
        "seconds": fmean(cell.search_seconds + cell.train_seconds for cell in cells),
        "search_seconds": fmean(cell.search_seconds for cell in cells),
        "effort": first.effort,
        "gap": mean_gap([cell.gap for cell in cells if cell.gap is not None]),
    }
    if method != RANDOM:
        row |= Comparison.of(row["accuracies"], [cell.accuracy for cell in groups[RANDOM]]).to_json()
    return row


def mean_gap(gaps: Sequence[Gap]) -> Json | None:
    """The gaps of a method's supernets, their means over the seeds; None: it has no supernet.

    ``tau_error`` is the mean standard error of one supernet's tau. ``hit`` is the share of supernets.
    """
    if not gaps:
        return None
    correlations = {
        "tau": [gap.ranking.all_networks for gap in gaps],
        "tau_top_quartile": [gap.ranking.top_quartile for gap in gaps],
        "tau_macs": [gap.by_macs for gap in gaps],
        "tau_depth": [gap.by_depth for gap in gaps],
        "tau_naswot": [gap.by_naswot for gap in gaps],
        "tau_ceiling": [None if gap.ceiling is None else gap.ceiling.all_networks for gap in gaps],
    }
    found: Json = {
        "discretisation": fmean(gap.discretisation for gap in gaps),
        "retraining": fmean(gap.retraining for gap in gaps),
        "regret": fmean(gap.ranking.regret for gap in gaps),
        "regret_ceiling": _mean(gaps, lambda gap: None if gap.ceiling is None else gap.ceiling.regret),
        "hit": _mean(gaps, lambda gap: gap.ranking.hit),
        "networks": max((each.networks for each in correlations["tau"] if each is not None), default=0),
    }
    for name, each in correlations.items():
        found[name] = _mean(each, lambda one: None if one is None else one.tau)
        found[f"{name}_error"] = _mean(each, lambda one: None if one is None else one.error)
    return found


def _mean(items: Sequence[Any], value: Callable[[Any], float | None]) -> float | None:
    """The mean of what is known; None: nothing is."""
    known = [found for found in map(value, items) if found is not None]
    return fmean(known) if known else None
