"""Passes through a SampledNet that run every candidate: what SNAS and ProxylessNAS need, and what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hwnas.supernet.sampled import SampledNet


def mixed(net: SampledNet, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """Logits (N, num_classes) where every decision gives the weighted sum of its candidates' outputs.

    Args:
        x: images (N, C, H, W).
        weights: one vector per decision, such as a concrete sample.
    """
    for candidates, decision in net.placed():
        if decision is None:
            x = candidates[0](x)
        else:
            x = torch.stack([w * block(x) for w, block in zip(weights[decision], candidates, strict=True)]).sum(0)
    return x


def gated(net: SampledNet, x: Tensor, choices: Sequence[int], gates: Sequence[Tensor]) -> Tensor:
    """Logits of one path, where the gates of all candidates get gradients: ``dL/dg_k = sum(out_k * dL/dout)``.

    The outputs of candidates that are not chosen are computed without a graph (ProxylessNAS, mode ``full_v2``).

    Args:
        x: images (N, C, H, W).
        choices: index of the chosen candidate per decision.
        gates: one vector per decision, which requires a gradient.
    """
    for candidates, decision in net.placed():
        if decision is None:
            x = candidates[0](x)
            continue
        chosen = choices[decision]
        with torch.no_grad():
            others = [block(x) if k != chosen else None for k, block in enumerate(candidates)]
        x = _Gates.apply(candidates[chosen](x), gates[decision], chosen, *others)
    return x


class _Gates(torch.autograd.Function):
    """The chosen output, unchanged; backwards, each gate's gradient as if the outputs had been multiplied by it."""

    @staticmethod
    def forward(ctx: Any, out: Tensor, _gates: Tensor, chosen: int, *others: Tensor | None) -> Tensor:
        ctx.save_for_backward(*(out if k == chosen else other for k, other in enumerate(others)))
        return out.view_as(out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        outputs = ctx.saved_tensors
        gates = torch.stack([(output * grad).sum() for output in outputs])
        return (grad, gates, None, *(None for _ in outputs))
