"""The WantedBudget: a budget as a person writes it, in ms or as a share of a space's networks, and its ms.

``60%`` is the latency that 60 % of the networks of the space take at most, as a predictor has it: one can ask for it
before one knows what the device can do. 0 % is the least budget that can be met, 100 % the slowest network.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np

from hwnas.errors import UsageError
from hwnas.foreign import LONGEST_MS
from hwnas.latency.arrays import Floats
from hwnas.latency.budget import Budget, round_up
from hwnas.latency.predictor import LatencyPredictor
from hwnas.space import SearchSpace
from hwnas.text import excerpt

WantedBudget = float | str
"""Milliseconds, or a share of the space's networks as `parse_budget` writes it: ``60%``."""

RULE = (
    "must be a number of ms greater than 0 and no more than an hour, such as 0.5, or a share of the space's networks "
    "from 0 to 100 %, such as 60%"
)

SAMPLES, SEED = 100_000, 0
"""Random networks of which a share is taken: it is right within half a percent of the space. Always the same ones."""

DIGITS = 9
"""Of a predicted latency: the last ones depend on the number of threads that linear algebra runs on."""


def parse_budget(text: WantedBudget) -> WantedBudget:
    """The budget that a person means: a number of ms (``5``, ``5 ms``), or a share such as ``60%``, written without
    spaces or zeros.

    Raises UsageError for anything else, and for a share that is not from 0 to 100 %.
    """
    written = re.fullmatch(r"\s*(\S+?)\s*(%|ms)?\s*", text) if isinstance(text, str) else None
    try:
        number = float(written[1] if written else text)
    except (TypeError, ValueError):
        number = math.nan
    is_share = bool(written and written[2] == "%")
    if is_share and 0 <= number <= 100:
        return f"{number:g}%"
    if not is_share and not isinstance(text, bool) and 0 < number <= LONGEST_MS:
        return number
    point = " (with a point, not a comma)" if isinstance(text, str) and "," in text else ""
    raise UsageError(f"a budget {RULE}, not {excerpt(text)}{point}.")


def resolve_budget(wanted: WantedBudget, space: SearchSpace, predictor: LatencyPredictor) -> float:
    """A wanted budget in ms.

    A share is a percentile of the predicted latencies of `SAMPLES` uniformly random codes, rounded up to four digits,
    and never less than the least budget that can be met. The same predictor gives the same ms, whatever is seeded.

    Args:
        wanted: as `parse_budget` takes it.
        space: whose networks are meant.
        predictor: of their latencies.

    Raises UsageError as `parse_budget`.
    """
    wanted = parse_budget(wanted)
    if not isinstance(wanted, str):
        return wanted
    percent = _number(wanted)
    least_ms = predictor.predict(Budget(1.0, space, predictor).surest).high_ms
    if percent == 0:
        ms = least_ms
    elif percent == 100:
        ms = predictor.predict(predictor.extremes(space)[1]).ms
    else:
        ms = float(np.percentile(_random_ms(space, predictor), percent))
    return round_up(float(f"{max(ms, least_ms):.{DIGITS}g}"))


def written(wanted: WantedBudget) -> str:
    """A budget for people: ``0.5 ms``, or ``60 %``."""
    return f"{_number(wanted):g} %" if isinstance(wanted, str) else f"{wanted:g} ms"


def told_in_ms(wanted: WantedBudget, budget_ms: float) -> str | None:
    """A share in ms, for people: ``60 % of the space's networks: 0.412 ms``; None where ms were wanted."""
    return f"{written(wanted)} of the space's networks: {budget_ms:g} ms" if isinstance(wanted, str) else None


def largest(budgets: Sequence[WantedBudget]) -> WantedBudget:
    """The largest of some budgets. Raises UsageError where ms and shares cannot be compared yet."""
    shares = [budget for budget in budgets if isinstance(budget, str)]
    if not shares:
        return max(budgets)
    if len(shares) < len(budgets):
        raise UsageError(
            f"of the budgets {', '.join(map(written, budgets))} some are in ms and some are shares of the space's "
            "networks, so which is the largest is not known yet; give the largest with --budget-ms."
        )
    return max(shares, key=_number)


def check_none_above(frontier: Sequence[WantedBudget], searched: WantedBudget) -> None:
    """Raise UsageError if a further budget is above the one that is searched, as far as the two can be compared yet."""
    for budget in frontier:
        if isinstance(budget, str) == isinstance(searched, str) and _number(budget) > _number(searched):
            raise UsageError(
                f"{written(budget)} is above the budget of {written(searched)} that is searched; raise that one."
            )


def hint_above_slowest(budget: Budget) -> str | None:
    """A warning if a budget is above the slowest network of its space: it limits nothing; None if it is not."""
    slowest = budget.predictor.predict(budget.predictor.extremes(budget.space)[1])
    if budget.budget_ms <= max(slowest.high_ms, slowest_ms := round_up(slowest.ms)):
        return None
    return f"the budget is above the slowest network of the space ({slowest_ms:g} ms)"


def _random_ms(space: SearchSpace, predictor: LatencyPredictor) -> Floats:
    """The predicted latencies of uniformly random codes."""
    rng = np.random.default_rng(SEED)
    fixed_ms, costs = predictor.decision_costs(space)
    sums_ms = fixed_ms + sum(cost.ravel()[rng.integers(cost.size, size=SAMPLES)] for cost in costs)
    return predictor.curve.ms(sums_ms)


def _number(budget: WantedBudget) -> float:
    """Of ms or of percent."""
    return float(budget.removesuffix("%")) if isinstance(budget, str) else budget
