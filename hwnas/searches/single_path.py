"""Single-Path NAS (arXiv 1904.02877): weights and architecture in one superkernel network, one optimiser for both.

The order of phases, the dropout of indicators and the published loss follow dstamoulis/single-path-nas,
`nas-search/search_main.py`. The default latency term is expected ms under a Budget, instead of a lambda tuned by hand;
`SinglePathSettings.published` has what the authors ran.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hwnas.files import write_json
from hwnas.latency.budget import Budget
from hwnas.run import Run
from hwnas.searches.contracts import Deriver
from hwnas.searches.derivers import MostProbable
from hwnas.searches.deriving import DerivingTrainer, search_with
from hwnas.searches.indicator_record import indicator_record
from hwnas.searches.method import Method
from hwnas.searches.problem import SearchProblem
from hwnas.searches.product_model import product_factors
from hwnas.searches.result import SearchResult
from hwnas.searches.single_path_settings import SEARCHING, WARMING_UP, SinglePathSettings
from hwnas.supernet.start import start_from
from hwnas.supernet.superkernel import BlockIndicators
from hwnas.supernet.superkernel_net import SuperKernelNet
from hwnas.train import distributed
from hwnas.train.loop import TrainingProgress, seeded, step_generator
from hwnas.train.mixed_precision import WidenedCrossEntropy
from hwnas.train.optim import exponential_moving_average, rmsprop_tf, staircase, warmup_cosine, warmup_steps

LAMBDA_UNIT = 1000.0
"""The authors' loss multiplies lambda by this; R stays in ms."""

INDICATORS_FILE = "indicators.json"
"""The evidence of the decision: every indicator when the architecture was derived."""

LR_WARMUP = 0.05
"""Share of the steps in which the learning rate rises, under the cosine."""


