"""The space of DARTS (arXiv 1806.09055): a normal and a reduction cell of four nodes, each with two of its edges.

A node is one decision: which two of the states before it, through which two of seven operators. So a cell is never
decided in a way that no published genotype has, every choice has a price of its own, and both cells together have
10^18 codes. In the network a third and two thirds of the way down stands a reduction cell.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import Any

from hwnas.errors import HwnasError, UsageError
from hwnas.foreign import parse_json
from hwnas.space import Architecture, OneOf, SearchSpace
from hwnas.spaces.darts_operators import CONVENTIONS, OPERATORS, Convention, name_of, operator_of
from hwnas.spaces.genotype import CellGenotype, Genotype, read_genotypes
from hwnas.spaces.widths import scaled
from hwnas.specs.cell import ReLUConv
from hwnas.specs.conv import Conv
from hwnas.specs.pool_head import PoolLinear
from hwnas.specs.spec import Spec
from hwnas.specs.two_input_cell import CellNode, TwoInputCell

NODES = 4
STAGES = 3
LARGE = 128
"""From so many pixels on the network is that for ImageNet: its stem has three strides."""
SIZES = {"cifar": (20, 36), "imagenet": (14, 48)}
"""Cells and channels as published, by stem."""
MOST_CELLS = 200

CellOf = Callable[[int, bool, int], tuple[tuple[Spec | OneOf, ...], tuple[int, ...]]]
"""Stage, whether it is a reduction, and channels -> the nodes of a cell and those that it concatenates."""


@dataclass(frozen=True, repr=False)
class DartsSpace(SearchSpace):
    """A SearchSpace that reads and writes genotypes.

    One that the space has no code for, such as NASNet's of five nodes, is built all the same.
    """

    def decode(self, code: str | Sequence[int] | Mapping[str, Any]) -> Architecture:
        """As `SearchSpace.decode`; or of a genotype: its JSON (or that as text), or one per stage of the network.

        Raises UsageError for what is neither.
        """
        if isinstance(code, str) and code.lstrip().startswith("{"):
            code = _json_of(code)
        if not isinstance(code, Mapping):
            return super().decode(code)
        genotypes, make = read_genotypes(code, STAGES), _Network.of(**self.options)
        nodes = make.chain(lambda stage, reduction, channels: _decided(make, genotypes[stage], reduction, channels))
        found = Architecture(nodes, self.input_shape, self.name)  # type: ignore[arg-type]
        try:
            return replace(found, code=self.format(self.indices(found)))
        except HwnasError:
            return found

    def genotype(self, architecture: Architecture) -> dict[str, Any]:
        """The JSON of an architecture's genotype. Raises HwnasError where its stages differ; see `stage_genotypes`."""
        stages = _genotypes(architecture)
        if any(stage != stages[0] for stage in stages):
            raise HwnasError(
                "the cells of this architecture differ from stage to stage: write one genotype per stage "
                "(`space.stage_genotypes`)."
            )
        return stages[0].to_json()

    def stage_genotypes(self, architecture: Architecture) -> dict[str, str]:
        """One genotype per stage as text, as the files of CDARTS have it."""
        return {str(stage): genotype.text() for stage, genotype in enumerate(_genotypes(architecture))}


def darts(
    resolution: int = 32,
    num_classes: int = 10,
    width: float = 1.0,
    cells: int | None = None,
    channels: int | None = None,
    stem: str | None = None,
    convention: str = "evaluation",
    per_stage: bool = False,
) -> DartsSpace:
    """A stem, a row of cells and a linear classifier (quark0/darts, `cnn/model.py`).

    Args:
        resolution, num_classes, width: as every space has them.
        cells, channels: of the row, and of the nodes of its first cells; as published, 20 and 36, or 14 and 48 for the
            larger stem.
        stem: ``"cifar"``, one convolution, or ``"imagenet"``, three of stride 2; by the resolution if None.
        convention: of the batch norms (`CONVENTIONS`): as in published networks, or in a search network.
        per_stage: whether each of the three stages has decisions of its own.

    Raises:
        UsageError: a value out of range, or a resolution that cannot be halved as often.
    """
    network = _Network.of(resolution, num_classes, width, cells, channels, stem, convention, per_stage)
    made: dict[tuple[int, bool, int], tuple[OneOf, ...]] = {}

    def open_cell(stage: int, reduction: bool, of_channels: int) -> tuple[tuple[OneOf, ...], tuple[int, ...]]:
        key = (stage if per_stage else 0, reduction, of_channels)
        if key not in made:
            prefix = f"stage {stage} " if per_stage else ""
            made[key] = _open_nodes(
                network, f"{prefix}{'reduction' if reduction else 'normal'}", reduction, of_channels
            )
        return made[key], tuple(range(2, NODES + 2))

    own = {"cells": cells, "channels": channels, "stem": stem}
    options: dict[str, Any] = {"resolution": resolution, "num_classes": num_classes, "width": width}
    options |= {name: value for name, value in own.items() if value is not None}
    options |= {"convention": convention} if convention != "evaluation" else {}
    options |= {"per_stage": True} if per_stage else {}
    return DartsSpace("darts", network.chain(open_cell), (3, resolution, resolution), options)


