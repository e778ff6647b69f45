"""The evidence of a superkernel's decisions: the size of every group of weights against its threshold, as plain
data."""

from __future__ import annotations

from typing import Any

import torch

from hwnas.supernet.superkernel import SuperKernel
from hwnas.supernet.superkernel_net import SuperKernelNet


@torch.no_grad()
def indicator_record(net: SuperKernelNet) -> list[dict[str, Any]]:
    """One record per indicator, in the order of the decisions.

    Returns:
        ``{"decision", "axis", "choice", "size", "threshold", "slack"}``: the axis is ``kernel``, ``width``, ``squeeze``
        or ``keep``, the choice what the indicator adds (``5x5``, ``e6``, ``se0.5``, ``block``). It is on while its
        slack, size less threshold, is 0 or more, and counts while those before it on the axis are on.
    """
    decisions = net.space.decisions
    return [
        {"decision": decision.name, **record}
        for decision, node in zip(decisions, net.superkernels(), strict=True)
        for record in _records(node)
    ]


def _records(node: SuperKernel) -> list[dict[str, Any]]:
    nesting, indicators = node.nesting, node.indicators()
    widths = () if nesting.tied else nesting.expansions[1:]
    kernels = [f"{kernel}x{kernel}" for kernel in nesting.kernels[1:]]
    if nesting.tied:
        kernels = [f"{k} e{e}" for k, e in zip(kernels, nesting.expansions[1:], strict=True)]
    axes = (
        ("kernel", kernels, indicators.kernel, node.kernel_thresholds),
        ("width", [f"e{expand}" for expand in widths], indicators.width, node.width_thresholds),
        ("squeeze", [f"se{ratio:g}" for ratio in nesting.ratios[1:]], indicators.squeeze, node.squeeze_thresholds),
        ("keep", ["block"] * len(node.keep_threshold), indicators.keep, node.keep_threshold),
    )
    return [
        {
            "axis": axis,
            "choice": choice,
            "size": float(slack + threshold),
            "threshold": float(threshold),
            "slack": float(slack),
        }
        for axis, choices, indicator, thresholds in axes
        for choice, slack, threshold in zip(choices, indicator.slack, thresholds, strict=False)
    ]
