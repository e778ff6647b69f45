"""The cells of a network, drawn as graphs: a column for each node, and a row for each edge with its operator.

Nodes stand further down the further right they are, so that an edge, which leaves its source downwards and enters its
target from the left, crosses no node and no other label, however narrow the page is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hwnas.report.operator_names import operator_family, operator_name
from hwnas.space import Architecture
from hwnas.specs.cell import Cell
from hwnas.specs.spec import Spec
from hwnas.specs.two_input_cell import TwoInputCell

WIDTH, BOX, ROW = 320, 26, 27
"""Of a drawing, of a node, and the height of an edge's row, in units that are pixels on a narrow phone."""

Json = Mapping[str, Any]


@dataclass(frozen=True)
class CellGraph:
    """A kind of cell.

    Attributes:
        name: for people.
        inputs: so many of the first nodes are inputs.
        edges: source, target and operator of each, by their targets.
        concat: the nodes that are concatenated; none: the last node is the output.
        places: the links of the chain where it stands, from 1.
    """

    name: str
    inputs: int
    edges: tuple[tuple[int, int, Spec], ...]
    concat: tuple[int, ...]
    places: tuple[int, ...] = ()

    @property
    def nodes(self) -> int:
        return 1 + max([self.inputs, *(target for _, target, _ in self.edges), *self.concat])

    @property
    def told(self) -> str:
        """All of it in a sentence, for those who hear the page."""
        by_target: dict[int, list[str]] = {}
        for source, target, spec in self.edges:
            by_target.setdefault(target, []).append(f"{operator_name(spec)} of {source}")
        nodes = [f"node {target} is {' plus '.join(parts)}" for target, parts in by_target.items()]
        last = f"the output is {', '.join(map(str, self.concat))} concatenated" if self.concat else ""
        return f"{self.name}: {'; '.join(filter(None, [*nodes, last])) or 'no path leads to the output'}"


def cells_of(architecture: Architecture) -> list[CellGraph]:
    """The distinct cells of a network, channels apart, in their order; none for a chain of blocks."""
    found: dict[tuple[Any, ...], list[int]] = {}
    for place, spec in enumerate(architecture.blocks, 1):
        if isinstance(spec, Cell):
            edges = tuple((source, target, operator) for (source, target), operator in spec.live_edges())
            key: tuple[Any, ...] = ("cell", 1, (), _named(edges), edges)
        elif isinstance(spec, TwoInputCell):
            nodes = enumerate(spec.nodes, 2)
            edges = tuple((source, state, operator) for state, node in nodes for source, operator in node.edges)
            key = ("reduction cell" if spec.reduction else "normal cell", 2, spec.concat, _named(edges), edges)
        else:
            continue
        same = next((known for known in found if known[:4] == key[:4]), key)
        found.setdefault(same, []).append(place)
    return [
        CellGraph(name, inputs, edges, concat, tuple(places))
        for (name, inputs, concat, _, edges), places in found.items()
    ]


def _named(edges: Sequence[tuple[int, int, Spec]]) -> tuple[tuple[int, int, str], ...]:
    return tuple((source, target, operator_name(spec)) for source, target, spec in edges)


def drawn(graph: CellGraph) -> Json:
    """Where everything of a graph stands."""
    step = (WIDTH - BOX) / max(1, graph.nodes - 1)
    left = [round(node * step, 1) for node in range(graph.nodes)]
    rows: list[list[float]] = [[] for _ in left]
    edges, y = [], float(ROW)
    for source, target, spec in sorted(graph.edges, key=lambda edge: (edge[1], edge[0])):
        y += ROW
        rows[target].append(y)
        edges.append(_edge(source, target, spec, left, y))
    bottom = y + ROW
    boxes = [_box(node, left[node], rows[node], node < graph.inputs) for node in range(graph.nodes)]
    return {
        "name": graph.name,
        "told": graph.told,
        "where": f"{len(graph.places)} of them: blocks {_ranges(graph.places)}",
        "boxes": boxes,
        "edges": edges,
        "stems": _stems(graph, boxes, edges, bottom),
        "output": {"y": bottom, "text": f"output: {', '.join(map(str, graph.concat))} concatenated"}
        if graph.concat
        else None,
        "width": WIDTH,
        "height": bottom + (BOX if graph.concat else -ROW / 2),
    }


def _edge(source: int, target: int, spec: Spec, left: Sequence[float], y: float) -> Json:
    end = left[target] - 1
    return {
        "source": source,
        "x1": left[source] + BOX / 2,
        "x2": end,
        "y": y,
        "arrow": f"{end},{y} {end - 7},{y - 4} {end - 7},{y + 4}",
        "name": operator_name(spec),
        "family": operator_family(spec),
        "told": f"from {source} to {target}: {operator_name(spec)}",
    }


def _box(node: int, x: float, rows: Sequence[float], is_input: bool) -> Json:
    top = min(rows, default=ROW / 2 + 1) - ROW / 2 + 1
    bottom = max(rows, default=ROW / 2 + 1) + ROW / 2 - 1
    return {
        "x": x,
        "y": top,
        "size": BOX,
        "height": bottom - top,
        "text": str(node),
        "kind": "input" if is_input else "node",
        "absent": not rows and not is_input,
    }


def _stems(graph: CellGraph, boxes: Sequence[Json], edges: Sequence[Json], bottom: float) -> list[Json]:
    """The line down from each node to the last edge that leaves it, or to the output."""
    found: list[Json] = []
    for node, box in enumerate(boxes):
        ends = [edge["y"] for edge in edges if edge["source"] == node] + [bottom] * (node in graph.concat)
        if ends:
            x = box["x"] + BOX / 2
            tip = f"{x},{bottom} {x - 4},{bottom - 7} {x + 4},{bottom - 7}" if node in graph.concat else ""
            found.append({"x": x, "y1": box["y"] + box["height"], "y2": max(ends), "arrow": tip})
    return found


def _ranges(places: Sequence[int]) -> str:
    """Such as ``2 to 4, 7``."""
    parts: list[list[int]] = []
    for place in places:
        if parts and place == parts[-1][-1] + 1:
            parts[-1].append(place)
        else:
            parts.append([place])
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]} to {part[-1]}" for part in parts)
