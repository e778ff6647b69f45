"""The SampledNet: every candidate of every decision with weights of its own, one path at a time (DSNAS, SPOS)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from hwnas.space import SearchSpace
from hwnas.supernet.choice import Candidates, Gated
from hwnas.supernet.network import ChoiceNet
from hwnas.supernet.relaxation import Relax, Relaxation


class SampledNet(ChoiceNet):
    """The weights of a SearchSpace, chain or cells, and the logits of its decisions.

    A forward pass runs the chosen candidates only, so that it costs what a single child costs.

    Args:
        space: its decisions have the logits.
        relax: what a decision's logits are for: by default one per candidate.

    Attributes:
        relaxations: of all decisions, in their order.
        alphas: the logits, one vector per decision, initialised N(1, 0.01) (SNAS-Series/DSNAS, `network.py`).
    """

    relaxations: Sequence[Relaxation]

    def __init__(self, space: SearchSpace, relax: Relax = Relaxation) -> None:
        super().__init__(space, Candidates)
        self.relaxations = nn.ModuleList(map(relax, space.decisions))  # type: ignore[assignment]  # for its buffers
        self.alphas = nn.ParameterList(torch.normal(1.0, 0.01, (len(each.specs),)) for each in self.relaxations)

    def forward(self, x: Tensor, choices: Sequence[int], gates: Sequence[Tensor] | None = None) -> Tensor:
        """Logits (N, num_classes) of the path that `choices` names.

        Args:
            x: images (N, C, H, W).
            choices: index of the chosen candidate per decision.
            gates: a one-hot vector per decision; the chosen block's output is multiplied by its entry, a one whose
                gradient is the reward of the choice. Without them this is the child network.
        """
        if gates is None:
            return self.run_path(x, choices)
        gated = map(Gated, choices, gates)
        return self.run(x, dict(zip(self.names, gated, strict=True)))

    def logits(self) -> dict[str, Tensor]:
        """The logits by the name of their decision, which all of its places share."""
        return dict(zip(self.names, self.alphas, strict=True))

    def probabilities(self) -> list[Tensor]:
        """The probability of every candidate, one vector per decision; differentiable in the logits."""
        return [each.probabilities(w) for each, w in zip(self.relaxations, self.mixture(), strict=True)]

    def mixture(self) -> list[Tensor]:
        """The weights of the mixture, one vector of the logits' size per decision; differentiable in the logits."""
        return [each.weights(alpha) for each, alpha in zip(self.relaxations, self.alphas, strict=True)]

    def weights(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Name and value of everything that is trained except the logits."""
        return ((name, p) for name, p in self.named_parameters() if not name.startswith("alphas."))

    def architecture_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Name and value of the logits."""
        return ((name, p) for name, p in self.named_parameters() if name.startswith("alphas."))
