"""ProxylessNAS (arXiv 1812.00332) as a baseline: one path for the weights, binary gates for the logits.

The gates follow mit-han-lab/proxylessnas, `search/modules/mix_op.py`, mode ``full_v2``: every few steps a validation
batch runs through one sampled path, and the gate of each candidate gets ``dL/dg_k = sum(out_k * dL/dout)``. Weights'
training, budget and hand-over are as in `hwnas.searches.sampled_path`, so that methods can be compared.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hwnas.errors import UsageError
from hwnas.run import Run
from hwnas.searches.deriving import search_with
from hwnas.searches.method import Method
from hwnas.searches.problem import SearchProblem
from hwnas.searches.result import SearchResult
from hwnas.searches.sampled_path import SampledPathTrainer
from hwnas.searches.sampled_path_settings import SampledPathSettings
from hwnas.searches.validation_batches import ValidationBatches
from hwnas.supernet.mixed import gated
from hwnas.train.data import Batch
from hwnas.train.loop import TrainingProgress


@dataclass(frozen=True)
class ProxylessSettings(SampledPathSettings):
    """As `SampledPathSettings`, and how often the logits learn.

    Attributes:
        alpha_betas: Adam without momentum for the logits, as published.
        alpha_every: the logits are updated at each so many-th step of the search, from its first on (5 in the authors'
            code).
    """

    alpha_betas: tuple[float, float] = (0.0, 0.999)
    alpha_every: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.alpha_every < 1:
            raise UsageError(f"alpha_every must be 1 or more, not {self.alpha_every}.")


class ProxylessTrainer(SampledPathTrainer):
    """The state of a search and its step: binary gates on validation batches."""

    settings: ProxylessSettings

    def __init__(self, problem: SearchProblem, settings: ProxylessSettings) -> None:
        self._validation = ValidationBatches(problem, "ProxylessNAS")
        super().__init__(problem, settings)

    @property
    def alpha_steps(self) -> int:
        return -(-super().alpha_steps // self.settings.alpha_every)

    @property
    def updates_logits(self) -> bool:
        return self.searching and (self.step_count - self.pretrain_steps) % self.settings.alpha_every == 0

    def estimate(self, images: Tensor, labels: Tensor, choices: list[int], z: list[Tensor]) -> Tensor:
        """Gradients of the weights for one path, and now and then of the logits on a validation batch."""
        loss = self.train_path(images, labels, choices)
        if self.updates_logits:
            self.estimate_logits(*self.validation_batch(), choices)
        return loss

    def estimate_logits(self, images: Tensor, labels: Tensor, choices: list[int]) -> None:
        """``alpha.grad_i = sum_j dL/dg_j p_j (delta_ij - p_i)``, equation 4 of the paper."""
        gates = [torch.zeros_like(alpha).requires_grad_(True) for alpha in self.net.alphas]
        with self.precision.forward():
            loss = self.weights.loss_function(gated(self.net, images, choices, gates), labels)
        # an edge of a cell that did not run has earned nothing
        gradients = self.precision.gradients(loss, gates)
        for alpha, p, g in zip(self.net.alphas, self.net.probabilities(), gradients, strict=True):
            assert alpha.grad is not None
            alpha.grad += (p * (g - (g * p).sum())).detach()

    def validation_batch(self) -> Batch:
        """The validation batches in turn."""
        update = (self.step_count - self.pretrain_steps) // self.settings.alpha_every
        return self._validation[update]


def proxyless(
    problem: SearchProblem,
    run: Run,
    progress: TrainingProgress | None = None,
    settings: ProxylessSettings | None = None,
) -> SearchResult:
    """Search with ProxylessNAS's gates. Goes on from the run's checkpoint. Raises as `hwnas.searches.dsnas.dsnas`."""
    problem.budget.check_feasible()
    return search_with(ProxylessTrainer(problem, settings or ProxylessSettings()), run, progress)


PROXYLESS = Method(
    proxyless,
    ProxylessSettings,
    summary="ProxylessNAS's binary gates (arXiv 1812.00332), mainly to compare what they cost",
    weights="a block per candidate",
    trains="one sampled path",
    decides="logits, by binary gates",
    section="ProxylessNAS",
)
