"""DARTS (arXiv 1806.09055): all candidates run, mixed; weights learn from training, logits from validation images.

The order of a step and its hyper-parameters follow quark0/darts, `cnn/train_search.py` and `cnn/architect.py`; equation
numbers are the paper's. Budget, hand-over and checkpoints are as in `hwnas.searches.sampled_path`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from hwnas.latency.arrays import Floats
from hwnas.run import Run
from hwnas.searches.derivers import Decode, MostProbable
from hwnas.searches.deriving import search_with
from hwnas.searches.method import Method
from hwnas.searches.path_gradients import Path
from hwnas.searches.problem import SearchProblem
from hwnas.searches.result import SearchResult
from hwnas.searches.sampled_path import SampledPathTrainer
from hwnas.searches.sampled_path_settings import PathDerive, SampledPathSettings, check_known
from hwnas.searches.validation_batches import ValidationBatches
from hwnas.supernet.mixed import mixed
from hwnas.supernet.relaxation import by_edge
from hwnas.train import distributed
from hwnas.train.loop import TrainingProgress
from hwnas.train.optim import Adam

Order = Literal["first", "second"]

STEP_NORM = 0.01
"""How far the weights are moved either way for a finite difference: epsilon times the norm of the gradient."""


@dataclass(frozen=True)
class DARTSSettings(SampledPathSettings):
    """As `SampledPathSettings`, and what is DARTS's own.

    Attributes:
        lr: of the weights, as published (0.025 for a batch of 64): at a higher one mixtures find worse cells.
        order: of the approximation: ``first`` takes the weights as they are, ``second`` as they would be after their
            own next step (equation 7), which costs four more passes.
        alpha_weight_decay: of Adam on the logits.
        exclude_none: an edge is left out only where the budget leaves nothing else.
        affine: whether the batch norms of candidates have a scale and a shift while the architecture is searched. As
            published they have none, since a scale does what a logit is to do.
    """

    lr: float = 0.1
    order: Order = "first"
    alpha_weight_decay: float = 1e-3
    exclude_none: bool = True
    affine: bool = False
    derive: PathDerive = "probable"
    decode: Decode = "mode"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_known("order", self.order, get_args(Order))

    @staticmethod
    def published() -> DARTSSettings:
        """The settings of the authors' code on CIFAR-10, for 50 epochs in batches of 64."""
        return DARTSSettings(
            lr_warmup=0.0,
            weight_decay=3e-4,
            label_smoothing=0.0,
            alpha_lr=3e-4,
            pretrain=0.0,
            search=1.0,
            order="second",
        )


