"""Cells of two inputs in a SuperNetwork: a node's hundreds of candidates share the operators of its few edges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn

from hwnas.blocks import build_block
from hwnas.blocks.two_input_cell import Preprocessing, States
from hwnas.space import OneOf
from hwnas.specs.spec import Spec
from hwnas.specs.two_input_cell import CellNode, TwoInputCell
from hwnas.supernet.cell import Searched, run_node
from hwnas.supernet.choice import Choice, Selections


class NodeChoice(Choice):
    """The weights of a decision between `CellNode`: one operator for each edge and operator that some candidate has.

    Five edges with seven operators make 490 candidates, and 35 operators. A candidate is the sum of its edges, so a
    weighted sum of all candidates is one over the operators, each with the weights of the candidates that have it.

    Attributes:
        edges: source and Spec of every operator, in the order of `operators`.
    """

    def __init__(self, one_of: OneOf) -> None:
        super().__init__()
        self.one_of = one_of
        nodes: Sequence[Any] = one_of.candidates
        self.edges = operators_of(one_of)
        position = {edge: place for place, edge in enumerate(self.edges)}
        self.operators = nn.ModuleList(build_block(spec) for _, spec in self.edges)
        self._of_candidate = [[position[edge] for edge in node.edges] for node in nodes]
        shares = torch.zeros(len(self.edges), len(nodes))
        for candidate, places in enumerate(self._of_candidate):
            for place in places:
                shares[place, candidate] += 1
        self.register_buffer("shares", shares, persistent=False)

    def run_candidate(self, x: Any, index: int) -> Tensor:
        """The output of one candidate for the list of states (N, C, H, W) before the node."""
        first, *others = self._of_candidate[index]
        total = self._run_edge(x, first)
        for place in others:
            total = total + self._run_edge(x, place)
        return total

    def run_mixture(self, x: Any, weights: Tensor) -> Tensor:
        return self.run_edges(x, self.get_buffer("shares").to(weights.dtype) @ weights)

    def run_edges(self, states: Sequence[Tensor], weights: Tensor) -> Tensor:
        """The sum of all operators, weighted: one weight per entry of `edges`, as DARTS relaxes a cell.

        Where the weights need no gradient, an operator of weight 0 does not run.
        """
        adding = [
            weight * self._run_edge(states, place)
            for place, weight in enumerate(weights.unbind())
            if weight.requires_grad or bool(weight)
        ]
        return reduce(torch.add, adding) if adding else self._run_edge(states, 0) * 0.0

    def child_state(self, spec: Spec, block: nn.Module) -> Mapping[str, Tensor]:
        places = self._of_candidate[self.one_of.index(spec)]
        return {
            f"operators.{number}.{name}": value
            for number, place in enumerate(places)
            for name, value in self.operators[place].state_dict().items()
        }

    def _run_edge(self, states: Sequence[Tensor], place: int) -> Tensor:
        output: Tensor = self.operators[place](states[self.edges[place][0]])
        return output


def operators_of(one_of: OneOf) -> list[tuple[int, Spec]]:
    """Source and Spec of every operator on an edge of a decision between `CellNode`, each once."""
    nodes: Sequence[Any] = one_of.candidates
    return list(dict.fromkeys(edge for node in nodes for edge in node.edges))


@dataclass(frozen=True, eq=False)
class EdgeMixture:
    """All operators on the edges of a node: the sum of their outputs, weighted."""

    weights: Tensor
    """One per entry of `NodeChoice.edges`."""
    chosen: None = None

    def __call__(self, choice: Choice, x: Any) -> Tensor:
        assert isinstance(choice, NodeChoice)
        return choice.run_edges(x, self.weights)


class SearchedTwoInputCell(Searched):
    """A `TwoInputCell` some of whose nodes are decisions; takes and gives what the cell of a child does."""

    def __init__(self, cell: TwoInputCell) -> None:
        super().__init__()
        self.cell = cell
        self.preprocess = Preprocessing(cell)
        self.nodes = nn.ModuleList(
            NodeChoice(node) if isinstance(node, OneOf) else build_block(node) for node in cell.nodes
        )

    def forward(self, states: States, selections: Selections) -> States:
        inner, last = self.preprocess(states)
        for node in self.nodes:
            inner.append(run_node(node, inner, selections))
        out = torch.cat([inner[state] for state in self.cell.concat], dim=1)
        return (last, out) if self.cell.keeps_input else out

    def child_state(self, spec: Spec, block: nn.Module) -> Mapping[str, Tensor]:
        assert isinstance(spec, TwoInputCell)
        state = {f"preprocess.{name}": value for name, value in self.preprocess.state_dict().items()}
        for place, (node, chosen) in enumerate(zip(self.nodes, spec.nodes, strict=True)):
            assert isinstance(chosen, CellNode)
            found = node.child_state(chosen, block) if isinstance(node, Choice) else node.state_dict()
            state |= {f"nodes.{place}.{name}": value for name, value in found.items()}
        return state
