"""DSNAS (arXiv 2002.09128): weights and architecture learnt together, from one sampled path per step.

The estimator and the order of its steps follow SNAS-Series/SNAS-Series, `DSNAS/network.py` and `train_imagenet.py`;
the letters (a) to (f) in `hwnas.searches.path_gradients` mark them. Where the paper adds a FLOPs term, expected latency
in ms under a Budget is the default here, and where it credits a block with X * dL/dX, what its path is worth beside
others (docs/methods.md, "Two rewards").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from hwnas.errors import UsageError
from hwnas.latency.multiplier import Multiplier
from hwnas.run import Run
from hwnas.searches.path_gradients import (
    Path,
    compare_paths,
    compare_with_mean,
    estimate_gradients,
    one_hot,
    sample_path,
)
from hwnas.searches.problem import Decode, SearchProblem, SearchResult, choose, found_by_first
from hwnas.searches.resource import RESOURCES, Resource, decision_mflops, flops_term
from hwnas.supernet.sampled import SampledNet
from hwnas.train import distributed
from hwnas.train.loop import CHECKPOINT_SECONDS, Progress, seeded, step_generator, train
from hwnas.train.phases import phase_ends
from hwnas.train.weights import WeightSettings, WeightTraining, zero_gradients

Reward = Literal["gradient", "loss"]
REWARDS = get_args(Reward)

PRETRAINING, SEARCHING, FINISHING = "pre-training of the weights", "search", "training of what was taken"
"""The phases."""

MEAN_LOSS_RATE = 0.05
"""How fast the running mean of the loss follows: over some 20 steps."""


@dataclass(frozen=True)
class DSNASSettings(WeightSettings):
    """Hyper-parameters; the paper's where it states them for any data set. Those of the weights: `WeightSettings`.

    Attributes:
        alpha_lr: learning rate of the logits. 1e-3 in the paper, for 10^5 steps; None: as high as lets a logit travel
            equally far, some 10 units, in the steps there are (our choice; 1e-3 from 10^4 steps on).
        pretrain: share of the steps in which only weights are trained (0 by default in the authors' code, which
            suggests 15 to 30 of 240 epochs).
        search: share of the steps after which the architecture is taken and its weights, inherited, are trained on by
            the same schedule: the paper's search without retraining (80 of 240 epochs; half here, because short
            schedules need the steps). 1: take the child at the end.
        fixing_gap: a decision whose two highest probabilities differ by this much at the start of an epoch of the
            search is fixed (early fixing; 0.3 in the authors' code), in a search of less than two epochs half-way
            through it; None: nothing is fixed before the architecture is taken.
        reward: what a sampled candidate is credited with: ``gradient``, X * dL/dX, as published (`estimate_gradients`),
            or ``loss``, by how much its path is better than others (`compare_paths`, `compare_with_mean`).
        compare_every: with the reward ``loss``, a second path runs forwards, on the same batch, at each so many-th step
            of the search; at the other steps the running mean of the loss stands for it.
        decode: what is taken: ``mean``, the most probable architecture that costs what sampled ones cost on average
            (our default), or ``mode``, the most probable one, as published; within the budget in any case
            (`hwnas.searches.problem.choose`).
        resource: ``latency`` (expected ms under the budget; our default), ``flops-sampled`` (as published) or
            ``flops-expected`` (see `hwnas.searches.resource`).
        flops_coefficient: weight of a FLOPs term per million multiply-adds (1e-6 in the authors' command).
        flops_limit: millions of multiply-adds below which a FLOPs term is 0 (290 in the authors' code).
    """

    alpha_lr: float | None = None
    alpha_betas: tuple[float, float] = (0.5, 0.999)
    pretrain: float = 0.15
    search: float = 0.5
    fixing_gap: float | None = None
    reward: Reward = "loss"
    compare_every: int = 3
    decode: Decode = "mean"
    resource: Resource = "latency"
    flops_coefficient: float = 1e-6
    flops_limit: float = 290.0
    checkpoint_seconds: float = CHECKPOINT_SECONDS

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value, known in (
            ("reward", self.reward, REWARDS),
            ("decode", self.decode, get_args(Decode)),
            ("resource", self.resource, RESOURCES),
        ):
            if value not in known:
                raise UsageError(f"{name} must be one of {', '.join(known)}, not {value!r}.")
        if self.compare_every < 1:
            raise UsageError(f"compare_every must be 1 or more, not {self.compare_every}.")
        if not (0 <= self.pretrain <= self.search <= 1 and self.search > 0):
            raise UsageError(
                "pretrain and search are shares of the steps, 0 <= pretrain <= search <= 1 and search above 0, not "
                f"pretrain={self.pretrain:g}, search={self.search:g}."
            )

    @staticmethod
    def published() -> DSNASSettings:
        """What the authors' code runs, for 240 epochs of ImageNet in batches of 1024, on the space ``shufflenet``."""
        return DSNASSettings(
            lr_warmup=5 / 240,
            clip_norm=None,
            alpha_lr=1e-3,
            pretrain=0.0,
            search=80 / 240,
            fixing_gap=0.3,
            reward="gradient",
            decode="mode",
            resource="flops-sampled",
        )


class DSNASTrainer:
    """The state of a search and its step. Everything that decides the next step is in `state_dict`."""

    def __init__(self, problem: SearchProblem, settings: DSNASSettings) -> None:
        self.problem, self.settings = problem, settings
        self.budget, self.multiplier = problem.budget, Multiplier()
        steps_per_epoch = problem.data.steps_per_epoch
        self.total_steps = problem.epochs * steps_per_epoch
        ends = {PRETRAINING: settings.pretrain, SEARCHING: settings.search, FINISHING: 1.0}
        steps = phase_ends(self.total_steps, ends, given_up=(FINISHING, PRETRAINING))
        self.pretrain_steps, self.search_steps = steps[PRETRAINING], steps[SEARCHING]
        self.fixing_steps = max(1, min(steps_per_epoch, -(-(self.search_steps - self.pretrain_steps) // 2)))
        """Every so many steps of the search, decisions are fixed."""
        self.step_count = 0
        self.taken: list[int] | None = None
        self.fixed: dict[int, list[float]] = {}
        """Decisions fixed early, each with the logits it had then."""
        with seeded(problem.seed):
            net = SampledNet(problem.budget.space)
        self.net = net.to(problem.torch_device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.weights = WeightTraining(self.net.weights(), settings, self.total_steps, problem.data.batch_size)
        alpha_steps = max(1, self.search_steps - self.pretrain_steps)
        alpha_lr = settings.alpha_lr or min(0.05, max(1e-3, 10 / alpha_steps))
        self.alpha_optimizer = torch.optim.Adam(self.net.alphas.parameters(), alpha_lr, settings.alpha_betas)
        zero_gradients(self.net.alphas.parameters())
        self.mflops = decision_mflops(problem.budget.space)
        self.mean_loss = torch.zeros((), device=problem.torch_device)
        """Running mean of the cross-entropy."""

    @property
    def searching(self) -> bool:
        """Whether this step belongs to the search: after pre-training, before the hand-over."""
        return self.taken is None and self.step_count >= self.pretrain_steps

    @property
    def updates_logits(self) -> bool:
        """Whether this step updates the logits: each one of the search."""
        return self.searching

    @property
    def compares(self) -> bool:
        """Whether a second path runs in this step, for the reward ``loss``."""
        return self.searching and (self.step_count - self.pretrain_steps) % self.settings.compare_every == 0

    def step(self, images: Tensor, labels: Tensor) -> dict[str, float]:
        """One update of the weights and, between pre-training and hand-over, of the logits. Returns its figures."""
        if self.taken is None and self.step_count >= self.search_steps:
            self.take_architecture()
        if self.searching and (self.step_count - self.pretrain_steps) % self.fixing_steps == 0:
            self.fix_decisions()
        device = self.problem.torch_device
        choices, z = self.sample()
        with seeded(self.problem.seed, self.step_count):
            loss = self.estimate(images.to(device, memory_format=torch.channels_last), labels.to(device), choices, z)
        # the resource term comes after the reward, which does not multiply it
        expected_ms = self.press(choices) if self.updates_logits else None
        distributed.average(self.net.parameters(), [*self.net.buffers(), self.mean_loss])
        self.weights.step()
        if expected_ms is not None:
            self.alpha_optimizer.step()
            self.multiplier.update(self.budget, expected_ms)
        self.alpha_optimizer.zero_grad(set_to_none=False)
        self.step_count += 1
        return {"loss": float(loss), "expected_ms": expected_ms or self.expected_ms(), **self.figures()}

    def estimate(self, images: Tensor, labels: Tensor, choices: list[int], z: list[Tensor]) -> Tensor:
        """Fill the gradients of weights and logits for a batch; returns the cross-entropy."""
        loss_function = self.weights.loss_function
        if self.settings.reward == "gradient":
            return estimate_gradients(self.net, images, labels, loss_function, choices, z)
        loss = loss_function(self.net(images, choices), labels)
        loss.backward()
        loss = loss.detach()
        if self.compares:
            compare_paths(self.net, images, labels, loss_function, loss, z, self.sample(again=True))
        elif self.searching:
            compare_with_mean(self.net.alphas, loss, self.mean_loss, z)
        self.mean_loss.lerp_(loss, MEAN_LOSS_RATE if self.step_count else 1.0)
        return loss

    def press(self, choices: list[int]) -> float:
        """Add the resource term's gradient to the logits'; returns the expected latency in ms."""
        probabilities = self.net.probabilities()
        penalty, expected_ms = self.multiplier.penalty(self.budget, probabilities)
        if self.settings.resource != "latency":
            coefficient, limit = self.settings.flops_coefficient, self.settings.flops_limit
            penalty = flops_term(self.settings.resource, probabilities, choices, self.mflops, coefficient, limit)
        penalty.backward()
        return expected_ms

    @torch.no_grad()
    def expected_ms(self) -> float:
        """Expected latency of the path that the next step samples."""
        probabilities = self.net.probabilities() if self.taken is None else one_hot(self.net.alphas, self.taken)
        return float(self.budget.predictor.expected_ms(self.budget.space, probabilities))

    def figures(self) -> dict[str, float]:
        return {"multiplier": self.multiplier.value, "fixed": len(self.fixed)}

    def sample(self, again: bool = False) -> Path:
        """A random path while the architecture is searched, another on every rank, and the taken one afterwards.

        Args:
            again: the second path of this step, independent of the first.
        """
        if self.taken is not None:
            return self.taken, one_hot(self.net.alphas, self.taken)
        choices, _ = sample_path(self.net.alphas, step_generator(self.problem.seed, self.step_count, int(again)))
        for decision, logits in self.fixed.items():
            choices[decision] = logits.index(max(logits))
        return choices, one_hot(self.net.alphas, choices)

    @torch.no_grad()
    def fix_decisions(self) -> None:
        """Early fixing: decide what is clear, and set what was fixed before back to the logits it was fixed with."""
        for decision, logits in self.fixed.items():
            self.net.alphas[decision].copy_(torch.tensor(logits))
        if self.settings.fixing_gap is None:
            return
        for decision, probabilities in enumerate(self.net.probabilities()):
            highest = probabilities.topk(min(2, len(probabilities))).values
            if decision not in self.fixed and highest[0] - highest[1:].sum() >= self.settings.fixing_gap:
                self.fixed[decision] = self.net.alphas[decision].tolist()

    def take_architecture(self) -> None:
        """Decide the architecture within the budget, measured if the problem says how."""
        taken = found_by_first(self.problem, lambda: choose(self.problem, self.net, self.settings.decode))
        self.taken = list(self.budget.space.indices(taken))

    def state_dict(self) -> dict[str, Any]:
        return {
            "step": self.step_count,
            "taken": self.taken,
            "fixed": self.fixed,
            "net": self.net.state_dict(),
            "weights": self.weights.state_dict(),
            "alpha_optimizer": self.alpha_optimizer.state_dict(),
            "multiplier": self.multiplier.value,
            "mean_loss": float(self.mean_loss),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.step_count, self.taken, self.fixed = state["step"], state["taken"], state["fixed"]
        self.net.load_state_dict(state["net"])
        self.weights.load_state_dict(state["weights"])
        self.alpha_optimizer.load_state_dict(state["alpha_optimizer"])
        self.multiplier.value = state["multiplier"]
        self.mean_loss.fill_(state["mean_loss"])


def dsnas(
    problem: SearchProblem, run: Run, progress: Progress | None = None, settings: DSNASSettings | None = None
) -> SearchResult:
    """Search with DSNAS. Goes on from the run's checkpoint if there is one, as if it had never stopped.

    Raises HwnasError if the budget cannot be met, the checkpoint is damaged, or the disk is full.
    """
    settings = settings or DSNASSettings()
    problem.budget.check_feasible()
    return run_to_end(DSNASTrainer(problem, settings), problem, run, progress)


def run_to_end(trainer: DSNASTrainer, problem: SearchProblem, run: Run, progress: Progress | None) -> SearchResult:
    """Make all steps of a search that are not made yet; the result holds the architecture it has taken."""
    train(trainer, problem.data, run, progress, trainer.settings.checkpoint_seconds)
    if trainer.taken is None:
        trainer.take_architecture()
    assert trainer.taken is not None
    architecture = problem.budget.space.decode(trainer.taken)
    return SearchResult(problem, trainer.net, architecture, decode=trainer.settings.decode)
