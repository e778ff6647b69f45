"""The resource terms of DSNAS: expected latency under a Budget, and the published FLOPs term."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from hwnas.space import OneOf, SearchSpace
from hwnas.space.decisions import map_decisions
from hwnas.specs.spec import Shape, Spec
from hwnas.specs.two_input_cell import CellNode, TwoInputCell

Resource = Literal["latency", "flops-sampled", "flops-expected"]
RESOURCES = ("latency", "flops-sampled", "flops-expected")


def decision_mflops(space: SearchSpace) -> list[Tensor]:
    """Millions of multiply-adds of every candidate, one vector per decision: the table F of the paper.

    A decision that stands in several places has the sum over these. The edges of a cell of
    one input keep its shape.
    """
    macs = {d.name: torch.zeros(len(d.candidates)) for d in space.decisions}
    for node, shape in space.positions():
        for one_of in decisions_in(node):
            macs[one_of.name] += torch.tensor([_macs(node, spec, shape) / 1e6 for spec in one_of.candidates])
    return list(macs.values())


def _macs(node: Any, candidate: Spec, shape: Shape) -> int:
    """Of a candidate in a node of a space that is given images of a shape."""
    if isinstance(node, TwoInputCell) and isinstance(candidate, CellNode):  # whose edges have shapes of their own
        return sum(part.macs(own) for part, own in node.node_parts(candidate, shape))
    return candidate.macs(shape)


def decisions_in(node: Any) -> list[OneOf]:
    """The decisions in a node of a space, in reading order: itself, or the edges of a cell."""
    found: list[OneOf] = []

    def record(_path: Any, one_of: OneOf) -> OneOf:
        found.append(one_of)
        return one_of

    map_decisions(node, record)
    return found


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
