"""How the two nets of Cyclic DARTS are trained: each alone, and together with the logits.

After microsoft/Cream, `CDARTS/lib/core/search_function.py`: `retrain_warmup` and `search`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from hwnas.searches.cdarts_settings import CDARTSSettings
from hwnas.searches.cyclic_losses import divergence, ensemble
from hwnas.searches.sampled_path_settings import rate_of_logits
from hwnas.supernet.choice import set_affine
from hwnas.supernet.cyclic import CyclicNet
from hwnas.train import distributed
from hwnas.train.data import Batch
from hwnas.train.mixed_precision import MixedPrecision, widened
from hwnas.train.optim import Adam, sgd
from hwnas.train.weights import WeightTraining

Figures = dict[str, float]


class CyclicTraining:
    """The optimisers of a CyclicNet, and their steps.

    Args:
        net: on its device.
        settings: of the method.
        total_steps: of the whole training, the schedule's.
        alpha_steps: in which the logits may learn.
        batch_size: images in a step, over all processes.
        precision: of the passes.
    """

    def __init__(
        self,
        net: CyclicNet,
        settings: CDARTSSettings,
        total_steps: int,
        alpha_steps: int,
        batch_size: int,
        precision: MixedPrecision,
    ) -> None:
        self.net, self.settings, self.precision = net, settings, precision
        self.weights = WeightTraining(net.search.weights(), settings, total_steps, batch_size, precision)
        self.peak_rate = settings.lr * math.sqrt(batch_size / 1024)
        self.alpha_rate = rate_of_logits(settings.alpha_lr, alpha_steps)
        self.evaluation_optimizer, self.alpha_optimizer = self._new_optimizers(False)

    def begin(self, derived: bool = False) -> None:
        """Begin a cycle, or the training of what is derived, with new optimisers: they have no momenta."""
        set_affine(self.net.search, self.settings.affine or derived)
        self.weights.optimizer.state.clear()
        self.evaluation_optimizer, self.alpha_optimizer = self._new_optimizers(derived)

    def _new_optimizers(self, derived: bool) -> tuple[Optimizer, Optimizer]:
        """Of the evaluation net, or of what is derived, and of the logits.

        Candidates that do not run have no gradient, so that nothing moves them.
        """
        settings, net = self.settings, self.net
        named = list(net.evaluation_weights())
        if derived:
            alphas = {id(alpha) for alpha in net.alphas}
            named = [(name, p) for name, p in net.trained.named_parameters() if id(p) not in alphas]
        elif settings.evaluation_images == "training":  # then the stem learns with the search net, once a step
            stem = {id(p) for p in net.stem_weights()}
            named = [(name, p) for name, p in named if id(p) not in stem]
        evaluation = sgd(named, self.peak_rate, settings.momentum, settings.weight_decay)
        decay = settings.alpha_weight_decay
        alphas_ = net.alphas.parameters()
        return evaluation, Adam(alphas_, self.alpha_rate, settings.alpha_betas, weight_decay=decay)

    def set_rates(self) -> None:
        """Weights of both nets learn at one rate: of the schedule, or the constant one."""
        constant = self.settings.schedule == "constant"
        rate = self.peak_rate if constant else self.weights.schedule.get_last_lr()[0]
        for group in (*self.weights.optimizer.param_groups, *self.evaluation_optimizer.param_groups):
            group["lr"] = rate

    def search_step(self, images: Tensor, labels: Tensor) -> Figures:
        """The search net alone learns, by the cross-entropy of its classifier."""
        with self.precision.forward():
            logits = self.net.search_levels(images, self._frozen_mixture())[-1]
        loss: Tensor = self.weights.loss_function(logits, labels)
        self.precision.backward(loss, self.net.parameters())
        self._average()
        self.weights.step()
        return {"loss": float(loss.detach())}

    def path_step(self, images: Tensor, labels: Tensor, path: list[int], derived: bool) -> Figures:
        """The evaluation net of a path alone learns, or what is derived, by the cross-entropy of its classifier."""
        net = self.net.trained if derived else self.net.pool
        with self.precision.forward():
            logits = net.run_path(images, path)
        loss: Tensor = self.weights.loss_function(logits, labels)
        self.precision.backward(loss, self.net.parameters())
        self._average()
        self._step_evaluation()
        self.weights.optimizer.zero_grad(set_to_none=False)  # of the stem, where it learns with the search net
        self.weights.schedule.step()  # its time passes for the search net, too
        return {"loss": float(loss.detach())}

    def joint_step(self, training: Batch, validation: Batch, path: list[int], term: Tensor) -> Figures:
        """Both nets and the logits learn.

        As published, the validation batch teaches the evaluation net and the logits, and then the training batch the
        search net. By default the training batch teaches both nets, and then the validation batch the logits alone.

        Args:
            training, validation: this process's share of two batches.
            path: of the evaluation net.
            term: of the loss, a scalar that depends on the logits alone.
        """
        if self.settings.evaluation_images == "validation":
            validated = self._published_validation_step(validation, path, term)
            return validated | self.search_step(*training)
        loss, trained = self.joint_loss(training, path, self._frozen_mixture())
        self.precision.backward(loss, self.net.parameters())
        self._average()
        self._step_evaluation()
        self.weights.step()
        loss, validated = self.joint_loss(validation, path, self.net.mixture())
        alphas = list(self.net.alphas)
        for alpha, gradient in zip(alphas, self.precision.gradients(loss + term, alphas), strict=True):
            alpha.grad = gradient
        self._average(alphas)
        self._step_logits()
        return validated | {"loss": trained["loss"]}

    def _published_validation_step(self, validation: Batch, path: list[int], term: Tensor) -> Figures:
        loss, figures = self.joint_loss(validation, path, self.net.mixture())
        self.precision.backward(loss + term, self.net.parameters())
        self._average()
        if self.settings.clip_together and self.settings.clip_norm is not None:
            clip_grad_norm_(self.net.parameters(), self.settings.clip_norm)
        self._step_evaluation()
        self._step_logits()
        self.weights.optimizer.zero_grad(set_to_none=False)  # the search net does not learn from these images
        return figures

    def joint_loss(self, batch: Batch, path: list[int], weights: list[Tensor]) -> tuple[Tensor, Figures]:
        """The cross-entropies of both nets and the divergence of their levels, a scalar; and the three of them.

        The teacher's side of the divergence is not detached, as published.
        """
        (images, labels), settings = batch, self.settings
        with self.precision.forward():
            search = self.net.search_levels(images, weights)
            evaluation = self.net.evaluation_levels(images, path)
        search, evaluation = ([widened(each) for each in levels] for levels in (search, evaluation))
        kl = divergence(ensemble(search), ensemble(evaluation), settings.temperature, settings.kl_reduction)
        own, other = (self.weights.loss_function(levels[-1], labels) for levels in (search, evaluation))
        figures = {"loss": own, "evaluation_loss": other, "kl": kl}
        return own + other + settings.kl_weight * kl, {name: float(value.detach()) for name, value in figures.items()}

    def _frozen_mixture(self) -> list[Tensor]:
        return [weights.detach() for weights in self.net.mixture()]

    def _average(self, parameters: Iterable[nn.Parameter] | None = None) -> None:
        """Make the gradients of some parameters, or of all, and the statistics those of all processes."""
        distributed.average(parameters or self.net.parameters(), self.net.buffers())

    def _step_evaluation(self) -> None:
        optimizer = self.evaluation_optimizer
        clip_norm = None if self.settings.clip_together else self.settings.clip_norm
        self.precision.update(optimizer, [p for group in optimizer.param_groups for p in group["params"]], clip_norm)
        optimizer.zero_grad(set_to_none=True)

    def _step_logits(self) -> None:
        self.precision.update(self.alpha_optimizer)
        self.alpha_optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        return {
            "net": self.net.state_dict(),
            "weights": self.weights.state_dict(),
            "evaluation_optimizer": self.evaluation_optimizer.state_dict(),
            "alpha_optimizer": self.alpha_optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any], derived: bool) -> None:
        """Go on from a state, of the training of what is derived or of the search."""
        self.begin(derived)
        self.net.load_state_dict(state["net"])
        self.weights.load_state_dict(state["weights"])
        self.evaluation_optimizer.load_state_dict(state["evaluation_optimizer"])
        self.alpha_optimizer.load_state_dict(state["alpha_optimizer"])
