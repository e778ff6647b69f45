"""A budget on sustained speed: divided by the device's slowdown it is a budget on first runs, which tables hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hwnas.campaign.conditions import Conditions, differences
from hwnas.campaign.sustained import CURE, read_sustained
from hwnas.designer.config import DesignConfig
from hwnas.errors import HwnasError, UsageError
from hwnas.latency.wanted_budget import WantedBudget, written


@dataclass(frozen=True)
class FirstRuns:
    """A DesignConfig whose budgets are for the first runs."""

    config: DesignConfig
    slowdown: float | None = None
    """How many times as long as its first runs the device takes at last; None: nothing was said of that."""
    conditions: Conditions | None = None
    """Under which the slowdown was measured."""
    said: tuple[str, ...] = ()

    def check(self, current: Conditions | None) -> None:
        """Raises HwnasError if the slowdown is of another device, runtime or settings than now; None: not known now.

        Precision and the number of images are no part of that: they are the model's.
        """
        if self.conditions is None or current is None or self.config.accept_conditions:
            return
        then, now = ({**each.identity, "precision": None, "batch": None} for each in (self.conditions, current))
        if found := differences(then, now, "the file"):
            raise HwnasError(
                f"the sustained speed {self.config.sustained} was measured under other conditions "
                f"({'; '.join(found)}), and another device slows down by another factor: {CURE} on this one, or take "
                "it as it is with --accept-conditions."
            )


def in_first_runs(config: DesignConfig) -> FirstRuns:
    """Budgets in ms divided by the slowdown that the file of ``sustained`` tells, if one is named.

    A device that was no slower at last than at first (by noise: a little faster) takes nothing off them.

    Raises:
        UsageError: the budget is a share of the space's networks, which is the same share when all of them are slower.
        HwnasError: the file is missing or damaged.
    """
    if config.sustained is None:
        return FirstRuns(config)
    if isinstance(config.budget_ms, str):
        raise UsageError(
            f"--sustained needs a budget in ms, not {written(config.budget_ms)} of the networks: a share "
            "stays the same when all slow down."
        )
    measured = read_sustained(Path(config.sustained))
    slowdown = max(measured.slowdown, 1.0)

    def first(budget: WantedBudget) -> WantedBudget:
        return budget if isinstance(budget, str) else budget / slowdown

    decided = {"budget_ms": first(config.budget_ms), "frontier": tuple(first(each) for each in config.frontier)}
    minutes = measured.samples[-1].at_s / 60
    said = (
        f"{config.budget_ms:g} ms sustained are {first(config.budget_ms):.4g} ms at first: the device is "
        f"{slowdown:.3f} times as slow after {minutes:.3g} minutes ({config.sustained})"
    )
    conditions = Conditions.from_json(measured.conditions)
    return FirstRuns(config.model_copy(update=decided), slowdown, conditions, (said,))
