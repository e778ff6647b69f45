"""The resource terms of DSNAS: expected latency under a Budget, and the published FLOPs term."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from hwnas.space import SearchSpace
from hwnas.space.decision_macs import decision_macs

Resource = Literal["latency", "flops-sampled", "flops-expected"]
RESOURCES = ("latency", "flops-sampled", "flops-expected")


def decision_mflops(space: SearchSpace) -> list[Tensor]:
    """Millions of multiply-adds of every candidate, one vector per decision: the table F of the paper."""
    return [torch.tensor(macs) / 1e6 for macs in decision_macs(space)]


def flops_term(
    resource: Resource,
    probabilities: Sequence[Tensor],
    choices: Sequence[int],
    mflops: Sequence[Tensor],
    coefficient: float,
    limit_mflops: float,
) -> Tensor:
    """The FLOPs term of the loss, a scalar, differentiable in the probabilities.

    ``flops-sampled`` is the published one (SNAS-Series, `DSNAS/network.py`): ``coefficient * sum_i p_i(z_i) F_i(z_i)``
    over the sampled candidates, and 0 where they stay below the limit. Its mean over paths is not the gradient of the
    expected FLOPs. ``flops-expected`` is: ``coefficient * sum_i sum_k p_ik F_ik``, 0 where that is below the limit.
    """
    if resource == "flops-sampled":
        total = sum(float(f[c]) for f, c in zip(mflops, choices, strict=True))
        term = torch.stack([p[c] * f[c] for p, f, c in zip(probabilities, mflops, choices, strict=True)]).sum()
        return coefficient * term * float(total >= limit_mflops)
    expected = torch.stack([p @ f.to(p) for p, f in zip(probabilities, mflops, strict=True)]).sum()
    return coefficient * expected * float(expected.detach() >= limit_mflops)
