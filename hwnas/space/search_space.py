"""SearchSpace: what can be built, as a tree of Specs with decisions in it.

Counting, sampling, encoding and decoding are each a few lines on top of the walker (`map_decisions`).
"""

from __future__ import annotations

import math
import operator
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from hwnas.arguments import expect
from hwnas.errors import HwnasError, UsageError
from hwnas.notation import Notation
from hwnas.space.architecture import Architecture
from hwnas.space.decisions import OneOf, Path, at, map_decisions
from hwnas.specs.spec import Shape, Spec, check_shape
from hwnas.text import excerpt


@dataclass(frozen=True, repr=False)
class SearchSpace:
    """A tree of Specs with OneOf nodes in it, the shape of its input, and the options it was made with."""

    name: str
    nodes: tuple[Spec | OneOf, ...]
    input_shape: Shape
    options: dict[str, Any] = field(default_factory=dict, compare=False)
    notation: Notation = field(default=Notation(), compare=False)
    """How codes are written."""
    make: Callable[..., SearchSpace] | None = field(default=None, compare=False)
    """Makes this space of its options (`hwnas.spaces.get_space` knows)."""

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
        made: dict[int, Spec] = {}  # a cell that is repeated is one object before and after
        for node in self.nodes:
            if id(node) not in made:
                made[id(node)] = map_decisions(node, lambda _path, one_of: one_of.candidates[chosen[one_of.name]])
        blocks = tuple(made[id(node)] for node in self.nodes)
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
            try:
                spec: Spec = at(architecture.blocks, path)
            except (IndexError, AttributeError):
                nothing = f"nothing where space {self.name!r} decides {one_of.name!r}"
                raise HwnasError(f"this architecture has {nothing}.") from None
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
        """The architectures that differ in one decision, in the order of the decisions and their candidates."""
        indices = self.indices(architecture)
        for i, decision in enumerate(self.decisions):
            for other in range(len(decision.candidates)):
                if other != indices[i]:
                    yield self.decode([*indices[:i], other, *indices[i + 1 :]])

    def one_hot(self, architecture: Architecture) -> tuple[float, ...]:
        """An architecture as numbers: per decision one for each candidate, 1 for the chosen one and 0 for the rest."""
        chosen = zip(self.indices(architecture), self.decisions, strict=True)
        return tuple(float(k == index) for index, decision in chosen for k in range(len(decision.candidates)))

    def scaled(self, **options: Any) -> SearchSpace:
        """The space with some options changed, such as its resolution, or the depth of a space of cells.

        Codes mean the same in both. Raises UsageError for an option that the space does not have.
        """
        if self.make is None:
            raise UsageError(f"space {self.name!r} has no options to change; make it with `hwnas.get_space`.")
        return self.make(**{**self.options, **options})

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.input_shape))
        codes = f"{self.size:,}" if self.size < 10**9 else f"{self.size:.3g}"
        return f"SearchSpace({excerpt(self.name, 40)}, {len(self.decisions)} decisions, {codes} codes, input {shape})"

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


def check_space(value: Any) -> None:
    """Raise UsageError for what is no SearchSpace: its name, say."""
    expect(value, SearchSpace, "space", "a SearchSpace, from hwnas.get_space")
