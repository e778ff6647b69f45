"""DSNAS (arXiv 2002.09128): weights and architecture learnt together, from one sampled path per step.

The estimator and the order of its steps follow SNAS-Series/SNAS-Series, `DSNAS/network.py` and `train_imagenet.py`; the
letters (a) to (f) below mark them. Where the paper adds a FLOPs term, expected latency in ms under a Budget is the
default here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from hwnas.run import Run
from hwnas.search.loop import CHECKPOINT_SECONDS, train
from hwnas.search.problem import Progress, SearchProblem, SearchResult, choose
from hwnas.supernet.sampled import SampledNet
from hwnas.train.optim import sgd, warmup_cosine


@dataclass(frozen=True)
class DSNASSettings:
    """Hyper-parameters; the paper's where it states them for any data set.

    Attributes:
        lr: peak learning rate of the weights for a batch of 1024 images; scaled with the square root of the batch (our
            choice: the usual linear rule leaves batches of 32 with a rate too small for a short schedule).
        lr_warmup: share of all steps in which it rises linearly (5 of 240 epochs in the paper).
        alpha_lr: learning rate of the logits. 1e-3 in the paper, for 10^5 steps; None: as high as lets a logit travel
            equally far, some 10 units, in the steps there are (our choice; 1e-3 from 10^4 steps on).
        pretrain: share of the epochs in which only weights are trained (0 by default in the authors' code, which
            suggests 15 to 30 of 240).
        search: share of the epochs after which the architecture is taken and its weights, inherited, are trained on by
            the same schedule: the paper's search without retraining (80 of 240 epochs; half here, because short
            schedules need the steps). 1: take the child at the end.
        clip_norm: limit on the norm of the weights' gradient; None for none, as the paper (our choice: short
            schedules at a high rate diverge now and then without).
    """

    lr: float = 0.5
    lr_warmup: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 4e-5
    label_smoothing: float = 0.1
    alpha_lr: float | None = None
    alpha_betas: tuple[float, float] = (0.5, 0.999)
    pretrain: float = 0.15
    search: float = 0.5
    clip_norm: float | None = 5.0
    checkpoint_seconds: float = CHECKPOINT_SECONDS


def one_hot(alphas: nn.ParameterList, choices: list[int]) -> list[Tensor]:
    """The choices as one-hot vectors of the logits' sizes, none of which requires a gradient."""
    return [torch.eye(len(a), dtype=a.dtype, device=a.device)[c] for a, c in zip(alphas, choices, strict=True)]


def sample_path(alphas: nn.ParameterList, generator: torch.Generator) -> tuple[list[int], list[Tensor]]:
    """One independent choice per decision: Z ~ OneHotCategorical(softmax(alpha)), as indices and one-hot vectors."""
    choices = [int(torch.multinomial(torch.softmax(a.detach().cpu(), 0), 1, generator=generator)) for a in alphas]
    return choices, one_hot(alphas, choices)


def estimate_gradients(
    net: SampledNet, images: Tensor, labels: Tensor, loss_function: nn.Module, choices: list[int], z: list[Tensor]
) -> Tensor:
    """Fill the gradients of weights and logits for one sampled path; the cross-entropy (a scalar) is returned.

    The gradient of the weights is that of the sampled child. That of the logits is ``r_i * (z_i - softmax(alpha_i))``,
    with the reward ``r_i = dL/dz_i``, which is the sum of X_i * dL/dX_i over the output X_i of the sampled block.
    The logits' gradients must be zero before.

    Args:
        images: (N, C, H, W).
        labels: (N,).
        choices: sampled index per decision.
        z: the same as one-hot vectors that do not require a gradient.
    """
    # (a) S = sum_i log p_i(z_i), while z requires no gradient: otherwise the reward would gain a 1/p term
    score = torch.stack([(zi * torch.log_softmax(alpha, 0)).sum() for zi, alpha in zip(z, net.alphas, strict=True)])
    gates = [zi.requires_grad_(True) for zi in z]  # (b)
    loss = loss_function(net(images, choices, gates), labels)  # (c)
    # (d) S is added only to carry its gradient; its sign is right although it is not minimised (SNAS-Series#2)
    (loss + score.sum()).backward()
    for alpha, gate in zip(net.alphas, gates, strict=True):
        assert alpha.grad is not None and gate.grad is not None
        alpha.grad *= gate.grad.sum()  # (e) the reward, (f) times the gradient of log p
    return loss.detach()


