"""How the weights of a sampled SuperNetwork are trained: the same way by every search that is to be compared."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from hwnas.train.hyperparameters import check_hyperparameters
from hwnas.train.mixed_precision import FLOAT32, MixedPrecision, WidenedCrossEntropy
from hwnas.train.optim import sgd, warmup_cosine, warmup_steps


@dataclass(frozen=True)
class WeightSettings:
    """Hyper-parameters of the weights; DSNAS's, which SPOS shares, where they are stated for any data set.

    Attributes:
        lr: peak learning rate for a batch of 1024 images; scaled with the square root of the batch (our choice: the
            usual linear rule leaves batches of 32 with a rate too small for a short schedule).
        lr_warmup: share of all steps in which it rises linearly (5 of 240 epochs in DSNAS); a cosine to 0 follows.
        clip_norm: limit on the norm of the gradient; None for none, as the papers (our choice: short schedules at a
            high rate diverge now and then without).
    """

    lr: float = 0.5
    lr_warmup: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 4e-5
    label_smoothing: float = 0.1
    clip_norm: float | None = 5.0

    def __post_init__(self) -> None:
        check_hyperparameters(self)


class Training:
    """An optimiser, the schedule of its learning rate, and a step that uses up the gradients.

    Args:
        parameters: each gets a gradient of zeros, which it keeps, so that processes can add up their gradients.
        optimizer: of these parameters.
        lr_warmup: share of the steps in which the rate rises; a cosine to 0 follows.
        total_steps: length of the schedule.
        clip_norm: limit on the norm of the gradient; None for none.
        precision: what the gradients were taken with.
    """

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        optimizer: Optimizer,
        lr_warmup: float,
        total_steps: int,
        clip_norm: float | None,
        precision: MixedPrecision = FLOAT32,
    ) -> None:
        self._parameters, self._clip_norm, self._precision = parameters, clip_norm, precision
        self.optimizer = optimizer
        self.schedule = warmup_cosine(optimizer, warmup_steps(lr_warmup, total_steps), total_steps)
        zero_gradients(parameters)

    def step(self) -> bool:
        """Use up the gradients: clip, move the weights, advance the schedule, set the gradients to zero; whether the
        weights moved."""
        moved = self._precision.update(self.optimizer, self._parameters, self._clip_norm)
        self.schedule.step()
        self.optimizer.zero_grad(set_to_none=False)
        return moved

    def state_dict(self) -> dict[str, Any]:
        state = {"optimizer": self.optimizer.state_dict(), "schedule": self.schedule.state_dict()}
        return state | self._precision.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self._precision.load_state_dict(state)


class WeightTraining(Training):
    """Optimiser, schedule and loss of the weights of a SuperNetwork.

    Args:
        weights: (name, parameter); each gets a gradient of zeros, which it keeps: weight decay and momentum move
            unsampled candidates too, as DSNAS publishes it, and processes can add up their gradients.
        total_steps: length of the schedule.
        batch_size: images in a step, over all processes.
        precision: what the gradients are taken with.
    """

    def __init__(
        self,
        weights: Iterable[tuple[str, nn.Parameter]],
        settings: WeightSettings,
        total_steps: int,
        batch_size: int,
        precision: MixedPrecision = FLOAT32,
    ) -> None:
        named = list(weights)
        lr = settings.lr * math.sqrt(batch_size / 1024)
        optimizer = sgd(named, lr, settings.momentum, settings.weight_decay)
        parameters = [parameter for _, parameter in named]
        super().__init__(parameters, optimizer, settings.lr_warmup, total_steps, settings.clip_norm, precision)
        self.loss_function = WidenedCrossEntropy(label_smoothing=settings.label_smoothing)


def zero_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Give every parameter a gradient of zeros."""
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
