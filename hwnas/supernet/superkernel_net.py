"""The SuperKernelNet: a whole SearchSpace in the weights of its largest network (Single-Path NAS)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hwnas.errors import UsageError
from hwnas.space import OneOf, SearchSpace
from hwnas.supernet.choice import Choice
from hwnas.supernet.network import ChoiceNet
from hwnas.supernet.superkernel import BlockIndicators, Mask, Size, SuperKernel

THRESHOLDS = ("threshold", "thresholds")


@dataclass(frozen=True)
class Masked:
    """A superkernel with what its indicators switch off masked."""

    indicators: BlockIndicators
    chosen: None = None

    def __call__(self, choice: Choice, x: Tensor) -> Tensor:
        output: Tensor = choice(x, self.indicators)
        return output


class SuperKernelNet(ChoiceNet):
    """A chain of blocks, a SuperKernel for every decision.

    Args:
        space: a chain; each decision stands once and is nested. Raises UsageError otherwise.
        size, mask: see `SuperKernel`.
    """

    def __init__(self, space: SearchSpace, size: Size = "rms", mask: Mask = "norm") -> None:
        if sum(isinstance(node, OneOf) for node in space.nodes) != len(space.decisions):
            raise UsageError(
                f"space {space.name!r} makes decisions inside a cell, or one decision in several places; superkernels "
                "hold chains whose blocks are decided one by one. Search it with another method (`--method dsnas`)."
            )
        super().__init__(space, lambda one_of: SuperKernel(one_of, size, mask))

    def superkernels(self) -> list[SuperKernel]:
        """The superkernel of every decision, in the order of ``space.decisions``."""
        return [node for node in self.nodes if isinstance(node, SuperKernel)]

    def indicators(self, keep: float = 1.0, generator: torch.Generator | None = None) -> list[BlockIndicators]:
        """The indicators of every decision; with dropout that keeps a share `keep` of them."""
        return [node.indicators(keep, generator) for node in self.superkernels()]

    def forward(self, x: Tensor, indicators: Sequence[BlockIndicators] | None = None) -> Tensor:
        """Logits (N, num_classes) for images (N, C, H, W), with what the indicators (now, by default) leave."""
        masked = map(Masked, self.indicators() if indicators is None else indicators)
        return self.run(x, dict(zip(self.names, masked, strict=True)))

    def candidate_gates(self, indicators: Sequence[BlockIndicators]) -> list[Tensor]:
        """One-hot vectors of the chosen candidates, one per decision; differentiable in weights and thresholds."""
        return [node.candidate_gates(i) for node, i in zip(self.superkernels(), indicators, strict=True)]

    def probabilities(self) -> list[Tensor]:
        """How likely every candidate is, one vector per decision: for decoding within a budget.

        In proportion to the likeliest indicators that choose it, with ``P(1) = sigmoid(slack)``; so the most likely
        candidate is the one that the indicators choose, and each step away from it costs the slacks that it reverses.
        In double precision: the published slacks are tens, the probabilities of what is off e to their negatives.
        """
        scores = [node.candidate_scores(i) for node, i in zip(self.superkernels(), self.indicators(), strict=True)]
        return [torch.softmax(s.double(), 0) for s in scores]

    def chosen(self) -> list[int]:
        """What the indicators choose now: index of a candidate per decision."""
        return [int(gates.argmax()) for gates in self.candidate_gates(self.indicators())]

    def weights(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Name and value of everything that is trained except the thresholds."""
        return ((name, p) for name, p in self.named_parameters() if not name.endswith(THRESHOLDS))

    def architecture_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Name and value of the thresholds, vectors of one per indicator."""
        return ((name, p) for name, p in self.named_parameters() if name.endswith(THRESHOLDS))