class DSNASTrainer:
    """The state of a search and its step. Everything that decides the next step is in `state_dict`."""

    def __init__(self, problem: SearchProblem, settings: DSNASSettings) -> None:
        self.problem, self.settings = problem, settings
        self.budget = replace(problem.budget, multiplier=0.0)  # a multiplier of its own: the problem stays as it is
        self.total_steps = problem.epochs * problem.data.steps_per_epoch
        self.pretrain_steps = int(settings.pretrain * problem.epochs) * problem.data.steps_per_epoch
        self.search_steps = math.ceil(settings.search * problem.epochs) * problem.data.steps_per_epoch
        self.step_count = 0
        self.taken: list[int] | None = None
        with torch.random.fork_rng(devices=[]):  # the caller's random state is not ours to change
            torch.manual_seed(problem.seed)
            net = SampledNet(problem.budget.space)
        self.net = net.to(problem.torch_device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.paths = torch.Generator().manual_seed(problem.seed)
        lr = settings.lr * math.sqrt(problem.data.batch_size / 1024)
        self.optimizer = sgd(self.net.weights(), lr, settings.momentum, settings.weight_decay)
        self.schedule = warmup_cosine(self.optimizer, int(settings.lr_warmup * self.total_steps), self.total_steps)
        alpha_steps = max(1, self.search_steps - self.pretrain_steps)
        alpha_lr = settings.alpha_lr or min(0.05, max(1e-3, 10 / alpha_steps))
        self.alpha_optimizer = torch.optim.Adam(self.net.alphas.parameters(), alpha_lr, settings.alpha_betas)
        self.weights = [parameter for _, parameter in self.net.weights()]
        self.loss_function = nn.CrossEntropyLoss(label_smoothing=settings.label_smoothing)
        # every gradient exists from the start: weight decay and momentum move unsampled candidates too, as published
        for parameter in self.net.parameters():
            parameter.grad = torch.zeros_like(parameter)

    def step(self, images: Tensor, labels: Tensor) -> dict[str, float]:
        """One update of the weights and, between pre-training and hand-over, of the logits. Returns its figures."""
        if self.taken is None and self.step_count >= self.search_steps:
            self.take_architecture()
        device = self.problem.torch_device
        images = images.to(device, memory_format=torch.channels_last)
        choices, z = self.sample()
        # dropout draws from the global generator: tie it to the step, so that a resumed run draws the same
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.problem.seed * 1_000_003 + self.step_count)
            loss = estimate_gradients(self.net, images, labels.to(device), self.loss_function, choices, z)
        # the latency term comes after the reward, which does not multiply it
        probabilities = self.net.probabilities() if self.taken is None else z
        penalty, expected_ms = self.budget.penalty(probabilities)
        penalty.backward()
        if self.settings.clip_norm is not None:
            clip_grad_norm_(self.weights, self.settings.clip_norm)
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad(set_to_none=False)
        if self.taken is None and self.step_count >= self.pretrain_steps:
            self.alpha_optimizer.step()
            self.budget.update(expected_ms)
        self.alpha_optimizer.zero_grad(set_to_none=False)
        self.step_count += 1
        return {"loss": float(loss), "expected_ms": expected_ms, "multiplier": self.budget.multiplier}

    def sample(self) -> tuple[list[int], list[Tensor]]:
        """A random path while the architecture is searched, and the taken one afterwards."""
        if self.taken is None:
            return sample_path(self.net.alphas, self.paths)
        return self.taken, one_hot(self.net.alphas, self.taken)

    def take_architecture(self) -> None:
        """Decide the architecture: the most probable one within the budget, measured if the problem says how."""
        architecture = choose(self.problem, self.net)
        self.taken = list(self.budget.space.indices(architecture))

    def state_dict(self) -> dict[str, Any]:
        return {
            "step": self.step_count,
            "taken": self.taken,
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "alpha_optimizer": self.alpha_optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "paths": self.paths.get_state(),
            "multiplier": self.budget.multiplier,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.step_count, self.taken = state["step"], state["taken"]
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.alpha_optimizer.load_state_dict(state["alpha_optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.paths.set_state(state["paths"])
        self.budget.multiplier = state["multiplier"]


def dsnas(
    problem: SearchProblem, run: Run, progress: Progress | None = None, settings: DSNASSettings | None = None
) -> SearchResult:
    """Search with DSNAS. Goes on from the run's checkpoint if there is one, as if it had never stopped.

    Raises HwnasError if the budget cannot be met, the checkpoint is damaged, or the disk is full.
    """
    settings = settings or DSNASSettings()
    problem.budget.check_feasible()
    trainer = DSNASTrainer(problem, settings)
    train(trainer, problem, run, progress, settings.checkpoint_seconds)
    if trainer.taken is None:
        trainer.take_architecture()
    assert trainer.taken is not None
    return SearchResult(problem, trainer.net, problem.budget.space.decode(trainer.taken))
