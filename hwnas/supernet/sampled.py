"""The SampledNet: every candidate of every decision with weights of its own, one path at a time (DSNAS, SPOS)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from hwnas.space import SearchSpace
from hwnas.supernet.choice import Candidates, Gated
from hwnas.supernet.network import ChoiceNet


class SampledNet(ChoiceNet):
    """The weights of a SearchSpace, chain or cells, and the logits of its decisions.

    A forward pass runs the chosen candidates only, so that it costs what a single child costs.

    Attributes:
        alphas: the logits, one vector per decision, initialised N(1, 0.01) (SNAS-Series/DSNAS, `network.py`).
    """

    def __init__(self, space: SearchSpace) -> None:
        super().__init__(space, Candidates)
        self.alphas = nn.ParameterList(torch.normal(1.0, 0.01, (len(d.candidates),)) for d in space.decisions)

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
        return [torch.softmax(alpha, 0) for alpha in self.alphas]

    def weights(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Name and value of everything that is trained except the logits."""
        return ((name, p) for name, p in self.named_parameters() if not name.startswith("alphas."))

    def architecture_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Name and value of the logits."""
        return ((name, p) for name, p in self.named_parameters() if name.startswith("alphas."))
