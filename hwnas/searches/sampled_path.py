"""The sampled-path trainer: weights of a SampledNet from sampled paths, logits by the estimator of a method.

DSNAS, SNAS, ProxylessNAS and GDAS differ in how a step estimates the logits' gradient, which each says in a subclass.
Phases, budget, early fixing, hand-over and checkpoints are the same, so that the methods can be compared.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from hwnas.latency.arrays import Floats
from hwnas.searches.contracts import Deriver
from hwnas.searches.derivers import MostProbable
from hwnas.searches.deriving import DerivingTrainer
from hwnas.searches.evaluators import KeptBatches
from hwnas.searches.first_logits import lean_to_budget
from hwnas.searches.path_gradients import Path, one_hot, sample_path
from hwnas.searches.path_losses import PathLosses
from hwnas.searches.perturbation import Perturbation
from hwnas.searches.problem import SearchProblem
from hwnas.searches.projection import projection_rounds
from hwnas.searches.resource import decision_mflops, flops_term
from hwnas.searches.sampled_path_settings import (
    FINISHING,
    PRETRAINING,
    SEARCHING,
    SampledPathSettings,
    rate_of_logits,
)
from hwnas.supernet.choice import set_affine
from hwnas.supernet.relaxation import Relax, Relaxation
from hwnas.supernet.sampled import SampledNet
from hwnas.supernet.start import start_from
from hwnas.train import distributed
from hwnas.train.loop import seeded, step_generator
from hwnas.train.optim import Adam
from hwnas.train.phases import phase_ends
from hwnas.train.weights import WeightTraining, zero_gradients


class SampledPathTrainer(DerivingTrainer):
    """The state of a search of sampled paths, and its step."""

    relax: Relax = Relaxation
    """What the logits are for: one per candidate, since a path takes one."""

    def __init__(self, problem: SearchProblem, settings: SampledPathSettings) -> None:
        super().__init__(problem, settings.checkpoint_seconds)
        self.settings = settings
        steps_per_epoch = problem.data.steps_per_epoch
        self.total_steps = problem.epochs * steps_per_epoch
        self.phase_steps = phase_ends(self.total_steps, self.phases(), given_up=(FINISHING, PRETRAINING))
        """After how many steps each phase ends."""
        self.pretrain_steps, self.search_steps = self.phase_steps[PRETRAINING], self.phase_steps[SEARCHING]
        self.fixing_steps = max(1, min(steps_per_epoch, -(-(self.search_steps - self.pretrain_steps) // 2)))
        """Every so many steps of the search, decisions are fixed."""
        self.step_count = 0
        self.fixed: dict[int, list[float]] = {}
        """Decisions fixed early, each with the logits it had then."""
        with seeded(problem.seed):
            net = SampledNet(problem.budget.space, self.relax)
        self.spread_logits(net.alphas)
        if settings.first_logits == "budget":
            lean_to_budget(net, problem.budget)
        if problem.start is not None:
            start_from(net, problem.start)
        self.net: SampledNet = net.to(problem.torch_device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.weights = WeightTraining(
            self.net.weights(), settings, self.total_steps, problem.data.batch_size, self.precision
        )
        self.alpha_optimizer = self.make_alpha_optimizer(rate_of_logits(settings.alpha_lr, self.alpha_steps))
        zero_gradients(self.net.alphas.parameters())
        set_affine(self.net, self.affine)
        self.path_losses = PathLosses(problem.budget.space)
        self.mflops = decision_mflops(problem.budget.space)

    @property
    def alpha_steps(self) -> int:
        """How often the logits are updated: in each step of the search."""
        return self.search_steps - self.pretrain_steps

    @property
    def searched_share(self) -> float:
        """How much of the search is done at this step: 0 up to its first one, 1 from its end on."""
        done = self.step_count - self.pretrain_steps
        return min(1.0, max(0.0, done / max(1, self.search_steps - self.pretrain_steps)))

    @property
    def affine(self) -> bool:
        """Whether the batch norms of candidates have a scale and a shift while the architecture is searched."""
        return True

    def derive(self) -> None:
        super().derive()
        set_affine(self.net, True)

    def phases(self) -> dict[str, float]:
        """The share of the steps after which each phase ends, in their order."""
        return {PRETRAINING: self.settings.pretrain, SEARCHING: self.settings.search, FINISHING: 1.0}

    def spread_logits(self, alphas: Iterable[Tensor]) -> None:
        """Change the first logits from N(1, 0.01), before they lean to the budget; here nothing."""
        return

    def make_alpha_optimizer(self, lr: float) -> torch.optim.Optimizer:
        """The optimiser of the logits."""
        return Adam(self.net.alphas.parameters(), lr, self.settings.alpha_betas)

    @property
    def searching(self) -> bool:
        """Whether this step belongs to the search: after pre-training, before the hand-over."""
        return self.derived is None and self.step_count >= self.pretrain_steps

    @property
    def updates_logits(self) -> bool:
        """Whether this step updates the logits: each one of the search."""
        return self.searching

    def step(self, images: Tensor, labels: Tensor) -> dict[str, float]:
        """One update of the weights and, between pre-training and hand-over, of the logits. Returns its figures."""
        if self.derived is None and self.step_count >= self.search_steps:
            self.derive()
        if self.searching and (self.step_count - self.pretrain_steps) % self.fixing_steps == 0:
            self.fix_decisions()
        device = self.problem.torch_device
        images, labels = images.to(device, memory_format=torch.channels_last), labels.to(device)
        choices, z = self.sample()
        with seeded(self.problem.seed, self.step_count):
            if self.derived is None:
                loss = self.estimate(images, labels, choices, z)
                self.path_losses.add(z, float(loss))
            else:
                loss = self.train_path(images, labels, choices)
        # the resource term comes after the reward, which does not multiply it
        expected_ms = self.press(choices) if self.updates_logits else None
        distributed.average(self.net.parameters(), self.averaged_tensors())
        self.weights.step()
        if expected_ms is not None:
            self.estimate_after_weights()
            self.move_logits(expected_ms)
        self.alpha_optimizer.zero_grad(set_to_none=False)
        self.step_count += 1
        return {"loss": float(loss), "expected_ms": expected_ms or self.expected_ms(), **self.figures()}

    @abstractmethod
    def estimate(self, images: Tensor, labels: Tensor, choices: list[int], z: list[Tensor]) -> Tensor:
        """Fill the gradients of the weights, and those of the logits in a step of the search; returns the loss.

        Args:
            images: (N, C, H, W).
            labels: (N,).
            choices: the path that was sampled, an index per decision.
            z: the same as one-hot vectors that do not require a gradient (of a mixture: its weights).
        """

    def estimate_after_weights(self) -> None:
        """Add to the logits' gradients what is estimated with the weights that this step has moved; here nothing."""
        return

    def move_logits(self, expected_ms: float) -> None:
        """Move the logits by their gradients, and the multiplier by the expected latency."""
        self.precision.update(self.alpha_optimizer)
        self.multiplier.update(self.budget, expected_ms)

    def train_path(self, images: Tensor, labels: Tensor, choices: list[int]) -> Tensor:
        """Fill the gradients of the weights of one path; returns the loss (a scalar)."""
        with self.precision.forward():
            loss: Tensor = self.weights.loss_function(self.net(images, choices), labels)
        self.precision.backward(loss, self.net.parameters())
        return loss.detach()

    def averaged_tensors(self) -> list[Tensor]:
        """The tensors that several processes average besides gradients."""
        return list(self.net.buffers())

    def press(self, choices: list[int]) -> float:
        """Add the resource term's gradient to the logits'; returns the expected latency in ms."""
        probabilities = self.probabilities()
        penalty, expected_ms = self.multiplier.penalty(self.budget, probabilities)
        if self.settings.resource != "latency":
            coefficient, limit = self.settings.flops_coefficient, self.settings.flops_limit
            penalty = flops_term(self.settings.resource, probabilities, choices, self.mflops, coefficient, limit)
        if penalty.requires_grad:  # not where everything is decided
            torch.autograd.backward(penalty)
        return expected_ms

    @torch.no_grad()
    def expected_ms(self) -> float:
        """Expected latency of the path that the next step samples."""
        derived = self.derived
        probabilities = self.probabilities() if derived is None else one_hot(self.net.probabilities(), derived)
        return float(self.budget.predictor.expected_ms(self.budget.space, probabilities))

    def figures(self) -> dict[str, float]:
        return {"multiplier": self.multiplier.value, "fixed": len(self.fixed)}

    def sample(self, again: bool = False) -> Path:
        """A random path while the architecture is searched, another on every rank, and the derived one afterwards.

        Args:
            again: the second path of this step, independent of the first.
        """
        if self.derived is not None:
            return self.derived, one_hot(self.net.probabilities(), self.derived)
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

    def deriver(self) -> Deriver:
        """The deriver of the net as it is now."""
        probable = self.probable()
        if self.problem.data.counts["val"] == 0:
            return probable
        if self.settings.derive == "perturbed":
            order = list(chain(*projection_rounds(self.problem.budget.space, self.problem.seed)))
            return Perturbation(self.net, KeptBatches(self.problem.data.val_batches), order, probable.exclude_none)
        return self.by_evaluations(self.settings.derive, probable, self.candidate_losses())

    def probable(self) -> MostProbable:
        """The most probable architecture of the net as it is now."""
        return MostProbable(self.net, self.settings.decode)

    def candidate_losses(self) -> Sequence[Floats] | None:
        """The amount that each candidate adds to the training loss, one vector per decision; None: nobody knows."""
        return self.path_losses.effects()

    def state_dict(self) -> dict[str, Any]:
        return {
            "step": self.step_count,
            **self.derived_state(),
            "fixed": self.fixed,
            "net": self.net.state_dict(),
            "weights": self.weights.state_dict(),
            "alpha_optimizer": self.alpha_optimizer.state_dict(),
            "multiplier": self.multiplier.state,
            "path_losses": self.path_losses.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.step_count, self.fixed = state["step"], state["fixed"]
        self.load_derived(state)
        set_affine(self.net, self.affine or self.derived is not None)
        self.net.load_state_dict(state["net"])
        self.weights.load_state_dict(state["weights"])
        self.alpha_optimizer.load_state_dict(state["alpha_optimizer"])
        self.multiplier.load(state["multiplier"])
        self.path_losses.load_state_dict(state["path_losses"])
