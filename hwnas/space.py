"""Search spaces as data: OneOf, SearchSpace, Architecture, and the one walker that serves them all.

A SearchSpace is a tree: a tuple of Specs and OneOf nodes (a Spec may hold further OneOf nodes in its fields). Each
OneOf is a decision between candidate Specs. Two OneOf with one name are one decision, so a cell that is repeated makes
its choice once. Counting, sampling, encoding and decoding are each a few lines on top of `map_decisions`.
"""

from __future__ import annotations

import hashlib
import json
import math
import operator
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from hwnas.errors import HwnasError, UsageError
from hwnas.foreign import checked
from hwnas.notation import Notation
from hwnas.specs.spec import Shape, Spec, check_shape, spec_from_json

Path = tuple[int | str, ...]
"""Where a node stands in the tree: positions in tuples and names of Spec fields."""


@dataclass(frozen=True)
class OneOf:
    """A decision: which of `candidates` stands here. Raises UsageError where there is nothing to decide."""

    name: str
    candidates: tuple[Spec, ...]

    def __post_init__(self) -> None:
        if len(set(self.candidates)) != len(self.candidates) or not self.candidates:
            raise UsageError(f"the candidates of decision {self.name!r} must be distinct Specs, at least one.")

    def index(self, spec: Spec) -> int:
        """Position of `spec` among the candidates. Raises HwnasError if it is none of them."""
        if spec not in self.candidates:
            known = ", ".join(map(str, self.candidates))
            raise HwnasError(f"{spec} is no candidate of decision {self.name!r}, which is between {known}.")
        return self.candidates.index(spec)

    def means_the_same(self, other: OneOf) -> bool:
        """Whether `other` is between the same blocks, channels apart."""
        return self is other or list(map(_without_channels, self.candidates)) == list(
            map(_without_channels, other.candidates)
        )


def _without_channels(spec: Spec) -> dict[str, Any]:
    return {name: value for name, value in spec.to_json().items() if not name.endswith("channels")}


Node = Spec | OneOf | tuple["Node", ...]


def map_decisions(node: Any, decide: Callable[[Path, OneOf], Any], path: Path = ()) -> Any:
    """The walker: rebuild `node` with every OneOf replaced by ``decide(path, one_of)``, visited in reading order."""
    if isinstance(node, OneOf):
        return decide(path, node)
    if isinstance(node, tuple):
        return tuple(map_decisions(child, decide, (*path, i)) for i, child in enumerate(node))
    if isinstance(node, Spec):
        old = {f.name: getattr(node, f.name) for f in fields(node)}
        new = {name: map_decisions(value, decide, (*path, name)) for name, value in old.items()}
        return node if all(new[name] is old[name] for name in old) else replace(node, **new)
    return node


def _at(node: Any, path: Path) -> Any:
    """The part of the tree that stands at `path`."""
    for step in path:
        node = node[step] if isinstance(step, int) else getattr(node, step)
    return node


ARCHITECTURE_FORMAT = "hwnas.architecture/1"
MOST_BLOCKS, MOST_PARAMS = 1000, 500_000_000
"""Of an architecture from a file: beyond this it is damaged, and would fill the memory when it is built."""


class _ArchitectureFile(BaseModel):
    """What the JSON of an Architecture must be; the blocks are for `spec_from_json`."""

    model_config = ConfigDict(extra="forbid")

    format: Literal["hwnas.architecture/1"]
    input_shape: tuple[int, int, int]
    blocks: list[dict[str, Any]] = Field(max_length=MOST_BLOCKS)
    space: str = ""
    code: str = ""


