"""OneOf, the only kind of decision, and the walker over the tree that holds them.

A tree is a tuple of Specs and OneOf nodes; a Spec may hold further OneOf nodes in its fields. Two OneOf with one name
are one decision, so a cell that is repeated makes its choice once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

from hwnas.errors import HwnasError, UsageError
from hwnas.foreign import excerpt
from hwnas.specs.spec import Spec

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


def at(node: Any, path: Path) -> Any:
    """The part of the tree that stands at `path`."""
    for step in path:
        node = node[step] if isinstance(step, int) else getattr(node, step)
    return node