@dataclass(frozen=True)
class _Network:
    """The network around the cells: its options with every default filled in."""

    num_classes: int
    cells: int
    channels: int
    stem: str
    convention: Convention

    @staticmethod
    def of(
        resolution: int,
        num_classes: int,
        width: float,
        cells: int | None = None,
        channels: int | None = None,
        stem: str | None = None,
        convention: str = "evaluation",
        per_stage: bool = False,
    ) -> _Network:
        stem = stem or ("imagenet" if resolution >= LARGE else "cifar")
        if stem not in SIZES or convention not in CONVENTIONS:
            raise UsageError(
                f"the stem of darts is one of {', '.join(SIZES)}, and its convention one of {', '.join(CONVENTIONS)}; "
                f"not {stem!r} and {convention!r}."
            )
        halvings = 5 if stem == "imagenet" else 2
        if resolution % 2**halvings:
            raise UsageError(
                f"the resolution of darts with the {stem} stem must be a multiple of {2**halvings}, not {resolution}: "
                f"the network halves it {halvings} times."
            )
        usual_cells, usual_channels = SIZES[stem]
        cells = usual_cells if cells is None else cells
        channels = usual_channels if channels is None else channels
        for name, value, least, most in (("cells", cells, 3, MOST_CELLS), ("channels", channels, 2, 4096)):
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise UsageError(f"the {name} of darts must be a whole number from {least} to {most}, not {value!r}.")
        if channels % 2:
            raise UsageError(
                f"the channels of darts must be even, since a reduction makes them in two halves: {channels}."
            )
        return _Network(num_classes, cells, scaled(channels, width), stem, CONVENTIONS[convention])

    def chain(self, cell_of: CellOf) -> tuple[Spec | OneOf, ...]:
        """The chain of the network with these cells."""
        nodes: list[Spec | OneOf] = list(self._stem())
        made: dict[tuple[object, ...], TwoInputCell] = {}
        before = last = 3 * self.channels if self.stem == "cifar" else self.channels
        channels, stage, after_reduction = self.channels, 0, self.stem == "imagenet"
        for position in range(self.cells):
            reduction = position in (self.cells // 3, 2 * self.cells // 3)
            channels = 2 * channels if reduction else channels
            inner, concat = cell_of(stage, reduction, channels)
            affine, is_last = self.convention.affine, position == self.cells - 1
            fields = (before, last, channels, inner, concat, reduction, after_reduction, affine, not is_last)
            # equal cells are one object, which is decided and priced once
            key = (stage, *fields[:3], *fields[5:])
            nodes.append(made.setdefault(key, TwoInputCell(*fields)))
            before, last, after_reduction = last, len(concat) * channels, reduction
            stage += reduction
        return (*nodes, PoolLinear(last, self.num_classes))

    def _stem(self) -> tuple[Spec, ...]:
        if self.stem == "cifar":
            return (Conv(3, 3 * self.channels, kernel=3, activation=None),)
        half = self.channels // 2
        return (
            Conv(3, half, kernel=3, stride=2),
            Conv(half, self.channels, kernel=3, stride=2, activation=None),
            ReLUConv(self.channels, self.channels, kernel=3, stride=2, keeps_input=True),
        )


def _open_nodes(network: _Network, name: str, reduction: bool, channels: int) -> tuple[OneOf, ...]:
    """The nodes of a cell as decisions: pairs of states in order, and of each pair the operators in order."""
    operators = {
        stride: [operator_of(operator, channels, stride, network.convention) for operator in OPERATORS]
        for stride in (1, 2)
    }
    decisions = []
    for state in range(2, NODES + 2):
        candidates = []
        for sources in combinations(range(state), 2):
            choices = (operators[2 if reduction and source < 2 else 1] for source in sources)
            candidates += [CellNode(sources, pair) for pair in product(*choices)]
        decisions.append(OneOf(f"{name} node {state}", tuple(candidates)))
    return tuple(decisions)


def _decided(
    network: _Network, genotype: Genotype, reduction: bool, channels: int
) -> tuple[tuple[CellNode, ...], tuple[int, ...]]:
    """The nodes of a cell of a genotype, and those that it concatenates."""
    cell = genotype.reduce if reduction else genotype.normal
    nodes = []
    for edges in cell.nodes:
        operators = tuple(
            operator_of(name, channels, 2 if reduction and source < 2 else 1, network.convention)
            for name, source in edges
        )
        nodes.append(CellNode(tuple(source for _, source in edges), operators))
    return tuple(nodes), cell.concat


def _genotypes(architecture: Architecture) -> list[Genotype]:
    """The genotype of every stage; the last one has no reduction cell, and keeps the one before. Raises HwnasError."""
    cells = [spec for spec in architecture.blocks if isinstance(spec, TwoInputCell)]
    normal: CellGenotype | None = None
    reduce: CellGenotype | None = None
    stages: list[Genotype] = []
    for cell in cells:
        nodes = tuple(tuple((name_of(spec), source) for source, spec in node.edges) for node in cell.nodes)
        found = CellGenotype(nodes, cell.concat)
        normal, reduce = (normal, found) if cell.reduction else (found, reduce)
        if normal is not None and reduce is not None and (cell.reduction or cell is cells[-1]):
            stages.append(Genotype(normal, reduce))
    if len(stages) == STAGES - 1 and cells[-1].reduction:  # of three cells, the last one reduces
        stages.append(stages[-1])
    if len(stages) != STAGES:
        raise HwnasError(f"this architecture ({architecture!r}) has no genotype: its cells do not make three stages.")
    return stages


def _json_of(text: str) -> Mapping[str, Any]:
    try:
        data = parse_json(text)
    except (ValueError, json.JSONDecodeError) as error:
        raise UsageError(f"the genotype is no JSON: {error}.") from None
    found: Mapping[str, Any] = data
    return found
