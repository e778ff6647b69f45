"""The settings that searches of sampled paths share, and the phases that their steps fall into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from hwnas.errors import UsageError
from hwnas.searches.derivers import Decode, Derive
from hwnas.searches.first_logits import FirstLogits
from hwnas.searches.resource import RESOURCES, Resource
from hwnas.train.loop import CHECKPOINT_SECONDS
from hwnas.train.weights import WeightSettings

PRETRAINING, SEARCHING, FINISHING = "pre-training of the weights", "search", "training of the derived architecture"
"""The phases."""

PathDerive = Literal[Derive, "perturbed"]
"""A mixture of all candidates can be perturbed, too."""


@dataclass(frozen=True)
class SampledPathSettings(WeightSettings):
    """Hyper-parameters that all methods with logits share; DSNAS's where its paper states them for any data set.

    Attributes:
        alpha_lr: learning rate of the logits. 1e-3 in DSNAS, for 10^5 steps; None: as high as lets a logit travel
            equally far, some 10 units, in the steps there are (our choice; 1e-3 from 10^4 steps on).
        pretrain: share of the steps in which only weights are trained (0 by default in DSNAS's code, which suggests 15
            to 30 of 240 epochs).
        search: share of the steps after which the architecture is derived and its weights, inherited, are trained on by
            the same schedule: DSNAS's search without retraining (80 of 240 epochs; half here, because short schedules
            need the steps). 1: derive the child at the end.
        fixing_gap: a decision whose two highest probabilities differ by this much at the start of an epoch of the
            search is fixed (early fixing; 0.3 in DSNAS's code), in a search of less than two epochs half-way through
            it; None: nothing is fixed before the architecture is derived. It goes with uniform first logits.
        first_logits: ``uniform``, as published, or ``budget``: paths cost what the budget aims at, on average, from the
            first step on (`hwnas.searches.first_logits`).
        derive: ``regression``, the best by what its candidates add to the inherited losses of random networks
            (`hwnas.searches.regression`; DSNAS's default here), ``reranked``, the best by inherited accuracy of those
            that losses and logits hold promising (`hwnas.searches.reranked`; the default of SNAS, GDAS and
            ProxylessNAS), ``probable``, the most probable one, as published, or
            ``perturbed``, the candidates whose removal hurts the mixture of all most: for supernets that were trained
            on mixtures (`hwnas.searches.perturbation`).
        decode: what is most probable: ``mean``, the most probable architecture that costs what sampled ones cost on
            average (our default), or ``mode``, the most probable one, as published; within the budget in any case
            (`hwnas.searches.derivers.MostProbable`).
        resource: ``latency`` (expected ms under the budget; our default), ``flops-sampled`` (as DSNAS publishes it) or
            ``flops-expected`` (see `hwnas.searches.resource`).
        flops_coefficient: weight of a FLOPs term per million multiply-adds (1e-6 in DSNAS's command).
        flops_limit: millions of multiply-adds below which a FLOPs term is 0 (290 in DSNAS's code).
    """

    alpha_lr: float | None = None
    alpha_betas: tuple[float, float] = (0.5, 0.999)
    pretrain: float = 0.15
    search: float = 0.5
    fixing_gap: float | None = None
    first_logits: FirstLogits = "uniform"
    derive: PathDerive = "reranked"
    decode: Decode = "mean"
    resource: Resource = "latency"
    flops_coefficient: float = 1e-6
    flops_limit: float = 290.0
    checkpoint_seconds: float = CHECKPOINT_SECONDS

    def __post_init__(self) -> None:
        super().__post_init__()
        check_known("derive", self.derive, get_args(PathDerive))
        check_known("first_logits", self.first_logits, get_args(FirstLogits))
        check_known("decode", self.decode, get_args(Decode))
        check_known("resource", self.resource, RESOURCES)
        if self.fixing_gap is not None and self.first_logits == "budget":
            raise UsageError(
                'with fixing_gap, first_logits must be "uniform": logits that lean to a tight budget are further apart '
                "than the gap before they have learnt anything."
            )
        if not 0 <= self.pretrain < self.search <= 1:
            raise UsageError(
                "pretrain and search are shares of the steps, 0 <= pretrain < search <= 1, not "
                f"pretrain={self.pretrain:g}, search={self.search:g}: the search is between them."
            )


def rate_of_logits(wanted: float | None, steps: int) -> float:
    """The learning rate of the logits; None: the higher, the fewer steps they have."""
    return min(0.05, max(1e-3, 10 / max(1, steps))) if wanted is None else wanted


def check_temperatures(first: float, last: float) -> None:
    """Raise UsageError unless a temperature falls, and stays above 0."""
    if not 0 < last <= first:
        raise UsageError(
            f"the temperature falls, 0 < last_temperature <= first_temperature, not from {first:g} to {last:g}."
        )


def check_known(name: str, value: str, known: tuple[str, ...]) -> None:
    """Raise UsageError unless a setting is one of its known values."""
    if value not in known:
        raise UsageError(f"{name} must be one of {', '.join(known)}, not {value!r}.")
