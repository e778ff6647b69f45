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
from hwnas.run import Run
from hwnas.searches.deriving import search_with
from hwnas.searches.first_logits import FirstLogits
from hwnas.searches.method import Method
from hwnas.searches.path_gradients import compare_paths, compare_with_mean, estimate_gradients
from hwnas.searches.problem import SearchProblem
from hwnas.searches.result import SearchResult
from hwnas.searches.sampled_path import SampledPathTrainer
from hwnas.searches.sampled_path_settings import PathDerive, SampledPathSettings, check_known
from hwnas.train.loop import TrainingProgress

Reward = Literal["gradient", "loss"]
REWARDS = get_args(Reward)

MEAN_LOSS_RATE = 0.05
"""How fast the running mean of the loss follows: over some 20 steps."""


@dataclass(frozen=True)
class DSNASSettings(SampledPathSettings):
    """Hyper-parameters. Those that all methods with logits share: `SampledPathSettings`.

    Attributes:
        first_logits, derive: here those of the budget, and by regression, by default.
        reward: what a sampled candidate is credited with: ``gradient``, X * dL/dX, as published (`estimate_gradients`),
            or ``loss``, by how much its path is better than others (`compare_paths`, `compare_with_mean`).
        compare_every: with the reward ``loss``, a second path runs forwards, on the same batch, at each so many-th step
            of the search; at the other steps the running mean of the loss stands for it.
    """

    reward: Reward = "loss"
    compare_every: int = 3
    first_logits: FirstLogits = "budget"
    derive: PathDerive = "regression"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_known("reward", self.reward, REWARDS)
        if self.compare_every < 1:
            raise UsageError(f"compare_every must be 1 or more, not {self.compare_every}.")

    @staticmethod
    def published() -> DSNASSettings:
        """The settings of the authors' code, for 240 epochs of ImageNet in batches of 1024, on the space
        ``shufflenet``."""
        return DSNASSettings(
            lr_warmup=5 / 240,
            clip_norm=None,
            alpha_lr=1e-3,
            pretrain=0.0,
            search=80 / 240,
            fixing_gap=0.3,
            first_logits="uniform",
            reward="gradient",
            derive="probable",
            decode="mode",
            resource="flops-sampled",
        )


class DSNASTrainer(SampledPathTrainer):
    """The state of a search and its step: a sampled path is credited with what it is worth."""

    settings: DSNASSettings

    def __init__(self, problem: SearchProblem, settings: DSNASSettings) -> None:
        super().__init__(problem, settings)
        self.mean_loss = torch.zeros((), device=problem.torch_device)
        """Running mean of the cross-entropy."""

    @property
    def compares(self) -> bool:
        """Whether a second path runs in this step, for the reward ``loss``."""
        return self.searching and (self.step_count - self.pretrain_steps) % self.settings.compare_every == 0

    def estimate(self, images: Tensor, labels: Tensor, choices: list[int], z: list[Tensor]) -> Tensor:
        loss_function = self.weights.loss_function
        if self.settings.reward == "gradient":
            # always in float32: X * dL/dX nearly cancels, and in 16 bits rounding would be all of it
            return estimate_gradients(self.net, images, labels, loss_function, choices, z)
        loss = self.train_path(images, labels, choices)
        if self.compares:
            other = self.sample(again=True)
            other_loss = compare_paths(self.net, images, labels, loss_function, loss, z, other, self.precision)
            self.path_losses.add(other[1], float(other_loss))
        elif self.searching:
            compare_with_mean(self.net.alphas, loss, self.mean_loss, z)
        if loss.isfinite():  # in float16 one may overflow, and a mean would never forget it
            self.mean_loss.lerp_(loss, MEAN_LOSS_RATE if self.step_count else 1.0)
        return loss

    def averaged_tensors(self) -> list[Tensor]:
        return [*super().averaged_tensors(), self.mean_loss]

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"mean_loss": float(self.mean_loss)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.mean_loss.fill_(state["mean_loss"])


def dsnas(
    problem: SearchProblem,
    run: Run,
    progress: TrainingProgress | None = None,
    settings: DSNASSettings | None = None,
) -> SearchResult:
    """Search with DSNAS. Goes on from the run's checkpoint if there is one, as if it had never stopped.

    Raises HwnasError if the budget cannot be met, the checkpoint is damaged, or the disk is full.
    """
    problem.budget.check_feasible()
    return search_with(DSNASTrainer(problem, settings or DSNASSettings()), run, progress)


DSNAS = Method(
    dsnas,
    DSNASSettings,
    summary="DSNAS (arXiv 2002.09128): one sampled path per step, weights and architecture together",
    weights="a block per candidate",
    trains="one sampled path",
    decides="logits, by what sampled paths are worth",
    section="DSNAS",
)