@dataclass(frozen=True)
class Architecture:
    """A SearchSpace with every OneOf decided: a chain of plain Specs and the shape of the image it takes.

    Equal architectures are equal networks. It carries the space's name and options for the reader, and needs neither
    to be built, priced or exported.
    """

    blocks: tuple[Spec, ...]
    input_shape: Shape
    space: str = field(default="", compare=False)
    code: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        check_shape(self.input_shape)
        for _ in self.chain():  # a chain whose shapes do not fit together is refused here, not when it runs
            pass

    def chain(self) -> Iterator[tuple[Spec, Shape]]:
        """Each link of the chain with the (C, H, W) shape of its input, in order."""
        shape = self.input_shape
        for spec in self.blocks:
            output_shape = spec.output_shape(shape)
            yield spec, shape
            shape = output_shape

    def placed_blocks(self) -> Iterator[tuple[Spec, Shape]]:
        """Each block with the (C, H, W) shape of its input, in order; of a cell, the operators that are executed."""
        for spec, shape in self.chain():
            yield from spec.parts(shape)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        return sum(spec.macs(shape) for spec, shape in self.placed_blocks())

    @property
    def params(self) -> int:
        """Trainable parameters."""
        return sum(spec.params for spec in self.blocks)

    @property
    def digest(self) -> str:
        """SHA-256 of what is built: what does nothing is left out, so that codes of one network share a digest."""
        built = [spec.canonical().to_json() for spec in self.blocks if not spec.is_identity]
        text = json.dumps({"input_shape": self.input_shape, "blocks": built}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        return {
            "format": ARCHITECTURE_FORMAT,
            "space": self.space,
            "code": self.code,
            "input_shape": list(self.input_shape),
            "blocks": [spec.to_json() for spec in self.blocks],
        }

    @staticmethod
    def from_json(data: Any, where: str = "this architecture") -> Architecture:
        """The Architecture that `to_json` wrote. Raises HwnasError for anything else; `where` names it there."""
        if not isinstance(data, dict) or data.get("format") != ARCHITECTURE_FORMAT:
            raise HwnasError(f'{where} is none: its JSON must say "format": "{ARCHITECTURE_FORMAT}".')
        cure = "export or search it again"
        found = checked(_ArchitectureFile, data, f"{where} is damaged", cure)
        place = ""
        try:
            blocks = []
            for i, block in enumerate(found.blocks):
                place = f"blocks[{i}]: "
                blocks.append(spec_from_json(block))
            place = ""
            architecture = Architecture(tuple(blocks), found.input_shape, found.space, found.code)
        except HwnasError as error:
            raise HwnasError(f"{where} is damaged: {place}{error} Otherwise {cure}.") from None
        if architecture.params > MOST_PARAMS:
            raise HwnasError(f"{where} has {architecture.params:,} parameters, {MOST_PARAMS:,} are the most; {cure}.")
        return architecture

    def __str__(self) -> str:
        return " > ".join(str(spec) for spec in self.blocks if not spec.is_identity)


@dataclass(frozen=True)
class SearchSpace:
    """A tree of Specs with OneOf nodes in it, the shape of its input, and the options it was made with."""

    name: str
    nodes: tuple[Spec | OneOf, ...]
    input_shape: Shape
    options: dict[str, Any] = field(default_factory=dict, compare=False)
    notation: Notation = field(default=Notation(), compare=False)
    """How codes are written."""

    def __post_init__(self) -> None:
        check_shape(self.input_shape)
        for _ in self.positions():
            pass

    @cached_property
    def decisions(self) -> tuple[OneOf, ...]:
        """The decisions in reading order, each name once. Raises UsageError if one name has two meanings.

        Candidates of one decision may differ from place to place in their channels only: a cell is repeated wider.
        """
        found: dict[str, OneOf] = {}

        def record(_path: Path, one_of: OneOf) -> OneOf:
            if not found.setdefault(one_of.name, one_of).means_the_same(one_of):
                raise UsageError(f"decision {one_of.name!r} occurs in space {self.name!r} with different candidates.")
            return one_of

        map_decisions(self.nodes, record)
        return tuple(found.values())

    def positions(self) -> Iterator[tuple[Spec | OneOf, Shape]]:
        """Each node of the chain with the shape of its input. Raises UsageError where candidates disagree."""
        shape = self.input_shape
        for node in self.nodes:
            candidates = node.candidates if isinstance(node, OneOf) else (node,)
            outputs = {spec.output_shape(shape) for spec in candidates}
            if len(outputs) > 1:
                raise UsageError(f"the candidates of {node} give different output shapes: {sorted(outputs)}.")
            yield node, shape
            shape = outputs.pop()

    @property
    def size(self) -> int:
        """Number of codes (codes that differ only in where nothing stands count each)."""
        return math.prod(len(one_of.candidates) for one_of in self.decisions)

    def distinct_blocks(self) -> list[tuple[Spec, Shape]]:
        """Every (Spec, input shape) that an architecture of this space can hold, once each, without identities."""
        blocks: dict[tuple[Spec, Shape], None] = {}
        for node, shape in self.positions():
            for spec in node.candidates if isinstance(node, OneOf) else (node,):
                blocks |= {part: None for part in spec.parts(shape) if not part[0].is_identity}
        return list(blocks)

    def decode(self, code: str | Sequence[int]) -> Architecture:
        """The Architecture of a code: one index per decision, as numbers, ``"0,4,2"``, or digits. Raises UsageError."""
        indices = self._parse(code)
        chosen = {decision.name: index for decision, index in zip(self.decisions, indices, strict=True)}
        blocks = map_decisions(self.nodes, lambda _path, one_of: one_of.candidates[chosen[one_of.name]])
        return Architecture(blocks, self.input_shape, self.name, self.format(indices))

    def indices(self, architecture: Architecture) -> tuple[int, ...]:
        """One index per decision: the inverse of `decode`. Raises HwnasError for an architecture of another space."""
        if len(architecture.blocks) != len(self.nodes) or architecture.input_shape != self.input_shape:
            raise HwnasError(
                f"this architecture ({len(architecture.blocks)} blocks, input {architecture.input_shape}) is not one "
                f"of space {self.name!r} ({len(self.nodes)} blocks, input {self.input_shape})."
            )
        found: dict[str, int] = {}

        def look_up(path: Path, one_of: OneOf) -> Spec:
            spec = _at(architecture.blocks, path)
            if found.setdefault(one_of.name, one_of.index(spec)) != one_of.index(spec):
                raise HwnasError(f"decision {one_of.name!r} is made in two ways in this architecture.")
            return spec

        if map_decisions(self.nodes, look_up) != architecture.blocks:
            raise HwnasError(f"the fixed blocks of this architecture differ from those of space {self.name!r}.")
        return tuple(found[one_of.name] for one_of in self.decisions)

    def encode(self, architecture: Architecture) -> str | tuple[int, ...]:
        """The code of an architecture: the benchmark's own string where there is one, else one index per decision."""
        indices = self.indices(architecture)
        return indices if type(self.notation) is Notation else self.format(indices)

    def format(self, indices: Sequence[int]) -> str:
        """A code as people write it: as a published benchmark does, ``0,4,2`` otherwise."""
        return self.notation.write(indices)

    def sample(self, rng: Any = None) -> Architecture:
        """A uniformly random code, decoded. `rng` is a seeded ``random.Random`` or numpy Generator; None: unseeded."""
        rng = rng or random.Random()
        below = rng.integers if hasattr(rng, "integers") else rng.randrange
        return self.decode([int(below(len(one_of.candidates))) for one_of in self.decisions])

    def neighbours(self, architecture: Architecture) -> Iterator[Architecture]:
        """What differs from an architecture in one decision, in the order of the decisions and their candidates."""
        indices = self.indices(architecture)
        for i, decision in enumerate(self.decisions):
            for other in range(len(decision.candidates)):
                if other != indices[i]:
                    yield self.decode([*indices[:i], other, *indices[i + 1 :]])

    def one_hot(self, architecture: Architecture) -> tuple[float, ...]:
        """An architecture as numbers: per decision one for each candidate, 1 for what is chosen and 0 for the rest."""
        chosen = zip(self.indices(architecture), self.decisions, strict=True)
        return tuple(float(k == index) for index, decision in chosen for k in range(len(decision.candidates)))

    def _parse(self, code: str | Sequence[int]) -> tuple[int, ...]:
        sizes = [len(one_of.candidates) for one_of in self.decisions]
        parts = self.notation.read(code) if isinstance(code, str) else list(code)
        try:
            indices = tuple(int(part) if isinstance(part, str) else operator.index(part) for part in parts)
        except (TypeError, ValueError):
            raise UsageError(f"code {code!r} must hold whole numbers, one per decision.") from None
        wrong = [i for i, (index, size) in enumerate(zip(indices, sizes, strict=False)) if not 0 <= index < size]
        if len(indices) != len(sizes) or wrong:
            raise UsageError(
                f"a code of space {self.name!r} is {len(sizes)} indices, each below "
                f"{','.join(map(str, sizes))} in turn; {code!r} is {len(indices)}"
                + (f", and index number {wrong[0]} is out of range." if wrong else ".")
            )
        return indices