class SinglePathTrainer(DerivingTrainer):
    """The state of a search and its step. Everything that decides the next step is in `state_dict`."""

    def __init__(self, problem: SearchProblem, settings: SinglePathSettings) -> None:
        super().__init__(problem, settings.checkpoint_seconds)
        self.settings, data = settings, problem.data
        self.total_steps = problem.epochs * data.steps_per_epoch
        steps = settings.phases(self.total_steps)
        self.warmup_steps, self.search_steps = steps[WARMING_UP], steps[SEARCHING]
        self.descent_steps = settings.descent * (self.search_steps - self.warmup_steps)
        if settings.descent < 1:  # the last step of the search, at least, is made under the budget's own limit
            self.descent_steps = min(self.descent_steps, self.search_steps - self.warmup_steps - 1)
        self.step_count = 0
        self.derived_by: list[dict[str, Any]] = []
        with seeded(problem.seed):
            net = SuperKernelNet(problem.budget.space, settings.size, settings.mask)
        if problem.start is not None:
            start_from(net, problem.start)
        self.net: SuperKernelNet = net.to(problem.torch_device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        scale = data.batch_size / 256
        staged = settings.schedule == "staircase"
        self.optimizer = rmsprop_tf(self.net, settings.lr * (scale if staged else scale**0.5), settings.weight_decay)
        self.schedule = (
            staircase(self.optimizer, data.steps_per_epoch)
            if staged
            else warmup_cosine(self.optimizer, warmup_steps(LR_WARMUP, self.total_steps), self.total_steps)
        )
        self.largest_ratios = self.budget.largest_ratios
        self.average = exponential_moving_average(self.net, settings.ema)
        self.loss_function = WidenedCrossEntropy(label_smoothing=settings.label_smoothing)
        product = settings.latency_model == "product"
        factors = product_factors(self.budget.space, self.budget.predictor) if product else []
        self.factors = [torch.as_tensor(f, dtype=torch.float32, device=problem.torch_device) for f in factors]
        for parameter in self.net.parameters():  # of what is not run too: processes add up their gradients
            parameter.grad = torch.zeros_like(parameter)

    def step(self, images: Tensor, labels: Tensor) -> dict[str, float]:
        """One update of weights and thresholds. Returns its figures."""
        if self.derived is None and self.step_count >= self.search_steps:
            self.derive()
        device = self.problem.torch_device
        images, labels = images.to(device, memory_format=torch.channels_last), labels.to(device)
        # the head's dropout draws from the global generator: tie it to the step, so that a resumed run draws the same
        indicators = [] if self.derived is not None else self.indicators()
        with seeded(self.problem.seed, self.step_count), self.precision.forward():
            path = self.derived
            logits = self.net(images, indicators) if path is None else self.net.run_path(images, path)
        loss = self.loss_function(logits, labels)
        term, expected_ms = self.latency_term(indicators) if self.searching else (0.0, self.chosen_ms())
        self.precision.backward(loss + term, self.net.parameters())
        distributed.average(self.net.parameters(), self.net.buffers())
        self.precision.update(self.optimizer)
        self.schedule.step()
        self.optimizer.zero_grad(set_to_none=False)
        self.average.update_parameters(self.net)
        if self.searching and self.settings.latency_weight is None:
            self.multiplier.update(self.budget, expected_ms)
        self.step_count += 1
        return {"loss": float(loss.detach()), "expected_ms": expected_ms, "multiplier": self.multiplier.value}

    def indicators(self) -> list[BlockIndicators]:
        """The indicators of this step, with dropout while warming up."""
        keep = self.settings.keep if self.step_count < self.warmup_steps else 1.0
        return self.net.indicators(keep, step_generator(self.problem.seed, self.step_count))

    def latency_term(self, indicators: list[BlockIndicators]) -> tuple[Tensor, float]:
        """The latency term of the loss, and the ms of the network that the indicators choose."""
        gates = plain = self.net.candidate_gates(indicators)
        if self.factors:
            gates = [gate * factor for gate, factor in zip(gates, self.factors, strict=True)]
        if self.settings.latency_weight is None:
            self.budget = self.descending_budget()
            return self.multiplier.penalty(self.budget, gates, plain)
        budget = self.budget
        expected_ms = budget.predictor.expected_ms(budget.space, gates)
        for limit in budget.further:  # of several limits the one that leaves least room, in ms of the budget
            expected_ms = torch.maximum(expected_ms, budget.target_ms * limit.ratio(budget.space, plain))
        return LAMBDA_UNIT * self.settings.latency_weight * expected_ms.log(), float(expected_ms.detach())

    @torch.no_grad()
    def chosen_ms(self) -> float:
        """The latency of the network that the indicators choose now, dropout aside, or of the derived architecture."""
        choices = self.net.chosen() if self.derived is None else self.derived
        one_hot = [torch.eye(len(d.candidates))[c] for d, c in zip(self.budget.space.decisions, choices, strict=True)]
        return float(self.budget.predictor.expected_ms(self.budget.space, one_hot))

    @property
    def searching(self) -> bool:
        """Whether latency counts in this step."""
        return self.derived is None and self.step_count >= self.warmup_steps

    def descending_budget(self) -> Budget:
        """The budget of this step: from the largest network's latency down to the problem's own, in equal ratios."""
        steps = self.descent_steps
        left = max(0.0, 1 - (self.step_count - self.warmup_steps) / steps) if steps else 0.0
        return self.problem.budget.loosened([max(1.0, ratio) ** left for ratio in self.largest_ratios])

    def derive(self) -> None:
        """Decide the architecture within the budget, by the averaged weights and thresholds; measured if it can be."""
        super().derive()
        self.derived_by = indicator_record(self.derived_from)

    def deriver(self) -> Deriver:
        """The deriver of the averaged net as it is now."""
        probable = MostProbable(self.derived_from)
        return self.by_evaluations(self.settings.derive, probable, None)

    @property
    def derived_from(self) -> SuperKernelNet:
        """The net with averaged weights, thresholds and batch-norm statistics."""
        return self.average.module  # type: ignore[return-value]

    def state_dict(self) -> dict[str, Any]:
        return {
            "step": self.step_count,
            **self.derived_state(),
            "taken_by": self.derived_by,
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "multiplier": self.multiplier.state,
            **self.precision.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.step_count = state["step"]
        self.load_derived(state)
        self.derived_by = state.get("taken_by", [])  # checkpoints of earlier versions lack it
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.multiplier.load(state["multiplier"])
        self.precision.load_state_dict(state)


def single_path(
    problem: SearchProblem,
    run: Run,
    progress: TrainingProgress | None = None,
    settings: SinglePathSettings | None = None,
) -> SearchResult:
    """Search with Single-Path NAS. Goes on from the run's checkpoint if there is one, as if it had never stopped.

    Raises:
        UsageError: the space is not nested.
        HwnasError: the budget cannot be met, the checkpoint is damaged, or the disk is full.
    """
    settings = settings or SinglePathSettings()
    problem.budget.check_feasible()
    trainer = SinglePathTrainer(problem, settings)
    result = search_with(trainer, run, progress)
    if distributed.rank() == 0:
        write_json(run.folder / INDICATORS_FILE, trainer.derived_by)
    return result


SINGLE_PATH = Method(
    single_path,
    SinglePathSettings,
    summary="Single-Path NAS (arXiv 1904.02877): all candidates in one superkernel, decided by thresholds",
    weights="one largest block per decision",
    trains="the largest network, masked",
    decides="thresholds on weights",
    section="Single-Path NAS",
)