class DARTSTrainer(SampledPathTrainer):
    """The state of a search and its step: the logits move on a validation batch, then the weights on a training batch.

    While the architecture is searched, a batch runs through the mixture of all candidates (equation 2). In a cell of
    two inputs logits are those of its edges, as in the paper.
    """

    settings: DARTSSettings
    relax = staticmethod(by_edge)

    def __init__(self, problem: SearchProblem, settings: DARTSSettings) -> None:
        self._validation = ValidationBatches(problem, "DARTS")
        super().__init__(problem, settings)

    @torch.no_grad()
    def spread_logits(self, alphas: Iterable[Tensor]) -> None:
        for alpha in alphas:  # N(0, 0.001): weight decay draws logits to 0, so their level counts
            alpha.sub_(1.0).mul_(0.1)

    def make_alpha_optimizer(self, lr: float) -> torch.optim.Optimizer:
        settings = self.settings
        parameters = self.net.alphas.parameters()
        return Adam(parameters, lr, settings.alpha_betas, weight_decay=settings.alpha_weight_decay)

    @property
    def affine(self) -> bool:
        return self.settings.affine

    @property
    def decided(self) -> dict[int, int]:
        """The candidate of each decision that is not open any more, though the architecture is not derived yet."""
        decided = {}
        for decision, logits in self.fixed.items():
            relaxation, alpha = self.net.relaxations[decision], self.net.alphas[decision].detach()
            probabilities = relaxation.probabilities(relaxation.weights(alpha.new_tensor(logits)))
            decided[decision] = int(probabilities.argmax())
        return decided

    def mixture(self) -> list[Tensor]:
        """The weights of the mixture: softmax of the logits, one candidate's without a gradient where it is decided."""
        found = self.net.mixture()
        for decision, index in self.decided.items():
            found[decision] = self.net.relaxations[decision].of_candidate(index, found[decision])
        return found

    def probabilities(self) -> list[Tensor]:
        """The probability of every candidate by the weights of the mixture."""
        return [each.probabilities(w) for each, w in zip(self.net.relaxations, self.mixture(), strict=True)]

    @property
    def updates_logits(self) -> bool:
        """Never after the weights: a step of the search moves the logits first."""
        return False

    @property
    def learns_logits(self) -> bool:
        """Whether this step moves the logits: each one of the search."""
        return self.searching

    @torch.no_grad()
    def sample(self, again: bool = False) -> Path:
        """The most probable candidates, and all probabilities; afterwards the derived path."""
        if self.derived is not None:
            return super().sample(again)
        probabilities = self.probabilities()
        return [int(p.argmax()) for p in probabilities], probabilities

    def estimate(self, images: Tensor, labels: Tensor, choices: list[int], z: list[Tensor]) -> Tensor:
        if self.learns_logits:
            self.learn_logits(images, labels, choices)
        loss = self.mixed_loss(images, labels, [weights.detach() for weights in self.mixture()])
        self.precision.backward(loss, self.net.parameters())
        return loss.detach()

    def learn_logits(self, images: Tensor, labels: Tensor, choices: list[int]) -> None:
        """Move the logits: the validation loss, and the budget's term. The weights' gradients stay as they are."""
        alphas = list(self.net.alphas)
        for alpha, gradient in zip(alphas, self.logit_gradients(images, labels), strict=True):
            assert alpha.grad is not None
            alpha.grad += gradient
        expected_ms = self.press(choices)
        distributed.average(alphas)
        self.move_logits(expected_ms)
        self.alpha_optimizer.zero_grad(set_to_none=False)

    def logit_gradients(self, images: Tensor, labels: Tensor) -> list[Tensor]:
        """The gradients of the validation loss, of the order that the settings say.

        Args:
            images, labels: the training batch of this step, which the second order looks ahead with.
        """
        validation = self._validation[self.step_count - self.pretrain_steps]
        alphas = list(self.net.alphas)
        if self.settings.order == "first":
            return self.precision.gradients(self.mixed_loss(*validation, self.mixture()), alphas)
        with self.looked_ahead(images, labels) as weights:
            loss = self.mixed_loss(*validation, self.mixture())
            gradients = self.precision.gradients(loss, [*alphas, *weights])
        own, direction = gradients[: len(alphas)], gradients[len(alphas) :]
        distributed.average((), direction)
        rate = self.weights.optimizer.param_groups[0]["lr"]
        products = self.mixed_derivatives(images, labels, weights, direction)
        return [gradient - rate * product for gradient, product in zip(own, products, strict=True)]

    @contextmanager
    def looked_ahead(self, images: Tensor, labels: Tensor) -> Iterator[list[Tensor]]:
        """The weights as their next step would make them: ``w - rate * (momentum + gradient + decay * w)``.

        Gives those that learn. Afterwards they are what they were.
        """
        groups = self.weights.optimizer.param_groups
        weights: list[Tensor] = [p for group in groups for p in group["params"] if p.requires_grad]
        decays = [group["weight_decay"] for group in groups for p in group["params"] if p.requires_grad]
        shares = [share.detach() for share in self.mixture()]
        gradients = self.precision.gradients(self.mixed_loss(images, labels, shares), weights)
        distributed.average((), gradients)
        kept = [weight.detach().clone() for weight in weights]
        with torch.no_grad():
            for weight, gradient, decay in zip(weights, gradients, decays, strict=True):
                buffer = self.weights.optimizer.state[weight].get("momentum_buffer")
                step = gradient + decay * weight
                step += 0.0 if buffer is None else groups[0]["momentum"] * buffer
                weight -= groups[0]["lr"] * step
        try:
            yield weights
        finally:
            with torch.no_grad():
                torch._foreach_copy_(weights, kept)

    def mixed_derivatives(
        self, images: Tensor, labels: Tensor, weights: list[Tensor], direction: list[Tensor]
    ) -> list[Tensor]:
        """The mixed second derivative of the training loss times a direction in the weights, by equation 8.

        ``(grad_alpha L(w + epsilon v) - grad_alpha L(w - epsilon v)) / (2 epsilon)``, epsilon = 0.01 / ||v||.
        """
        norm = float(torch.cat([part.flatten() for part in direction]).norm())
        if norm == 0:
            return [torch.zeros_like(alpha) for alpha in self.net.alphas]
        epsilon, kept, ends = STEP_NORM / norm, [weight.detach().clone() for weight in weights], []
        for sign in (1.0, -1.0):
            with torch.no_grad():
                torch._foreach_add_(weights, direction, alpha=sign * epsilon)
            with self.precision.in_float32():
                loss = self.mixed_loss(images, labels, self.mixture())
                ends.append(self.precision.gradients(loss, list(self.net.alphas)))
            with torch.no_grad():
                torch._foreach_copy_(weights, kept)
        return [(above - below) / (2 * epsilon) for above, below in zip(*ends, strict=True)]

    def mixed_loss(self, images: Tensor, labels: Tensor, weights: list[Tensor]) -> Tensor:
        """The cross-entropy of a mixture (a scalar)."""
        with self.precision.forward():
            loss: Tensor = self.weights.loss_function(mixed(self.net, images, weights), labels)
        return loss

    def probable(self) -> MostProbable:
        return MostProbable(self.net, self.settings.decode, self.settings.exclude_none)

    def candidate_losses(self) -> list[Floats] | None:
        """Unknown: the mixtures of successive steps hardly differ, and their losses tell no candidates apart."""
        return None


def darts(
    problem: SearchProblem,
    run: Run,
    progress: TrainingProgress | None = None,
    settings: DARTSSettings | None = None,
) -> SearchResult:
    """Search with DARTS. Goes on from the run's checkpoint if there is one. Raises as `hwnas.searches.dsnas.dsnas`."""
    problem.budget.check_feasible()
    return search_with(DARTSTrainer(problem, settings or DARTSSettings()), run, progress)


DARTS = Method(
    darts,
    DARTSSettings,
    summary="DARTS (arXiv 1806.09055), first or second order: all candidates run, logits learn from validation images",
    weights="a block per candidate",
    trains="all paths, mixed",
    decides="logits, through the mixture, on validation images",
    section="DARTS",
)
