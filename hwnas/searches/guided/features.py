"""The features of a code for a predictor: its decisions, how often each operator occurs where, and the paths of a cell.

Each block of features has a length scale of its own in the Gaussian process. The decisions tell all codes apart. Counts
over stretches of a chain carry what depth and the share of large blocks are worth, wherever they stand. A path of a
cell is the operators between its input and its output, in their order, without the skips: cells whose paths are the
same compute the same, however their edges are drawn (after the path encoding of BANANAS, arXiv 1910.11858).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwnas.errors import UsageError
from hwnas.latency.arrays import Floats, Ints
from hwnas.space import OneOf, SearchSpace
from hwnas.specs.cell import Cell, Zero, edge_ends
from hwnas.specs.spec import Spec

Words = tuple[str, ...]
"""The words that describe a candidate: its operator, its kernel ... Candidates that share words are alike."""

WINDOWS = (1, 2, 4)
"""Into so many stretches a chain is cut, within each of which operators are counted."""

MOST_PATHS = 4096
"""Of a cell: a larger one is described by its decisions alone."""


@dataclass(frozen=True)
class CellOperators:
    """Which candidates of every edge of a cell are no operators.

    Attributes:
        none: the candidate that is no connection.
        skip: the candidate that is the identity; None: there is none.
    """

    none: int
    skip: int | None


class CodeFeatures:
    """Blocks of features of codes.

    Args:
        words: per decision and candidate what is said of it.
        cell: where the decisions are the edges of one cell, in the order of `edge_ends`.
    """

    def __init__(self, words: Sequence[Sequence[Words]], cell: CellOperators | None = None) -> None:
        self._one_hot = [_said(candidates) for candidates in words]
        every = sorted({word for candidates in words for said in candidates for word in said})
        self._bags = [_said(candidates, every) for candidates in words]
        self._paths = None if cell is None else CellPaths(len(words), [len(each) for each in words], cell)

    @staticmethod
    def of_sizes(sizes: Sequence[int]) -> CodeFeatures:
        """For codes of which nothing is known but how many candidates each decision has."""
        return CodeFeatures([[(str(k),) for k in range(size)] for size in sizes])

    @staticmethod
    def of_space(space: SearchSpace) -> CodeFeatures:
        """For the codes of a space."""
        words = [[_words(spec) for spec in decision.candidates] for decision in space.decisions]
        return CodeFeatures(words, _cell_operators(space))

    def __call__(self, codes: Ints) -> list[Floats]:
        """(n, p) for each block, of (n, decisions) codes."""
        decisions = [said[codes[:, i]] for i, said in enumerate(self._one_hot)]
        blocks = [np.concatenate(decisions, axis=1)]
        if self._paths is not None:
            return [*blocks, self._paths(codes)]
        bags = np.stack([said[codes[:, i]] for i, said in enumerate(self._bags)])
        stretches = [part for cuts in WINDOWS if cuts <= len(bags) for part in np.array_split(bags, cuts)]
        return [*blocks, np.concatenate([part.sum(axis=0) / np.sqrt(len(part)) for part in stretches], axis=1)]


class CellPaths:
    """How many paths of a cell hold which operators, in their order.

    Args:
        edges: of the cell.
        sizes: candidates of each edge.
        operators: which of them are none.
    """

    def __init__(self, edges: int, sizes: Sequence[int], operators: CellOperators) -> None:
        self._operators, self._paths = operators, _paths(edge_ends(edges))
        self._base = max(sizes) + 1
        longest = max(map(len, self._paths))
        if self._base**longest > MOST_PATHS:
            raise UsageError(f"paths of {longest} edges with {max(sizes)} candidates each are too many to be counted.")
        self._words = self._base**longest

    def __call__(self, codes: Ints) -> Floats:
        """(n, words): of (n, edges) codes."""
        counts = np.zeros((len(codes), self._words))
        for path in self._paths:
            alive, word = np.ones(len(codes), bool), np.zeros(len(codes), int)
            for edge in path:
                chosen = codes[:, edge]
                alive &= chosen != self._operators.none
                word = np.where(chosen == self._operators.skip, word, word * self._base + chosen + 1)
            counts[np.flatnonzero(alive), word[alive]] += 1
        return counts


def _paths(ends: Sequence[tuple[int, int]]) -> list[list[int]]:
    """The positions of the edges of every path from the first node to the last."""
    last = ends[-1][1]

    def onwards(node: int) -> list[list[int]]:
        if node == last:
            return [[]]
        leaving = [(i, target) for i, (source, target) in enumerate(ends) if source == node]
        return [[i, *rest] for i, target in leaving for rest in onwards(target)]

    return onwards(0)


def _said(candidates: Sequence[Words], vocabulary: Sequence[str] | None = None) -> Floats:
    """(candidates, words): 1 where a word is said of a candidate."""
    known = vocabulary or sorted({word for said in candidates for word in said})
    return np.array([[float(word in said) for word in known] for said in candidates])


def _words(spec: Spec) -> Words:
    """The features that tell a candidate from others: itself, its kind, and each of its fields but channels and
    stride."""
    fields = {name: value for name, value in spec.to_json().items() if not name.endswith("channels")}
    fields.pop("stride", None)
    if spec.is_identity:
        return ("identity",)
    return (repr(sorted(fields.items(), key=str)), *(f"{name} {value}" for name, value in fields.items()))


def _cell_operators(space: SearchSpace) -> CellOperators | None:
    """Those of the one cell that a space decides about; None: it is no such space, or the cell has too many paths."""
    cells = [node for node in space.nodes if isinstance(node, Cell)]
    first = space.decisions[0].candidates
    if not cells or any(not isinstance(edge, OneOf) for edge in cells[0].edges):
        return None
    nodes = edge_ends(len(cells[0].edges))[-1][1]
    if len(cells[0].edges) != len(space.decisions) or (len(first) + 1) ** nodes > MOST_PATHS:
        return None
    none = [k for k, spec in enumerate(first) if isinstance(spec, Zero)]
    skip = [k for k, spec in enumerate(first) if spec.is_identity and k not in none]
    return CellOperators(none[0] if none else -1, skip[0] if skip else None)
