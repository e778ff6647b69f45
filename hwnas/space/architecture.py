"""Architecture: a SearchSpace with every decision made, which is saved, hashed, priced, built and exported."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from hwnas.errors import HwnasError
from hwnas.foreign import checked
from hwnas.specs.spec import Shape, Spec, check_shape, spec_from_json
from hwnas.text import excerpt

ARCHITECTURE_FORMAT = "hwnas.architecture/1"
MOST_BLOCKS, MOST_PARAMS = 1000, 500_000_000
"""Of an architecture from a file: beyond this it is damaged, and would fill the memory when it is built."""


class _ArchitectureFile(BaseModel):
    """The JSON of an Architecture, as it must be; `spec_from_json` reads the blocks."""

    model_config = ConfigDict(extra="forbid")

    format: Literal["hwnas.architecture/1"]
    input_shape: tuple[int, int, int]
    blocks: list[dict[str, Any]] = Field(max_length=MOST_BLOCKS)
    space: str = ""
    code: str = ""


@dataclass(frozen=True, repr=False)
class Architecture:
    """A SearchSpace with every OneOf decided: a chain of plain Specs and the shape of the image it takes.

    Equal architectures are equal networks. It carries the space's name and its code for the reader, and needs neither
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

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the network that is built, without blocks that do nothing: codes of one network share a digest."""
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

    def __repr__(self) -> str:
        name = excerpt(f"{self.space} {self.code}".strip() or self.digest[:12], 40)
        costs = f"{self.macs / 1e6:.4g} M MACs, {self.params / 1e6:.4g} M parameters"
        return f"Architecture({name}, {len(self.blocks)} blocks, {costs})"

    def __str__(self) -> str:
        return " > ".join(str(spec) for spec in self.blocks if not spec.is_identity)
