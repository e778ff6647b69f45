"""Genotypes: how the papers since NASNet write down a pair of cells, as JSON or as the text of a Python tuple.

    {"normal": [["sep_conv_3x3", 0], ["skip_connect", 1], ...], "normal_concat": [2, 3, 4, 5], "reduce": ..., ...}

Two edges per node in order, or all of them (2, 3, 4 ... per node) with ``none`` on those that are absent. The files of
CDARTS hold one genotype per stage of the network, under "0", "1" and "2", as text (microsoft/Cream, `CDARTS/CDARTS/
cells`).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hwnas.errors import UsageError
from hwnas.text import excerpt

NONE = "none"
MOST_CHARACTERS, MOST_NODES = 20_000, 32
"""Of a genotype: more is a damaged file."""

Edge = tuple[str, int]
"""The name of an operator, and the state that it comes from."""
Nodes = tuple[tuple[Edge, ...], ...]
PARTS = ("normal", "normal_concat", "reduce", "reduce_concat")


@dataclass(frozen=True)
class CellGenotype:
    """One cell: per node the edges that are there, in the order of their sources, and which states are concatenated.

    A node without any keeps one ``none``.
    """

    nodes: Nodes
    concat: tuple[int, ...]

    def edges(self) -> list[Any]:
        """Operator and source of two edges per node, as published; a list per node where one has more."""
        nodes = [list(map(list, node)) for node in self.nodes]
        if any(len(node) > 2 for node in nodes):
            return nodes
        return [edge for node in nodes for edge in [*node, [NONE, 0]][:2]]


@dataclass(frozen=True)
class Genotype:
    """The normal and the reduction cell of a network, or of one of its stages."""

    normal: CellGenotype
    reduce: CellGenotype

    @staticmethod
    def read(data: Any) -> Genotype:
        """A genotype from its JSON or its text. Raises UsageError for anything else."""
        parts = _of_text(data) if isinstance(data, str) else data
        if not isinstance(parts, Mapping) or not parts.keys() >= set(PARTS):
            raise UsageError(f"a genotype has {', '.join(PARTS)}, unlike {excerpt(data)}.")
        return Genotype(*(_cell(parts[name], parts[f"{name}_concat"], name) for name in ("normal", "reduce")))

    def to_json(self) -> dict[str, Any]:
        """The JSON that `read` takes."""
        cells = {"normal": self.normal, "reduce": self.reduce}
        return {
            key: value
            for name, cell in cells.items()
            for key, value in ((name, cell.edges()), (f"{name}_concat", list(cell.concat)))
        }

    def text(self) -> str:
        """The text that `read` takes, as the files of CDARTS have it."""
        cells = (("normal", self.normal), ("reduce", self.reduce))
        return (
            f"Genotype({', '.join(f'{n}={[list(v) for v in c.nodes]}, {n}_concat={list(c.concat)}' for n, c in cells)})"
        )


def read_genotypes(data: Mapping[str, Any], stages: int) -> list[Genotype]:
    """One genotype per stage: of a file that holds as many, or the same for all. Raises UsageError for neither."""
    if "normal" in data:
        return [Genotype.read(data)] * stages
    if set(data) != set(map(str, range(stages))):
        raise UsageError(
            f"a file with one genotype per stage has the keys {', '.join(map(str, range(stages)))}, not "
            f"{excerpt(list(data))}; one for all stages has {', '.join(PARTS)}."
        )
    return [Genotype.read(data[str(stage)]) for stage in range(stages)]


def _cell(edges: Any, concat: Any, name: str) -> CellGenotype:
    try:
        found = tuple(sorted(int(state) for state in concat))
        groups = list(_groups(edges, max(found) - 1))
        nodes = tuple(_node([(str(operator), int(source)) for operator, source in group]) for group in groups)
    except (TypeError, ValueError):
        raise UsageError(
            f"the {name} cell of a genotype is a list of [operator, input], two per node or all of them, and a list of "
            f"the states that are concatenated; not {excerpt(edges)} with {excerpt(concat)}."
        ) from None
    return CellGenotype(nodes, found)


def _groups(edges: Sequence[Any], nodes: int) -> Iterator[Sequence[Any]]:
    """The edges of each of so many nodes. Raises ValueError where they cannot be told apart."""
    if not 1 <= nodes <= MOST_NODES:
        raise ValueError(nodes)
    if len(edges) == nodes and all(edge and not isinstance(edge[0], str) for edge in edges):
        yield from edges
        return
    sizes = {2 * nodes: [2] * nodes, nodes * (nodes + 3) // 2: list(range(2, nodes + 2))}
    if len(edges) not in sizes:
        raise ValueError(len(edges))
    start = 0
    for size in sizes[len(edges)]:
        yield edges[start : start + size]
        start += size


def _node(edges: list[Edge]) -> tuple[Edge, ...]:
    """The edges that are there, by their sources."""
    there = sorted((edge for edge in edges if edge[0] != NONE), key=lambda edge: (edge[1], edge[0]))
    return tuple(there) or ((NONE, 0),)


def _of_text(text: str) -> dict[str, Any]:
    """The arguments of ``Genotype(...)``. Nothing is run: literals and ``range`` are all that it may hold."""
    try:
        if len(text) > MOST_CHARACTERS:
            raise ValueError(len(text))
        call = ast.parse(text.strip(), mode="eval").body
        if not isinstance(call, ast.Call) or call.args:
            raise ValueError(text)
        return {keyword.arg or "": _literal(keyword.value) for keyword in call.keywords}
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        raise UsageError(
            f"the text of a genotype is Genotype(normal=[('sep_conv_3x3', 0), ...], ...), not {excerpt(text)}."
        ) from None


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range":
        first, last = (int(ast.literal_eval(argument)) for argument in node.args)
        if not 0 <= first < last <= MOST_NODES + 2:
            raise ValueError(first, last)
        return list(range(first, last))
    return ast.literal_eval(node)
