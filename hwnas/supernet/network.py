"""The SuperNetwork: one module that holds the weights of a whole SearchSpace, chain or cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor, nn

from hwnas.blocks import build_block
from hwnas.child import ChildNetwork
from hwnas.space import Architecture, OneOf, SearchSpace
from hwnas.specs.cell import Cell
from hwnas.specs.two_input_cell import TwoInputCell
from hwnas.supernet.cell import SearchedCell, child_state, run_node
from hwnas.supernet.choice import Choice, Selections, choices_in, path_selections
from hwnas.supernet.two_input_cell import SearchedTwoInputCell


class SuperNetwork(Protocol):
    """What derivers, evaluators and results need of a supernet. Every one of hwnas is a `ChoiceNet`, too."""

    space: SearchSpace

    def probabilities(self) -> list[Tensor]:
        """The probability of every candidate, one vector per decision, in the order of ``space.decisions``."""
        ...

    def run_path(self, x: Tensor, path: Sequence[int]) -> Tensor:
        """Logits (N, num_classes) of one path, a candidate per decision, for images (N, C, H, W)."""
        ...

    def inherit(self, architecture: Architecture) -> ChildNetwork:
        """A ChildNetwork with a copy of its part of the weights and batch-norm statistics."""
        ...

    def weights(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Name and value of the weights: all parameters that do not decide."""
        ...

    def architecture_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Name and value of the parameters that decide: logits or thresholds."""
        ...

    def state_dict(self) -> Mapping[str, Any]: ...


class ChoiceNet(nn.Module):
    """A chain of blocks, choices, and cells of choices: the body of every SuperNetwork.

    Args:
        space: its decisions may stand in several places.
        make_choice: the Choice of a decision in one place; nodes of cells of two inputs have Choices of their own.

    Attributes:
        nodes: one module per node of the space.
    """

    def __init__(self, space: SearchSpace, make_choice: Callable[[OneOf], Choice]) -> None:
        super().__init__()
        self.space = space

        def node_of(node: Any) -> nn.Module:
            if isinstance(node, OneOf):
                return make_choice(node)
            if isinstance(node, Cell) and any(isinstance(edge, OneOf) for edge in node.edges):
                return SearchedCell(node, make_choice)
            if isinstance(node, TwoInputCell) and any(isinstance(inner, OneOf) for inner in node.nodes):
                return SearchedTwoInputCell(node)
            return build_block(node)

        self.nodes = nn.ModuleList(map(node_of, space.nodes))
        self.names = [decision.name for decision in space.decisions]

    def choices(self) -> dict[str, list[Choice]]:
        """The Choices of every decision, by its name: one for each place where it stands."""
        found: dict[str, list[Choice]] = {name: [] for name in self.names}
        for choice in choices_in(self):
            found[choice.one_of.name].append(choice)
        return found

    def run(self, x: Tensor, selections: Selections) -> Tensor:
        """Logits (N, num_classes) for images (N, C, H, W), every decision used as selected."""
        for node in self.nodes:
            x = run_node(node, x, selections)
        return x

    def run_path(self, x: Tensor, path: Sequence[int]) -> Tensor:
        """Logits (N, num_classes) of the child that `path` names, one index per decision."""
        return self.run(x, path_selections(self.names, path))

    def inherit(self, architecture: Architecture) -> ChildNetwork:
        """A ChildNetwork with a copy of its part of the weights and batch-norm statistics."""
        self.space.indices(architecture)  # refuses an architecture of another space
        child = ChildNetwork(architecture)
        for block, spec, node in zip(child.blocks, architecture.blocks, self.nodes, strict=True):
            block.load_state_dict(child_state(node, spec, block))
        return child
