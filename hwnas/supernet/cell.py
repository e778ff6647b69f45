"""A SearchedCell: a cell of a SuperNetwork, whose edges are Choices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from hwnas.blocks import build_block
from hwnas.space import OneOf
from hwnas.specs.cell import Cell, Zero, edge_ends, reached_and_needed
from hwnas.specs.spec import Spec
from hwnas.supernet.choice import Choice, Selections


class Searched(nn.Module):
    """A node of a SuperNetwork that holds Choices: called with what it takes, and what is selected."""

    def child_state(self, spec: Spec, block: nn.Module) -> Mapping[str, Tensor]:
        """The weights and statistics for `block`, the module of `spec` in a child."""
        raise NotImplementedError


class SearchedCell(Searched):
    """A `Cell` some of whose edges are decisions: (N, C, H, W) -> the same shape.

    Args:
        cell: its edges stand in the order of `edge_ends`.
        make_choice: the Choice of a decision.
    """

    def __init__(self, cell: Cell, make_choice: Callable[[OneOf], Choice]) -> None:
        super().__init__()
        self.cell = cell
        self.ends = edge_ends(len(cell.edges))
        self.edges = nn.ModuleDict(
            {
                f"{source}-{target}": make_choice(edge) if isinstance(edge, OneOf) else build_block(edge)
                for (source, target), edge in zip(self.ends, cell.edges, strict=True)
            }
        )

    def forward(self, x: Tensor, selections: Selections) -> Tensor:
        """The output of the cell where each decision is used as selected.

        What lies on no path from input to output does not run, as in a child: where one candidate is selected on every
        edge, the output is the child's.
        """
        nodes = {0: x}
        for (source, target), edge, live in zip(self.ends, self.edges.values(), self.live(selections), strict=True):
            if not live:
                continue
            value = run_node(edge, nodes[source], selections)
            nodes[target] = nodes[target] + value if target in nodes else value
        last = self.ends[-1][1]
        return nodes[last] if last in nodes else x * 0.0

    def live(self, selections: Selections) -> list[bool]:
        """Per edge, whether it lies on a path from input to output, given what is selected."""
        present = []
        for edge in self.cell.edges:
            chosen = selections[edge.name].chosen if isinstance(edge, OneOf) else 0
            candidates = edge.candidates if isinstance(edge, OneOf) else (edge,)
            present.append(chosen is None or not isinstance(candidates[chosen], Zero))
        return [all(each) for each in zip(present, *reached_and_needed(present), strict=True)]

    def child_state(self, spec: Spec, block: nn.Module) -> Mapping[str, Tensor]:
        """The weights and statistics for `block`, the module of the decided cell `spec` in a child."""
        assert isinstance(spec, Cell)
        decided = {f"{source}-{target}": edge for (source, target), edge in spec.live_edges()}
        built = block.get_submodule("edges").named_children()
        return {
            f"edges.{key}.{name}": value
            for key, edge in built
            for name, value in child_state(self.edges[key], decided[key], edge).items()
        }


def run_node(node: nn.Module, x: Any, selections: Selections) -> Any:
    """The output of a node of a SuperNetwork: a choice, a cell of choices, or a block that is fixed.

    `x` is an image, or the states that a cell of two inputs or its node takes.
    """
    if isinstance(node, Choice):
        return selections[node.one_of.name](node, x)
    return node(x, selections) if isinstance(node, Searched) else node(x)


def child_state(node: nn.Module, spec: Spec, block: nn.Module) -> Mapping[str, Tensor]:
    """What `block`, the module of `spec` in a child, inherits from the node of a SuperNetwork in its place."""
    if isinstance(node, Choice | Searched):
        return node.child_state(spec, block)
    return node.state_dict()
