"""Projections: which single decisions DARTS-PT makes of a mixed supernet, in which order, and what each compared.

A decision is made at once; one between nodes of a cell of two inputs in two phases (ruochenwang/darts-pt,
`sota/cnn/projection.py`): the operator of each edge, and then, of each node with more than two edges, which two stay.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from typing import Any, Literal

from torch import Tensor

from hwnas.space import OneOf, SearchSpace
from hwnas.specs.two_input_cell import TwoInputCell
from hwnas.supernet.relaxation import EdgeRelaxation, Relaxation, by_edge

EdgeOrder = Literal["random", "given"]


@dataclass(frozen=True)
class Subject:
    """What one projection decides.

    Attributes:
        decision: its index.
        row: of the decision's weights, in which one stays (see `hwnas.supernet.relaxation`): the operator of an edge,
            or the candidate; None: which rows stay, the topology of a node.
    """

    decision: int
    row: int | None = 0


@dataclass(frozen=True)
class Projection:
    """One decision that was made by perturbation.

    Attributes:
        decision, row: what was decided, as in `Subject`.
        chosen: of the row what was kept; of a topology the rows that were, as a list.
        without: accuracy and loss of the supernet without each of them; None: it was not compared, since nothing
            within the budget completes it, or it leaves out an edge and need not.
    """

    decision: int
    row: int | None
    chosen: int | list[int]
    without: list[list[float] | None]

    @property
    def rows(self) -> dict[int, int]:
        """What is decided of each row: a place in it. An edge that is left out has ``none``, the first one."""
        if isinstance(self.chosen, list):
            return {row: 0 for row in range(len(self.without)) if row not in self.chosen}
        assert self.row is not None
        return {self.row: self.chosen}

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def projected(relaxations: Sequence[Relaxation], weights: Sequence[Tensor], made: Sequence[Projection]) -> list[Tensor]:
    """The weights of a mixture, one-hot where a projection is made: what it decides has no gradient any more."""
    found = list(weights)
    for each in made:
        for row, kept in each.rows.items():
            found[each.decision] = relaxations[each.decision].decided(found[each.decision], row, kept)
    return found


def projection_rounds(space: SearchSpace, seed: int, order: EdgeOrder = "random") -> list[list[Subject]]:
    """What is projected, round by round: between two rounds the supernet is fine-tuned.

    As published, in a round each kind of cell of two inputs has an operator decided, and, once all edges have one, the
    topology of a node. Other decisions are made one per round.

    Args:
        space: that is searched.
        seed: of the order.
        order: of the edges and the nodes: ``random``, as published, or as they stand.
    """
    rng, rounds = random.Random(seed), []
    for phases in _groups(space):
        made = [rng.sample(phase, len(phase)) if order == "random" else phase for phase in phases]
        rounds.append([subject for phase in made for subject in phase])
    return [[subject for subject in each if subject is not None] for each in zip_longest(*rounds)]


def _groups(space: SearchSpace) -> list[tuple[list[Subject], list[Subject]]]:
    """The two phases of each kind of cell of two inputs, and the one of all other decisions."""
    number = {decision.name: place for place, decision in enumerate(space.decisions)}
    cells = [node.nodes for node in space.nodes if isinstance(node, TwoInputCell)]
    kinds = dict.fromkeys(tuple(number[node.name] for node in nodes if isinstance(node, OneOf)) for nodes in cells)
    others = [place for place in number.values() if not any(place in kind for kind in kinds)]
    found = []
    for decisions in (*kinds, others):
        operators, topology = [], []
        for decision in decisions:
            relaxation = by_edge(space.decisions[decision])
            operators += [Subject(decision, row) for row in range(len(relaxation.rows))]
            if isinstance(relaxation, EdgeRelaxation) and len(relaxation.rows) > relaxation.edges_per_node:
                topology.append(Subject(decision, None))
        if operators:
            found.append((operators, topology))
    return found
