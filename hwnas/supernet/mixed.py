"""Passes through a SampledNet that run every candidate: what SNAS and ProxylessNAS need, and what they cost."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from hwnas.supernet.choice import BinaryGates
from hwnas.supernet.network import ChoiceNet
from hwnas.supernet.relaxation import Relaxation, selections
from hwnas.supernet.sampled import SampledNet


def mixed(
    net: SampledNet, x: Tensor, weights: Sequence[Tensor], relaxations: Sequence[Relaxation] | None = None
) -> Tensor:
    """Logits (N, num_classes) where every decision gives the weighted sum of its candidates' outputs.

    Args:
        x: images (N, C, H, W).
        weights: one vector per decision, such as a concrete sample.
        relaxations: what the weights are of; by default, what the logits are of.
    """
    return net.run(x, selections(net.names, relaxations or net.relaxations, weights))


def gated(net: ChoiceNet, x: Tensor, choices: Sequence[int], gates: Sequence[Tensor]) -> Tensor:
    """Logits of one path, where the gates of all candidates get gradients: ``dL/dg_k = sum(out_k * dL/dout)``.

    Args:
        x: images (N, C, H, W).
        choices: index of the chosen candidate per decision.
        gates: one vector per decision, which requires a gradient.
    """
    return net.run(x, dict(zip(net.names, map(BinaryGates, choices, gates), strict=True)))
