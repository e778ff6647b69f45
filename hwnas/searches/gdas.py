"""GDAS (arXiv 1910.04465): one sampled path in both directions, its logits learnt through a hard Gumbel-softmax.

The sample, the pass and the order of a step follow D-X-Y/AutoDL-Projects: `TinyNetworkGDAS.forward` and
`SearchCell.forward_gdas` of its `models/cell_searchs`, and `exps/algos/GDAS.py`; sections are the paper's.
Everything else (weights' training, budget, hand-over) is as in `hwnas.searches.sampled_path`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hwnas.run import Run
from hwnas.searches.deriving import search_with
from hwnas.searches.method import Method
from hwnas.searches.path_gradients import Path, gumbel, one_hot
from hwnas.searches.problem import SearchProblem
from hwnas.searches.result import SearchResult
from hwnas.searches.sampled_path import SampledPathTrainer
from hwnas.searches.sampled_path_settings import SampledPathSettings, check_temperatures
from hwnas.searches.validation_batches import ValidationBatches
from hwnas.supernet.choice import Choice
from hwnas.train import distributed
from hwnas.train.loop import TrainingProgress, seeded, step_generator
from hwnas.train.optim import Adam

WEIGHTS_DRAW, LOGITS_DRAW = 0, 1
"""The two samples of a step."""


@dataclass(frozen=True)
class GDASSettings(SampledPathSettings):
    """As `SampledPathSettings`, and the temperature of the Gumbel-softmax, falling linearly over the search.

    Attributes:
        first_temperature, last_temperature: 10 and 0.1 as published.
        alpha_weight_decay: of Adam on the logits (1e-3 in the authors' code).
        affine: whether the batch norms of candidates have a scale and a shift while the architecture is searched. As
            published they have none: a scale that has learnt takes the gradient of its candidate's weight away.
    """

    first_temperature: float = 10.0
    last_temperature: float = 0.1
    alpha_weight_decay: float = 1e-3
    affine: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_temperatures(self.first_temperature, self.last_temperature)

    @staticmethod
    def published() -> GDASSettings:
        """The settings of the authors' code on NAS-Bench-201, for 250 epochs of CIFAR-10 in batches of 64."""
        return GDASSettings(
            lr=0.1,  # 0.025 for a batch of 64
            lr_warmup=0.0,
            weight_decay=5e-4,
            label_smoothing=0.0,
            alpha_lr=3e-4,
            pretrain=0.0,
            search=1.0,
            derive="probable",
            decode="mode",
        )


@dataclass(frozen=True, eq=False)
class HardMixture:
    """The candidate of the largest weight, and of the others their weights only, which are zero but have gradients.

    ``sum_k h_k * O_k(x) if k is the largest else h_k``: each weight h_k gets a gradient, and one candidate runs. Every
    edge of a cell runs, as published, also where none leads on.
    """

    weights: Tensor
    chosen: None = None

    def __call__(self, choice: Choice, x: Tensor) -> Tensor:
        index = int(self.weights.argmax())
        others = self.weights.sum() - self.weights[index]
        return self.weights[index] * choice.run_candidate(x, index) + others


def hard_gumbel(alpha: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """A one-hot sample h of the logits, whose gradient is that of the soft one (straight-through).

    Section 3.2: ``h~_k = softmax((log p_k + o_k) / temperature)`` with Gumbel noise o, ``h`` its arg max as a
    one-hot vector forwards, and h~ backwards.
    """
    soft = torch.softmax((torch.log_softmax(alpha, 0) + gumbel(alpha, generator)) / temperature, 0)
    hard = torch.zeros_like(soft).scatter_(0, soft.argmax(0, keepdim=True), 1.0)
    return hard - soft.detach() + soft


class GDASTrainer(SampledPathTrainer):
    """The state of a search and its step: the weights learn from a training batch, then the logits from a validation
    batch, each through a sample of its own (Algorithm 1)."""

    settings: GDASSettings

    def __init__(self, problem: SearchProblem, settings: GDASSettings) -> None:
        self._validation = ValidationBatches(problem, "GDAS")
        super().__init__(problem, settings)

    def make_alpha_optimizer(self, lr: float) -> torch.optim.Optimizer:
        settings = self.settings
        parameters = self.net.alphas.parameters()
        return Adam(parameters, lr, settings.alpha_betas, weight_decay=settings.alpha_weight_decay)

    @property
    def temperature(self) -> float:
        first, last = self.settings.first_temperature, self.settings.last_temperature
        # the last step of the search has the last one
        share = self.searched_share * self.alpha_steps / max(1, self.alpha_steps - 1)
        return first + min(1.0, share) * (last - first)

    @property
    def affine(self) -> bool:
        return self.settings.affine

    def hard_sample(self, draw: int) -> list[Tensor]:
        """A hard sample of every decision, with gradients; what is fixed early stays fixed."""
        generator = step_generator(self.problem.seed, self.step_count, draw)
        weights = [hard_gumbel(alpha, self.temperature, generator) for alpha in self.net.alphas]
        for decision, logits in self.fixed.items():
            weights[decision] = torch.eye(len(logits)).to(weights[decision])[logits.index(max(logits))]
        return weights

    def sample(self, again: bool = False) -> Path:
        if self.derived is not None:
            return super().sample(again)
        with torch.no_grad():
            choices = [int(weights.argmax()) for weights in self.hard_sample(WEIGHTS_DRAW)]
        return choices, one_hot(self.net.alphas, choices)

    def estimate(self, images: Tensor, labels: Tensor, choices: list[int], z: list[Tensor]) -> Tensor:
        loss = self.loss(images, labels, z)
        self.precision.backward(loss, self.net.parameters())
        return loss.detach()

    def estimate_after_weights(self) -> None:
        """The logits' gradients on a validation batch; those of the weights, which belong to the next step, stay."""
        images, labels = self._validation[self.step_count - self.pretrain_steps]
        with seeded(self.problem.seed, self.step_count):
            loss = self.loss(images, labels, self.hard_sample(LOGITS_DRAW))
        alphas = list(self.net.alphas)
        for alpha, gradient in zip(alphas, self.precision.gradients(loss, alphas), strict=True):
            assert alpha.grad is not None
            alpha.grad += gradient
        distributed.average(self.net.alphas.parameters(), self.net.buffers())

    def loss(self, images: Tensor, labels: Tensor, weights: list[Tensor]) -> Tensor:
        """The cross-entropy of the path that hard weights choose."""
        selections = dict(zip(self.net.names, map(HardMixture, weights), strict=True))
        with self.precision.forward():
            loss: Tensor = self.weights.loss_function(self.net.run(images, selections), labels)
        return loss


def gdas(
    problem: SearchProblem,
    run: Run,
    progress: TrainingProgress | None = None,
    settings: GDASSettings | None = None,
) -> SearchResult:
    """Search with GDAS. Goes on from the run's checkpoint if there is one. Raises as `hwnas.searches.dsnas.dsnas`."""
    problem.budget.check_feasible()
    return search_with(GDASTrainer(problem, settings or GDASSettings()), run, progress)


GDAS = Method(
    gdas,
    GDASSettings,
    summary="GDAS (arXiv 1910.04465): one sampled path per step, logits through a hard Gumbel-softmax",
    weights="a block per candidate",
    trains="one sampled path",
    decides="logits, through a hard Gumbel-softmax",
    section="GDAS",
)
