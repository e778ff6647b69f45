"""The space of NAS-Bench-201 (arXiv 2001.00326): one cell of six edges and five operators, repeated in three stages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from hwnas.errors import UsageError
from hwnas.notation import Notation
from hwnas.space import OneOf, SearchSpace
from hwnas.spaces.widths import scaled
from hwnas.specs.cell import Cell, Reduction, ReLUConv, Zero, edge_ends
from hwnas.specs.conv import Conv
from hwnas.specs.pool import AvgPool
from hwnas.specs.pool_head import PoolHead
from hwnas.specs.skip import Skip
from hwnas.specs.spec import Spec

OPERATORS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
"""The candidates of every edge in the order of the benchmark's code."""

EDGES = edge_ends(6)


class CellNotation(Notation):
    """The benchmark's own string: ``|OP~0|+|OP~0|OP~1|+|OP~0|OP~1|OP~2|``, an operator and its source per edge."""

    def write(self, indices: Sequence[int]) -> str:
        groups: list[str] = []
        for (source, target), index in zip(EDGES, indices, strict=True):
            groups += ["|"] if len(groups) < target else []
            groups[-1] += f"{OPERATORS[index]}~{source}|"
        return "+".join(groups)

    def read(self, text: str) -> list[str]:
        if "|" not in text:
            return super().read(text)
        found = re.findall(r"\|?([a-z0-9_]+)~(\d)\|", text)
        named = [name for name, _ in found]
        if any(name not in OPERATORS for name in named) or len(found) != len(EDGES):
            raise UsageError(f"cell code {text!r} must name six of {', '.join(OPERATORS)}, as {self.write([3] * 6)}.")
        indices = [OPERATORS.index(name) for name in named]
        if self.write(indices) != text:
            raise UsageError(f"cell code {text!r} is not of the form {self.write(indices)}.")
        return [str(index) for index in indices]


def nas_bench_201(
    resolution: int = 32, num_classes: int = 10, width: float = 1.0, cells_per_stage: int = 5
) -> SearchSpace:
    """Stem, three stages of equal cells with a residual block of stride 2 between them, and a linear classifier.

    Source: D-X-Y/AutoDL-Projects, `lib/models/cell_infers/tiny_network.py`. Edges that lie on no path are left out of
    the network, where the benchmark keeps, and counts, their unused weights.

    Raises:
        UsageError: the resolution is no multiple of 4: the residual blocks halve it twice.
    """
    if resolution % 4:
        raise UsageError(f"the resolution of nas-bench-201 must be a multiple of 4, not {resolution}.")
    channels = scaled(16, width)
    nodes: list[Spec | OneOf] = [Conv(3, channels, kernel=3, activation=None)]
    for stage in range(3):
        if stage > 0:
            nodes.append(Reduction(channels, 2 * channels))
            channels = 2 * channels
        nodes += [_cell(channels)] * cells_per_stage
    nodes.append(PoolHead(channels, num_classes))
    options: dict[str, Any] = {"resolution": resolution, "num_classes": num_classes, "width": width}
    if cells_per_stage != 5:
        options["cells_per_stage"] = cells_per_stage
    shape = (3, resolution, resolution)
    return SearchSpace("nas-bench-201", tuple(nodes), shape, options, notation=CellNotation())


def _cell(channels: int) -> Cell:
    """The cell with its six decisions, which have the same name, though other channels, in every stage."""
    candidates = (
        Zero(channels),
        Skip(channels, channels),
        ReLUConv(channels, channels, kernel=1),
        ReLUConv(channels, channels, kernel=3),
        AvgPool(channels),
    )
    return Cell(channels, tuple(OneOf(f"edge {source}-{target}", candidates) for source, target in EDGES))
