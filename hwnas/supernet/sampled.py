"""The SampledNet: every candidate of every decision with weights of its own, one path at a time (DSNAS, SPOS)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from hwnas.blocks import build_block
from hwnas.child import ChildNetwork
from hwnas.space import Architecture, OneOf, SearchSpace


class SampledNet(nn.Module):
    """The weights of a SearchSpace and the logits of its decisions.

    A forward pass runs the chosen candidates only, so that it costs what a single child costs.

    Attributes:
        nodes: one entry per node of the space: the block, or a ModuleList with a block per candidate.
        alphas: the logits, one vector per decision, initialised N(1, 0.01) (SNAS-Series/DSNAS, `network.py`).
    """

    def __init__(self, space: SearchSpace) -> None:
        super().__init__()
        self.space = space
        self.nodes = nn.ModuleList(
            nn.ModuleList(map(build_block, node.candidates)) if isinstance(node, OneOf) else build_block(node)
            for node in space.nodes
        )
        self.alphas = nn.ParameterList(torch.normal(1.0, 0.01, (len(d.candidates),)) for d in space.decisions)
        names = [d.name for d in space.decisions]
        self._decision_of = [names.index(node.name) if isinstance(node, OneOf) else None for node in space.nodes]

    def forward(self, x: Tensor, choices: Sequence[int], gates: Sequence[Tensor] | None = None) -> Tensor:
        """Logits (N, num_classes) of the path that `choices` names.

        Args:
            x: images (N, C, H, W).
            choices: index of the chosen candidate per decision.
            gates: a one-hot vector per decision; the chosen block's output is multiplied by its entry, a one whose
                gradient is the reward of the choice. Without them this is the child network.
        """
        for candidates, decision in self.placed():
            if decision is None:
                x = candidates[0](x)
                continue
            chosen = choices[decision]
            x = candidates[chosen](x)
            if gates is not None:
                x = x * gates[decision][chosen]
        return x

    def placed(self) -> Iterator[tuple[Sequence[nn.Module], int | None]]:
        """The blocks that can stand in each place, in order, and the number of the decision between them, if any."""
        for node, decision in zip(self.nodes, self._decision_of, strict=True):
            yield ([node] if decision is None else list(node)), decision  # type: ignore[call-overload]

    def probabilities(self) -> list[Tensor]:
        """The probability of every candidate, one vector per decision; differentiable in the logits."""
        return [torch.softmax(alpha, 0) for alpha in self.alphas]

    def weights(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Name and value of everything that is trained except the logits."""
        return ((name, p) for name, p in self.named_parameters() if not name.startswith("alphas."))

    def inherit(self, architecture: Architecture) -> ChildNetwork:
        """A ChildNetwork with a copy of the weights and batch-norm statistics that its path has here."""
        indices = self.space.indices(architecture)
        child = ChildNetwork(architecture)
        for block, (candidates, decision) in zip(child.blocks, self.placed(), strict=True):
            block.load_state_dict(candidates[0 if decision is None else indices[decision]].state_dict())
        return child
