"""The Derivation: how an architecture was taken out of a supernet, and how much of the budget it uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hwnas.latency.budget import Budget
from hwnas.searches.contracts import Evaluation
from hwnas.space import Architecture

LEAST_SHARE = 0.93
"""Of a budget: where less is used, the reason is said. An unused budget is, as a rule, lost accuracy."""


@dataclass(frozen=True)
class Derivation:
    """How an architecture was derived, and how much of the budget it uses.

    Attributes:
        budget_share: predicted ms / budget; with further limits that of the one that it uses most.
        evaluations: networks that were compared on validation images; 0: it was taken by probability alone.
        val_accuracy: of this one as it was evaluated, with inherited weights or trained by itself, 0 to 1; None where
            it was not.
        reason: why it uses less than `LEAST_SHARE` of the budget; None where it uses as much.
    """

    budget_share: float
    evaluations: int = 0
    val_accuracy: float | None = None
    reason: str | None = None

    @staticmethod
    def of(
        budget: Budget,
        architecture: Architecture,
        found: Mapping[Architecture, Evaluation],
        regresses: bool = False,
    ) -> Derivation:
        """That of an architecture.

        Args:
            budget: within which it was derived.
            architecture: what was taken.
            found: what was evaluated on validation images, of whatever budget.
            regresses: whether a regression over them decided.
        """
        share = budget.share(architecture)
        reached = budget.reaching(architecture)  # measured within, it may be beyond by its interval, as others then are
        known = {each: evaluation for each, evaluation in found.items() if reached.is_within(each)}
        own = known.get(architecture)
        reason = None if share >= LEAST_SHARE else _reason(budget, architecture, known, regresses)
        return Derivation(share, len(known), own.accuracy if own else None, reason)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def uses_most(budget: Budget, architecture: Architecture) -> bool:
    """Whether an architecture, with its 90 % interval, uses `LEAST_SHARE` of a budget or more."""
    return bool(budget.used_shares([architecture])[0] >= LEAST_SHARE)


def _reason(
    budget: Budget, architecture: Architecture, known: Mapping[Architecture, Evaluation], regresses: bool
) -> str:
    """Why an architecture was taken that uses less than `LEAST_SHARE` of the budget."""
    percent = f"{100 * LEAST_SHARE:g} %"
    if budget.largest_share < LEAST_SHARE:
        return f"no network of the space takes {percent} of the budget"
    end = float(budget.used_shares([architecture])[0])
    if end >= LEAST_SHARE:
        return f"its 90 % interval ends at {100 * end:.0f} % of the budget"
    if regresses and known:
        return f"by a regression over {len(known)} evaluated networks none that uses more is better"
    if architecture not in known:
        if known:
            measured = f"none of the {len(known)} evaluated networks was within it as measured"
            if len(known) == 1:
                measured = "the one evaluated network was over it as measured"
            return f"{measured}; of the faster ones this is the most probable"
        return "it is the most probable one; no other was evaluated"
    ends = budget.used_shares(list(known))
    larger = [known[each] for each, end in zip(known, ends, strict=True) if end >= LEAST_SHARE]
    if not larger:
        return f"no network whose 90 % interval ends at {percent} of the budget or later was among the evaluated ones"
    best = max(larger, key=lambda evaluation: evaluation.rank)
    if best.rank > known[architecture].rank:
        return f"the better ones of the {len(larger)} that use more measured over the budget"
    said = f"none of the {len(larger)} evaluated networks that use more is better: the best of them has"
    if len(larger) == 1:
        said = "the one evaluated network that uses more is no better: it has"
    return f"{said} on the validation images {_figures(best)}, this one {_figures(known[architecture])}"


def _figures(evaluation: Evaluation) -> str:
    figures = [] if evaluation.accuracy is None else [f"{100 * evaluation.accuracy:.1f} %"]
    return ", ".join(figures + ([] if evaluation.loss is None else [f"loss {evaluation.loss:.3f}"]))
