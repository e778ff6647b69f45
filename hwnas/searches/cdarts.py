"""Cyclic DARTS (arXiv 2006.10724): a search net of mixtures and an evaluation net of one path teach each other.

The order of a cycle and its losses follow microsoft/Cream, `CDARTS/search.py`, and the script `run_search_cifar.sh`
that its authors gave to microsoft/nni. Where this differs is said in ``docs/methods.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from hwnas.errors import UsageError
from hwnas.run import Run
from hwnas.searches.cdarts_settings import CDARTSSettings
from hwnas.searches.contracts import Deriver
from hwnas.searches.cyclic_losses import count_skips, l1, l1_weight, regularised_logits
from hwnas.searches.cyclic_training import CyclicTraining, Figures
from hwnas.searches.derivers import MostProbable
from hwnas.searches.deriving import DerivingTrainer, search_with
from hwnas.searches.method import Method
from hwnas.searches.path_gradients import one_hot
from hwnas.searches.problem import SearchProblem
from hwnas.searches.result import SearchResult
from hwnas.searches.validation_batches import ValidationBatches
from hwnas.space import SearchSpace
from hwnas.spaces import get_space
from hwnas.supernet.choice import set_affine
from hwnas.supernet.cyclic import CyclicNet
from hwnas.supernet.start import start_from
from hwnas.train import distributed
from hwnas.train.data import Batch
from hwnas.train.loop import TrainingProgress, seeded
from hwnas.train.phases import phase_ends

PRETRAINING, SEARCHING, FINISHING = "warm-up of the search net", "search", "training of the derived architecture"
"""The phases."""


class CDARTSTrainer(DerivingTrainer):
    """The state of a search in cycles, and its step."""

    def __init__(self, problem: SearchProblem, settings: CDARTSSettings) -> None:
        super().__init__(problem, settings.checkpoint_seconds)
        self.settings = settings
        self._validation = ValidationBatches(problem, "CDARTS", 2 * distributed.world_size())
        space = problem.budget.space
        self.total_steps = problem.epochs * problem.data.steps_per_epoch
        ends = {PRETRAINING: settings.pretrain, SEARCHING: settings.search, FINISHING: 1.0}
        steps = phase_ends(self.total_steps, ends, given_up=(FINISHING, PRETRAINING))
        self.pretrain_steps, self.search_steps = steps[PRETRAINING], steps[SEARCHING]
        self.step_count, self.cycle = 0, -1
        self.path: list[int] = [0] * len(space.decisions)
        """The evaluation net, from the first cycle on: an index per decision."""
        with seeded(problem.seed):
            net = CyclicNet(space, evaluation_space(space, settings.evaluation), settings.edges == "mean")
        if problem.start is not None:
            start_from(net.search, problem.start)
        set_affine(net.search, settings.affine)
        self.net: CyclicNet = net.to(problem.torch_device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        alpha_steps = round((1 - settings.evaluation_warmup) * (self.search_steps - self.pretrain_steps))
        self.nets = CyclicTraining(
            self.net, settings, self.total_steps, alpha_steps, problem.data.batch_size, self.precision
        )
        self.regularised = regularised_logits(self.net.search.relaxations)

    def cycle_of(self, step: int) -> tuple[int, bool]:
        """The cycle of a step of the search, and whether the evaluation net is trained alone in it."""
        steps, position = self.search_steps - self.pretrain_steps, step - self.pretrain_steps
        cycles = min(self.settings.cycles, steps)
        cycle = position * cycles // steps
        first, end = -(-cycle * steps // cycles), -(-(cycle + 1) * steps // cycles)
        return cycle, position - first < int(self.settings.evaluation_warmup * (end - first))

    def step(self, images: Tensor, labels: Tensor) -> Figures:
        """One step: of the search net alone, of the evaluation net alone, of both and the logits, or of the child."""
        alone = self.begin()
        device = self.problem.torch_device
        images, labels = images.to(device, memory_format=torch.channels_last), labels.to(device)
        self.nets.set_rates()
        with seeded(self.problem.seed, self.step_count):
            if self.derived is not None:
                figures = self.nets.path_step(images, labels, self.derived, derived=True)
            elif alone:
                figures = self.nets.path_step(images, labels, self.path, derived=False)
            elif self.step_count < self.pretrain_steps:
                figures = self.nets.search_step(images, labels)
            else:
                figures = self.train_together(images, labels)
        self.step_count += 1
        expected_ms = figures.get("expected_ms") or self.expected_ms()
        own = {"multiplier": self.multiplier.value, "cycle": float(self.cycle), "skips": float(self.skips())}
        return figures | {"expected_ms": expected_ms} | own

    def begin(self) -> bool:
        """Derive the architecture, or begin a cycle, if it is time. Whether the evaluation net is to warm up."""
        if self.derived is None and self.step_count >= self.search_steps:
            self.derive()
            self.nets.begin(derived=True)
        if self.derived is not None or self.step_count < self.pretrain_steps:
            return False
        cycle, warms_up = self.cycle_of(self.step_count)
        if cycle != self.cycle:
            if self.cycle < 0 and self.settings.pool == "search":
                self.net.fill_pool()
            self.cycle, self.path = cycle, self.most_probable()
            self.nets.begin()
        return warms_up

    def train_together(self, images: Tensor, labels: Tensor) -> Figures:
        """Both nets and the logits, which have two terms of their own: L1 on those of skips and pools, and ms."""
        penalty, expected_ms = self.multiplier.penalty(self.budget, self.net.probabilities())
        term = self.l1_weight * l1(list(self.net.alphas), self.regularised) + penalty
        figures = self.nets.joint_step((images, labels), self.validation_batch(), self.path, term)
        self.multiplier.update(self.budget, expected_ms)
        return figures | {"expected_ms": expected_ms}

    @property
    def l1_weight(self) -> float:
        """The weight of the L1 term in this step of the search."""
        share = (self.step_count - self.pretrain_steps) / (self.search_steps - self.pretrain_steps)
        return l1_weight(self.settings.l1, share, self.settings.l1_ratio)

    def validation_batch(self) -> Batch:
        """This process's share of the validation batch of this step."""
        images, labels = self._validation[self.step_count - self.pretrain_steps]
        return distributed.share(images), distributed.share(labels)

    def most_probable(self) -> list[int]:
        """The next evaluation net: the most probable architecture within the budget, as predicted."""
        probable = self.probable()
        return distributed.from_first(lambda: list(self.budget.space.indices(probable.within(self.budget))))

    def probable(self) -> MostProbable:
        """The most probable architecture of the search net as it is now."""
        return MostProbable(self.net.search, self.settings.decode, self.settings.exclude_none)

    def skips(self) -> int:
        """For how many skips the decisions of the evaluation net, or of what is derived, are."""
        chosen = zip(self.budget.space.decisions, self.derived or self.path, strict=True)
        return sum(count_skips(decision.candidates[index]) for decision, index in chosen)

    @torch.no_grad()
    def expected_ms(self) -> float:
        """Expected latency of the mixture, or of what is derived."""
        derived = self.derived
        probabilities = self.net.probabilities() if derived is None else one_hot(self.net.probabilities(), derived)
        return float(self.budget.predictor.expected_ms(self.budget.space, probabilities))

    def deriver(self) -> Deriver:
        """The deriver of the search net as it is now."""
        probable = self.probable()
        return self.by_evaluations(self.settings.derive, probable, None)

    def state_dict(self) -> dict[str, Any]:
        return {
            "step": self.step_count,
            "cycle": self.cycle,
            "path": self.path,
            **self.derived_state(),
            "multiplier": self.multiplier.state,
            "nets": self.nets.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.step_count, self.cycle, self.path = state["step"], state["cycle"], state["path"]
        self.load_derived(state)
        self.multiplier.load(state["multiplier"])
        self.nets.load_state_dict(state["nets"], derived=self.derived is not None)


def evaluation_space(space: SearchSpace, options: Mapping[str, Any]) -> SearchSpace:
    """The space with other options. Raises UsageError for an option that it does not have."""
    if not options:
        return space
    try:
        return get_space(space.name, **{**space.options, **options})
    except TypeError:
        raise UsageError(
            f"evaluation = {dict(options)} are no options of space {space.name!r}, which was made with {space.options}."
        ) from None


def cdarts(
    problem: SearchProblem,
    run: Run,
    progress: TrainingProgress | None = None,
    settings: CDARTSSettings | None = None,
) -> SearchResult:
    """Search with Cyclic DARTS. Goes on from the run's checkpoint if there is one, as if it had never stopped.

    Raises:
        UsageError: there are too few validation images, or the evaluation net differs in more than depth.
        HwnasError: the budget cannot be met, the checkpoint is damaged, or the disk is full.
    """
    problem.budget.check_feasible()
    trainer = CDARTSTrainer(problem, settings or CDARTSSettings())
    return search_with(trainer, run, progress)


CDARTS = Method(
    cdarts,
    CDARTSSettings,
    summary="Cyclic DARTS (arXiv 2006.10724): a mixture of all candidates and the most probable network learn together",
    weights="a block per candidate, twice",
    trains="all paths, mixed, and one path",
    decides="logits, through the mixture and its distance from a trained path",
    section="Cyclic DARTS",
)
