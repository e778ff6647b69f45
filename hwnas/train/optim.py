"""Optimisers, schedules and averages as the papers state them, from torch's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR, StepLR
from torch.optim.swa_utils import AveragedModel

from hwnas.train.phases import phase_ends

_Optimizer = TypeVar("_Optimizer", bound=Optimizer)

COMPILER_ASKED = "__dynamo_disable"
"""Where torch keeps, on a function that its compiler must leave alone, what to call instead."""


def _spare_compiler() -> None:
    """Let optimisers be made without torch's compiler, which no step here goes through: to load it takes seconds.

    Torch loads it to be told to leave these methods alone (`torch._compile`); one that marks them otherwise still does.
    """
    for name in ("add_param_group", "state_dict", "load_state_dict", "zero_grad"):
        method = getattr(getattr(Optimizer, name), "__wrapped__", None)
        if method is not None and not hasattr(method, COMPILER_ASKED):
            setattr(method, COMPILER_ASKED, method)


def _without_compiler(optimizer: type[_Optimizer]) -> type[_Optimizer]:
    """The class with a step that does not load torch's compiler, only to tell it where a graph ends; else the same."""
    step = getattr(optimizer.step, "__wrapped__", None)
    return optimizer if step is None else type(optimizer.__name__, (optimizer,), {"step": torch.no_grad()(step)})


_spare_compiler()
SGD = _without_compiler(torch.optim.SGD)
Adam = _without_compiler(torch.optim.Adam)
AdamW = _without_compiler(torch.optim.AdamW)


def sgd(parameters: Iterable[tuple[str, nn.Parameter]], lr: float, momentum: float, weight_decay: float) -> Optimizer:
    """SGD with momentum; weight decay on everything except vectors (batch norm's and biases), as DSNAS and SPOS."""
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    for _, parameter in parameters:
        (decayed if parameter.ndim > 1 else plain).append(parameter)
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return SGD(groups, lr=lr, momentum=momentum)


class RMSPropTF(Optimizer):
    """RMSProp as TensorFlow 1 defines it, which MnasNet, EfficientNet and Single-Path NAS were trained with.

    ``s = decay * s + (1 - decay) * g^2``; ``m = momentum * m + lr * g / sqrt(s + eps)``; ``w = w - m``, with s = 1 at
    the start. Torch's own adds eps outside of the root, starts at s = 0, and multiplies by the learning rate of the day
    after the momentum (rwightman/pytorch-image-models, `rmsprop_tf.py`, lists these).

    Args:
        params: parameters, or groups of them.
        lr: learning rate.
        decay: of the mean square.
        momentum, eps: as above.
        weight_decay: adds ``weight_decay * w`` to g, the gradient of TensorFlow's ``l2_loss``.
    """

    def __init__(
        self,
        params: Any,
        lr: float,
        decay: float = 0.9,
        momentum: float = 0.9,
        eps: float = 1e-3,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {"lr": lr, "decay": decay, "momentum": momentum, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._update(group, [p for p in group["params"] if p.grad is not None])
        return loss

    def _update(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        if not parameters:
            return
        for p in parameters:
            if not self.state[p]:
                self.state[p] = {"square": torch.ones_like(p), "momentum": torch.zeros_like(p)}
        squares = [self.state[p]["square"] for p in parameters]
        momenta = [self.state[p]["momentum"] for p in parameters]
        gradients = [p.grad for p in parameters if p.grad is not None]
        if group["weight_decay"]:
            gradients = list(torch._foreach_add(gradients, parameters, alpha=group["weight_decay"]))
        torch._foreach_mul_(squares, group["decay"])
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - group["decay"])
        roots = torch._foreach_add(squares, group["eps"])
        torch._foreach_sqrt_(roots)
        torch._foreach_mul_(momenta, group["momentum"])
        torch._foreach_addcdiv_(momenta, gradients, roots, group["lr"])
        torch._foreach_sub_(parameters, momenta)


def rmsprop_tf(net: nn.Module, lr: float, weight_decay: float) -> RMSPropTF:
    """`RMSPropTF` of MnasNet and Single-Path NAS: weight decay on everything except batch norm's parameters.

    Biases and the thresholds of superkernels decay too, as published.
    """
    norms = {id(p) for m in net.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()}
    decayed = [p for p in net.parameters() if id(p) not in norms]
    plain = [p for p in net.parameters() if id(p) in norms]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return RMSPropTF(groups, lr=lr)


def exponential_moving_average(net: nn.Module, decay: float) -> AveragedModel:
    """A copy of `net` that follows its parameters and batch-norm statistics (TensorFlow's ExponentialMovingAverage).

    Call ``update_parameters(net)`` after each step. Update number n keeps ``min(decay, (1 + n) / (10 + n))`` of the
    average, so that it does not hold on to the initial weights.
    """

    @torch.no_grad()
    def update(averages: Any, values: Any, n_averaged: Tensor | int) -> None:
        n = int(n_averaged)
        kept = min(decay, (1 + n) / (10 + n))
        if averages[0].is_floating_point():
            torch._foreach_lerp_(averages, values, 1 - kept)
        else:  # batch norm's count of batches
            torch._foreach_copy_(averages, values)

    average = AveragedModel(net, multi_avg_fn=update, use_buffers=True)
    average.update_parameters(net)  # torch counts the copy at the start as the first average
    return average


def warmup_steps(share: float, total_steps: int) -> int:
    """The steps in which a learning rate rises: a share of all, one at least if it is above 0, and never all."""
    warming_up = "warm-up of the learning rate"
    return phase_ends(total_steps, {warming_up: share, "rest": 1.0}, given_up=(warming_up,))[warming_up]


def warmup_cosine(optimizer: Optimizer, warmup_steps: int, total_steps: int) -> LRScheduler:
    """Linear warm-up from nearly 0, then a cosine to 0; advanced once per step."""
    cosine = CosineAnnealingLR(optimizer, max(1, total_steps - warmup_steps))
    if warmup_steps == 0:
        return cosine
    return SequentialLR(optimizer, [LinearLR(optimizer, 1e-3, total_iters=warmup_steps), cosine], [warmup_steps])


def staircase(optimizer: Optimizer, steps_per_epoch: int) -> LRScheduler:
    """Times 0.97 every 2.4 epochs (MnasNet, EfficientNet, Single-Path NAS); advanced once per step."""
    return StepLR(optimizer, max(1, int(2.4 * steps_per_epoch)), gamma=0.97)
