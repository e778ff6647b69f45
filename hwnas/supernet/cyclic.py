"""The CyclicNet: a search net of mixtures, an evaluation net of one path, and what the two share (Cyclic DARTS)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from hwnas.child import ChildNetwork
from hwnas.errors import UsageError
from hwnas.space import Architecture, OneOf, SearchSpace
from hwnas.supernet.choice import Candidates, path_selections
from hwnas.supernet.embedding_heads import EmbeddingHeads, level_ends, shared_nodes
from hwnas.supernet.network import ChoiceNet
from hwnas.supernet.relaxation import by_edge, selections
from hwnas.supernet.sampled import SampledNet


class CyclicNet(nn.Module):
    """Two networks over the same decisions, with weights of their own behind the stem that they share.

    The evaluation net is a path of the pool. So its candidates have the weights that they had when they were last in
    it, and nothing is copied to and fro.

    Args:
        space: that is searched.
        evaluation: the space of the evaluation net, where that is another depth of the same decisions; None: the same.
        mean: the edges of a node of two inputs are averaged in the search net, not summed.

    Attributes:
        search: the search net, with the logits.
        pool: every candidate of the evaluation net.
        heads: give logits from inside either.

    Raises:
        UsageError: the two spaces differ in more than their depth.
    """

    def __init__(self, space: SearchSpace, evaluation: SearchSpace | None = None, mean: bool = False) -> None:
        super().__init__()
        evaluation = evaluation or space
        check_same_decisions(space, evaluation)
        self.space = space
        self.search = SampledNet(space, partial(by_edge, mean=mean))
        self.pool = ChoiceNet(evaluation, Candidates)
        with torch.no_grad():
            for (
                alpha
            ) in self.search.alphas:  # N(0, 0.001) as published: raw logits are regularised, so their level counts
                alpha.sub_(1.0).mul_(0.1)
        ends = level_ends(space)
        self.heads = EmbeddingHeads([shape for _, shape in ends], num_classes(space))
        self._places = [place for place, _ in ends], [place for place, _ in level_ends(evaluation)]
        for place in range(shared_nodes(space)):
            self.pool.nodes[place] = self.search.nodes[place]

    @property
    def alphas(self) -> nn.ParameterList:
        return self.search.alphas

    @property
    def same_depth(self) -> bool:
        """Whether the evaluation net is a network of the space that is searched."""
        return self.pool.space == self.space

    @property
    def trained(self) -> ChoiceNet:
        """What children inherit from: the pool, or the search net where the evaluation net is of another depth."""
        return self.pool if self.same_depth else self.search

    def search_levels(self, x: Tensor, weights: Sequence[Tensor]) -> list[Tensor]:
        """Logits (N, num_classes) of every level of the search net, those of the classifier last.

        Args:
            x: images (N, C, H, W).
            weights: of the mixture, as `mixture` gives them.
        """
        mixtures = selections(self.search.names, self.search.relaxations, weights)
        return self.heads.levels(self.search, x, mixtures, self._places[0])

    def evaluation_levels(self, x: Tensor, path: Sequence[int]) -> list[Tensor]:
        """As `search_levels`, of the evaluation net of a path: an index per decision."""
        return self.heads.levels(self.pool, x, path_selections(self.pool.names, path), self._places[1])

    def fill_pool(self) -> None:
        """Give all of the evaluation net the search net's weights, where both are of one depth."""
        if self.same_depth:
            self.pool.nodes.load_state_dict(self.search.nodes.state_dict())

    def stem_weights(self) -> Iterator[nn.Parameter]:
        """What both nets share, the heads aside."""
        return (p for place in range(shared_nodes(self.space)) for p in self.search.nodes[place].parameters())

    def evaluation_weights(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Name and value of the weights of the pool, the stem and the heads."""
        for part in (self.pool, self.heads):
            yield from part.named_parameters()

    def probabilities(self) -> list[Tensor]:
        """The probability of every candidate, one vector per decision; differentiable in the logits."""
        return self.search.probabilities()

    def mixture(self) -> list[Tensor]:
        """The weights of the search net's mixture, one vector per decision; differentiable in the logits."""
        return self.search.mixture()

    def run_path(self, x: Tensor, path: Sequence[int]) -> Tensor:
        """Logits (N, num_classes) of the child that `path` names, one index per decision."""
        return self.trained.run_path(x, path)

    def inherit(self, architecture: Architecture) -> ChildNetwork:
        """A ChildNetwork with a copy of its part of the weights and batch-norm statistics."""
        return self.trained.inherit(architecture)

    def weights(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Name and value of everything that is trained except the logits."""
        return ((name, p) for name, p in self.named_parameters() if not name.startswith("search.alphas."))

    def architecture_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Name and value of the logits."""
        return ((name, p) for name, p in self.named_parameters() if name.startswith("search.alphas."))


def check_same_decisions(space: SearchSpace, evaluation: SearchSpace) -> None:
    """Raise UsageError unless two spaces have the same decisions, and the same shapes where they are compared."""
    searched, evaluated = ([(d.name, len(d.candidates)) for d in each.decisions] for each in (space, evaluation))
    if searched != evaluated:
        raise UsageError(
            "the evaluation net must have the decisions of the search net; it has "
            f"{len(evaluated)}, not these {len(searched)}. Let `evaluation` change the depth of the network only."
        )
    shapes, others = ([shape for _, shape in level_ends(each)] for each in (space, evaluation))
    if shapes != others or num_classes(space) != num_classes(evaluation):
        raise UsageError(
            f"the search net and the evaluation net share their stem and heads, so the states behind their stages must "
            f"have the same shapes, not {shapes} and {others}. Let `evaluation` change the depth of the network only."
        )


def num_classes(space: SearchSpace) -> int:
    """Outputs of the classifier of a space."""
    *_, (node, shape) = space.positions()
    spec = node.candidates[0] if isinstance(node, OneOf) else node
    return int(spec.output_shape(shape)[0])
