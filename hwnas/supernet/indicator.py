"""Indicators: 0-or-1 decisions that a gradient can change (Single-Path NAS, arXiv 1904.02877).

An indicator is ``I(slack) = 1 if slack >= 0 else 0``, where slack is the size of a group of weights less a learnt
threshold. Backwards it has the derivative of a sigmoid (dstamoulis/single-path-nas, `superkernel.py`). Indicators of
one axis are nested: the second counts only where the first is 1, and so on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, slack: Tensor) -> Tensor:
        ctx.save_for_backward(slack)
        return (slack >= 0).to(slack.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        probability = torch.sigmoid(ctx.saved_tensors[0])
        return gradients[0] * probability * (1 - probability)


def step(slack: Tensor) -> Tensor:
    """1 where slack >= 0, else 0, of any shape; the gradient is that of the sigmoid: ``s(x) * (1 - s(x))``."""
    apply: Callable[[Tensor], Tensor] = _Step.apply
    return apply(slack)


class Indicator(NamedTuple):
    """The indicators of one axis of a superkernel: (n,) for n + 1 nested sizes; n is 0 where there is no choice."""

    slack: Tensor
    value: Tensor
    """0 or 1; under dropout 0 or ``1 / keep``."""

    @staticmethod
    def of(slack: Tensor, keep: float = 1.0, generator: torch.Generator | None = None) -> Indicator:
        """Indicators of the slacks, each kept with probability `keep` and then divided by it: unbiased dropout."""
        value = step(slack)
        if keep < 1:
            kept = torch.rand(slack.shape, generator=generator) < keep
            value = value * kept.to(value) / keep
        return Indicator(slack, value)

    def gates(self) -> Tensor:
        """(n + 1,): entry i is 1 where size i, or a larger one, is chosen; the first is always 1."""
        gates = [self.value.new_ones(())]
        for value in self.value:
            gates.append(gates[-1] * value)
        return torch.stack(gates)

    def choices(self) -> Tensor:
        """(n + 1,): one-hot of the chosen size; linear in every indicator, so that expectations carry over."""
        gates = self.gates()
        return gates - F.pad(gates[1:], (0, 1))

    def scores(self) -> Tensor:
        """(n + 1,): log-probability of the likeliest indicators that choose each size.

        With ``P(value = 1) = sigmoid(slack)``. The highest is that of the size which the indicators choose now.
        """
        on, off = F.logsigmoid(self.slack), F.logsigmoid(-self.slack)
        free = torch.maximum(on, off)  # an indicator after the first 0 decides nothing
        count = len(self.slack)
        sizes = [on[:i].sum() + off[i : i + 1].sum() + free[i + 1 :].sum() for i in range(count + 1)]
        return torch.stack(sizes)
