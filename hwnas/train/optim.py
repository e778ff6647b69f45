"""Optimisers and schedules as the papers state them, from torch's own."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR


def sgd(parameters: Iterable[tuple[str, nn.Parameter]], lr: float, momentum: float, weight_decay: float) -> SGD:
    """SGD with momentum; weight decay on everything except vectors (batch norm's and biases), as DSNAS and SPOS."""
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    for _, parameter in parameters:
        (decayed if parameter.ndim > 1 else plain).append(parameter)
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return SGD(groups, lr=lr, momentum=momentum)


def warmup_cosine(optimizer: Optimizer, warmup_steps: int, total_steps: int) -> LRScheduler:
    """Linear warm-up from nearly 0, then a cosine to 0; advanced once per step."""
    cosine = CosineAnnealingLR(optimizer, max(1, total_steps - warmup_steps))
    if warmup_steps == 0:
        return cosine
    return SequentialLR(optimizer, [LinearLR(optimizer, 1e-3, total_iters=warmup_steps), cosine], [warmup_steps])
