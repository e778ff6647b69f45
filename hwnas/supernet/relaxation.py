"""Relaxations: what the logits of one decision weigh in a mixture, and how probable each candidate is by these weights.

A decision has a logit per candidate. One between the nodes of a cell of two inputs may have them per edge instead, as
DARTS has (arXiv 1806.09055): one for each operator of each edge, and one for ``none``. That is what one network of all
edges is made of, and 16 to 40 logits instead of 49 to 490.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hwnas.space import OneOf
from hwnas.specs.spec import Spec
from hwnas.specs.two_input_cell import CellNode
from hwnas.supernet.choice import Mixture, Selection
from hwnas.supernet.two_input_cell import EdgeMixture, operators_of


class Relaxation(nn.Module):
    """A logit, and a weight, per candidate of a decision: softmax.

    Weights come in *rows*, each a softmax of its own, which can be decided by itself. Here there is one.

    Attributes:
        specs: what each logit is for; None: for nothing, ``none``.
        rows: where each row begins and ends in the vectors of logits and weights.
    """

    def __init__(self, one_of: OneOf) -> None:
        super().__init__()
        self.candidates = len(one_of.candidates)
        self.specs: list[Spec | None] = list(one_of.candidates)
        self.rows = [slice(0, self.candidates)]

    def weights(self, logits: Tensor) -> Tensor:
        """The weights of the mixture (one per logit) by the logits: a softmax in each row."""
        return torch.cat([torch.softmax(logits[row], 0) for row in self.rows])

    def probabilities(self, weights: Tensor) -> Tensor:
        """The probability of every candidate by the weights."""
        return weights

    def of_candidate(self, index: int, like: Tensor) -> Tensor:
        """The weights of one candidate alone, of the type and on the device of others."""
        return self.of_probabilities(torch.eye(self.candidates, dtype=like.dtype, device=like.device)[index])

    def of_probabilities(self, probabilities: Tensor) -> Tensor:
        """The weights that give the sum of the candidates' outputs, each times its probability."""
        return probabilities

    def selection(self, weights: Tensor) -> Selection:
        """The mixture of these weights."""
        return Mixture(weights)

    def decided(self, weights: Tensor, row: int, kept: int) -> Tensor:
        """The weights where a row is one-hot; it gives its logits no gradient then."""
        place = self.rows[row]
        certain = torch.eye(place.stop - place.start, dtype=weights.dtype, device=weights.device)[kept]
        return torch.cat([weights[: place.start], certain, weights[place.stop :]])

    def without(self, weights: Tensor, row: int, removed: int) -> Tensor:
        """The weights where one of a row is 0; the others of the row stay what they are."""
        place = torch.tensor([self.rows[row].start + removed], device=weights.device)
        return weights.index_fill(0, place, 0.0)

    def having(self, row: int, kept: int) -> Tensor:
        """(candidates,) bool: which candidates are made of this place of a row."""
        return torch.eye(self.candidates, dtype=torch.bool)[kept]

    def agreeing(self, row: int, kept: int) -> Tensor:
        """(candidates,) bool: which candidates there can be once a row is decided so."""
        return self.having(row, kept)


class EdgeRelaxation(Relaxation):
    """A logit per edge and operator of the nodes that a decision is between, and one for ``none`` on every edge.

    A row is an edge: ``none`` first, then its operators. The mixture is the sum over the edges of their operators'
    outputs, weighted by the softmax of the edge (equation 2 of DARTS), in which ``none`` adds nothing.

    A node has several edges, two in DARTS. Its probability is the product of its operators' weights, over the sum of
    these products over all candidates. So the most probable node has, on two different edges, the two largest weights
    that are not those of ``none``: section 2.4 of the paper derives just that.

    Args:
        one_of: between nodes of equally many edges.
        mean: the edges' sum is divided by their number, as in CDARTS's code.

    Attributes:
        sources: the state that the edge of each row comes from.
    """

    def __init__(self, one_of: OneOf, mean: bool = False) -> None:
        super().__init__(one_of)
        operators = operators_of(one_of)
        self.sources = sorted({source for source, _ in operators})
        self.specs, self.rows = [], []
        position: dict[tuple[int, Spec], int] = {}
        for source in self.sources:
            own = [edge for edge in operators if edge[0] == source]
            position |= {edge: len(self.specs) + place for place, edge in enumerate(own, 1)}
            self.rows.append(slice(len(self.specs), len(self.specs) + 1 + len(own)))
            self.specs += [None, *(spec for _, spec in own)]
        nodes: Sequence[Any] = one_of.candidates
        self.edges_per_node = len(nodes[0].edges)
        self.scale = 1 / len(self.sources) if mean else 1.0
        self.register_buffer("places", torch.tensor([position[edge] for edge in operators]), persistent=False)
        members = torch.tensor([[position[edge] for edge in node.edges] for node in nodes])
        self.register_buffer("members", members, persistent=False)

    def probabilities(self, weights: Tensor) -> Tensor:
        least = torch.finfo(weights.dtype).tiny
        logs = torch.where(weights > 0, weights.clamp_min(least).log(), -torch.inf)
        return torch.softmax(logs[self.get_buffer("members")].sum(1), 0)

    def of_probabilities(self, probabilities: Tensor) -> Tensor:
        members = self.get_buffer("members")
        weights = torch.zeros(len(self.specs), dtype=probabilities.dtype, device=probabilities.device)
        return weights.index_add(0, members.flatten(), probabilities.repeat_interleave(members.shape[1])) / self.scale

    def selection(self, weights: Tensor) -> Selection:
        return EdgeMixture(weights[self.get_buffer("places")] * self.scale)

    def having(self, row: int, kept: int) -> Tensor:
        return (self.get_buffer("members") == self.rows[row].start + kept).any(1).cpu()

    def agreeing(self, row: int, kept: int) -> Tensor:
        """Those that have the operator, and those that lack the edge; no candidate has ``none``."""
        return self.having(row, kept) | ~self.with_edge(row)

    def with_edge(self, row: int) -> Tensor:
        """(candidates,) bool: which candidates have the edge of a row."""
        members, place = self.get_buffer("members"), self.rows[row]
        return ((members >= place.start) & (members < place.stop)).any(1).cpu()


Relax = Callable[[OneOf], Relaxation]
"""The relaxation of a decision."""


def by_edge(one_of: OneOf, mean: bool = False) -> Relaxation:
    """By the edges of a decision between nodes of a cell of two inputs, by the candidates of any other.

    Args:
        one_of: the decision.
        mean: as `EdgeRelaxation` takes it.
    """
    nodes: Sequence[Any] = one_of.candidates
    if all(isinstance(node, CellNode) for node in nodes) and len({len(node.edges) for node in nodes}) == 1:
        return EdgeRelaxation(one_of, mean)
    return Relaxation(one_of)


def selections(
    names: Sequence[str], relaxations: Sequence[Relaxation], weights: Sequence[Tensor]
) -> Mapping[str, Selection]:
    """The mixtures of all decisions, by name."""
    return {
        name: relaxation.selection(each) for name, relaxation, each in zip(names, relaxations, weights, strict=True)
    }
