"""The FurtherLimits of a design: other devices' budgets, and what is counted, that hold beside the first budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hwnas.designer.config import DesignConfig
from hwnas.designer.counted_limits import counted_limits
from hwnas.designer.target import Place, Target, check_one_size, said_of
from hwnas.latency.limit import Limit
from hwnas.latency.predictor import LatencyPredictor
from hwnas.latency.proxy_space import ProxySpacePredictor
from hwnas.runners import runtime_format
from hwnas.space import Architecture, SearchSpace
from hwnas.train import distributed
from hwnas.train.data import ImageData


@dataclass(frozen=True)
class FurtherLimits:
    """Limits beside the first budget.

    Attributes:
        targets: other devices.
        counted: limits on what is counted.
    """

    targets: tuple[Target, ...] = ()
    counted: tuple[Limit, ...] = ()

    @staticmethod
    def of(
        config: DesignConfig,
        devices: tuple[Target, ...],
        space: SearchSpace,
        data: ImageData,
        runtime: str,
        predictor: LatencyPredictor,
        precision: str,
    ) -> FurtherLimits:
        """Those that a configuration asks for.

        Args:
            config: names them.
            devices: of the further budgets.
            space, data: that are searched.
            runtime, predictor: of the first budget.
            precision: of the files that budgets are for.

        Raises HwnasError where the budgets mean networks of different sizes, or something cannot be counted.
        """
        check_one_size(predictor, devices)
        is_proxy = isinstance(predictor, ProxySpacePredictor)
        priced = predictor.space if isinstance(predictor, ProxySpacePredictor) else space
        runtimes = (runtime, *(target.place.runtime for target in devices if target.is_measured))
        formats = [runtime_format(each) for each in runtimes]
        return FurtherLimits(
            devices, counted_limits(config.limits, priced, formats, precision, None if is_proxy else data)
        )

    @property
    def limits(self) -> tuple[Limit, ...]:
        return (*(target.limit for target in self.targets), *self.counted)

    @property
    def said(self) -> tuple[str, ...]:
        """Notes on devices that are not measured."""
        return tuple(filter(None, map(said_of, self.targets)))

    @property
    def all_measured(self) -> bool:
        """Whether networks are measured on each device."""
        return all(target.is_measured for target in self.targets)

    def kept(self, folder: Path) -> FurtherLimits:
        """With the predictors that the run in `folder` began with."""
        found = distributed.from_first(lambda: tuple(target.kept(folder) for target in self.targets))
        return replace(self, targets=found)

    def limited_ms(self, architecture: Architecture, ms: float, budget_ms: float) -> float:
        """The ms of a network, of the space or not; where a limit leaves less room, that share of the budget in ms."""
        shares = [ms / budget_ms]
        for limit in self.limits:
            if limit.measured is not None:
                shares.append(limit.measured(architecture) / limit.most)
            elif limit.name in ("parameters", "macs"):
                amount = architecture.params if limit.name == "parameters" else architecture.macs
                shares.append(amount / limit.most)
        return budget_ms * max(shares)


def random_ms_of_all(
    config: DesignConfig,
    places: Sequence[Place],
    precision: str,
    own_ms: Callable[[Architecture], float],
    architecture: Architecture,
) -> float:
    """As `own_ms`; where a further device leaves less room, as many ms as that share of its budget is of the first.

    Devices that are not at hand, and budgets that are shares of a space, have no part in it.
    """
    ms, budget_ms = own_ms(architecture), config.budget_ms
    for place in places:
        at_hand = place.absent is None and place.latency is None
        if at_hand and not isinstance(place.wanted, str) and not isinstance(budget_ms, str):
            ms = max(ms, place.random_ms(precision, architecture) * budget_ms / place.wanted)
    return ms
