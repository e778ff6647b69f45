"""Fine-tuning: the optimiser, schedule and loss that weights are trained on with, as small sets of images need it.

AdamW, the classifier's rate several times the body's, no weight decay on vectors, one cosine with a warm-up for each
phase; and the loss of a student that learns from a teacher's answers as well as from the labels (Hinton et al., arXiv
1503.02531, at temperature 1).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from hwnas.train.hyperparameters import check_hyperparameters
from hwnas.train.mixed_precision import FLOAT32, MixedPrecision, widened
from hwnas.train.optim import AdamW
from hwnas.train.weights import Training


@dataclass(frozen=True)
class FineTuningSettings:
    """Hyper-parameters of fine-tuning, for batches of 32 images.

    Attributes:
        lr: peak learning rate of AdamW.
        head_lr: how many times as fast the last linear layer learns, which begins with random weights.
        lr_warmup: share of the steps of a phase in which the rate rises linearly; a cosine to 0 follows.
        distillation: share of the teacher's answers in a student's loss; the labels have the rest.
        clip_norm: limit on the norm of the gradient; None for none.
        ema: decay of the average of the weights that is what a training gives.
    """

    lr: float = 2e-3
    head_lr: float = 3.0
    lr_warmup: float = 0.05
    weight_decay: float = 0.01
    label_smoothing: float = 0.1
    distillation: float = 0.4
    clip_norm: float | None = 5.0
    ema: float = 0.998

    def __post_init__(self) -> None:
        check_hyperparameters(self)

    def loss(self, logits: Tensor, labels: Tensor, teacher: Tensor | None = None) -> Tensor:
        """The loss of logits (N, classes): a scalar.

        Args:
            labels: (N,).
            teacher: its logits for the same images, (N, classes); None: there are the labels alone.
        """
        logits = widened(logits)
        by_labels = F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        if teacher is None or self.distillation == 0:
            return by_labels
        by_teacher = F.cross_entropy(logits, widened(teacher).softmax(1))
        return self.distillation * by_teacher + (1 - self.distillation) * by_labels


class FineTuning(Training):
    """Optimiser and schedule of one phase.

    Args:
        weights: (name, parameter); those of a ``classifier`` are the head's.
        settings: the hyper-parameters.
        total_steps: of the phase.
        head_lr: how many times as fast the head learns in it.
        precision: what the gradients are taken with.
    """

    def __init__(
        self,
        weights: Iterable[tuple[str, nn.Parameter]],
        settings: FineTuningSettings,
        total_steps: int,
        head_lr: float = 1.0,
        precision: MixedPrecision = FLOAT32,
    ) -> None:
        named = list(weights)
        groups = []
        for in_head, lr in ((False, settings.lr), (True, settings.lr * head_lr)):
            own = [parameter for name, parameter in named if ("classifier." in name) is in_head]
            for vectors, decay in ((False, settings.weight_decay), (True, 0.0)):
                group = [parameter for parameter in own if (parameter.ndim <= 1) is vectors]
                if group:
                    groups.append({"params": group, "lr": lr, "weight_decay": decay})
        parameters = [parameter for _, parameter in named]
        optimizer = AdamW(groups)
        super().__init__(parameters, optimizer, settings.lr_warmup, total_steps, settings.clip_norm, precision)
