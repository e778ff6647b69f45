"""The multiply-adds of every candidate of every decision, in all its places together."""

from __future__ import annotations

from typing import Any

from hwnas.space.decisions import OneOf, map_decisions
from hwnas.space.search_space import SearchSpace
from hwnas.specs.spec import Shape, Spec
from hwnas.specs.two_input_cell import CellNode, TwoInputCell


def decision_macs(space: SearchSpace) -> list[list[int]]:
    """Per decision, multiply-adds of each candidate.

    A decision that stands in several places has the sum over these. The edges of a cell of one input keep its shape.
    """
    macs = {d.name: [0] * len(d.candidates) for d in space.decisions}
    for node, shape in space.positions():
        for one_of in _decisions_in(node):
            own = [_macs(node, spec, shape) for spec in one_of.candidates]
            macs[one_of.name] = [known + more for known, more in zip(macs[one_of.name], own, strict=True)]
    return list(macs.values())


def _macs(node: Any, candidate: Spec, shape: Shape) -> int:
    """Of a candidate in a node of a space that is given images of a shape."""
    if isinstance(node, TwoInputCell) and isinstance(candidate, CellNode):  # whose edges have shapes of their own
        return sum(part.macs(own) for part, own in node.node_parts(candidate, shape))
    return candidate.macs(shape)


def _decisions_in(node: Any) -> list[OneOf]:
    """The decisions in a node of a space, in reading order: itself, or the edges of a cell."""
    found: list[OneOf] = []

    def record(_path: Any, one_of: OneOf) -> OneOf:
        found.append(one_of)
        return one_of

    map_decisions(node, record)
    return found
