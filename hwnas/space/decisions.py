"""OneOf, the only kind of decision, and the walker over the tree that holds them.

A tree is a tuple of Specs and OneOf nodes; a Spec may hold further OneOf nodes in its fields. Two OneOf with one name
are one decision, so a cell that is repeated makes its choice once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

from hwnas.errors import HwnasError, UsageError
from hwnas.specs.spec import Spec
from hwnas.text import excerpt

MOST_NAMED = 16
"""So many candidates of a decision a message names at most."""

Path = tuple[int | str, ...]
"""Where a node stands in the tree: positions in tuples and names of Spec fields."""


@dataclass(frozen=True, repr=False)
class OneOf:
    """A decision: which of `candidates` stands here. Raises UsageError where there is nothing to decide."""

    name: str
    candidates: tuple[Spec, ...]

    def __post_init__(self) -> None:
        if len(set(self.candidates)) != len(self.candidates) or not self.candidates:
            raise UsageError(f"the candidates of decision {self.name!r} must be distinct Specs, at least one.")

    def __repr__(self) -> str:
        return f"OneOf({excerpt(self.name)}, {len(self.candidates)} candidates)"

    def index(self, spec: Spec) -> int:
        """Position of `spec` among the candidates. Raises HwnasError if it is none of them."""
        if spec not in self._positions:
            known = ", ".join(map(str, self.candidates[:MOST_NAMED]))
            more = f" and {len(self.candidates) - MOST_NAMED} others" if len(self.candidates) > MOST_NAMED else ""
            raise HwnasError(f"{spec} is no candidate of decision {self.name!r}, which is between {known}{more}.")
        return self._positions[spec]

    @cached_property
    def _positions(self) -> dict[Spec, int]:
        return {spec: position for position, spec in enumerate(self.candidates)}

    def means_the_same(self, other: OneOf) -> bool:
        """Whether `other` is between the same blocks, channels apart."""
        return self is other or self._without_channels == other._without_channels

    @cached_property
    def _without_channels(self) -> list[Any]:
        return [_stripped(spec.to_json()) for spec in self.candidates]


def _stripped(value: Any) -> Any:
    """JSON of Specs without channels, in the Specs that they hold too."""
    if isinstance(value, list):
        return list(map(_stripped, value))
    if not isinstance(value, dict):
        return value
    return {name: _stripped(part) for name, part in value.items() if not name.endswith("channels")}


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


def at(node: Any, path: Path) -> Any:
    """The part of the tree that stands at `path`."""
    for step in path:
        node = node[step] if isinstance(step, int) else getattr(node, step)
    return node
