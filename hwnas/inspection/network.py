"""A network as a model file holds it: named tensors, operators in order. Both readers make it, all counts use it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod

from hwnas.errors import HwnasError

Shape = tuple[int, ...]

BITS = {
    **dict.fromkeys(("int2", "uint2"), 2),
    **dict.fromkeys(("int4", "uint4", "float4e2m1"), 4),
    **dict.fromkeys(("bool", "int8", "uint8", "float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz"), 8),
    **dict.fromkeys(("int16", "uint16", "float16", "bfloat16"), 16),
    **dict.fromkeys(("int32", "uint32", "float32"), 32),
    **dict.fromkeys(("int64", "uint64", "float64", "complex64"), 64),
    "complex128": 128,
}
"""Bits of one element by its type; strings and resources have no fixed size."""

NAME_LENGTH = 200

MOST_ELEMENTS = 2**128
"""The largest tensor that is accepted: counts of two such tensors can still be printed."""


@dataclass(frozen=True)
class FileTensor:
    """One tensor of a file. `shape` is as stored, with 1 where a dimension is free; None: the file does not say."""

    shape: Shape | None
    dtype: str
    constant_bytes: int | None = None
    """Bytes that a constant takes in the file; None: it is no constant."""
    scale: float | None = None
    """Step of the quantisation, or the first of the steps of a tensor that has one per channel."""
    zero_point: int | None = None
    signature: Shape | None = None
    """The shape with -1 where a dimension is free, if the file says which are; `shape` has sizes in their place."""

    @property
    def declared(self) -> Shape | None:
        """The shape with -1 for each dimension that is known to be free."""
        return self.shape if self.signature is None else self.signature

    @property
    def elements(self) -> int | None:
        return None if self.shape is None else prod(self.shape)

    @property
    def bytes(self) -> int | None:
        """Size in memory; None where the shape or the size of an element is not known."""
        bits = BITS.get(self.dtype)
        return None if self.elements is None or bits is None else (self.elements * bits + 7) // 8


@dataclass(frozen=True)
class FileOperator:
    """One operator of a file."""

    kind: str
    """As the format calls it: ``CONV_2D``, ``Conv``; with its domain in front where that is not the standard one."""
    name: str
    inputs: tuple[str, ...]
    """Names of tensors; an optional input that is left out is ``""``."""
    outputs: tuple[str, ...]
    parameters: tuple[str, ...] = ()
    """Those of the inputs that are trained if they are constant: weights, biases; not shapes, axes or scales."""
    kernel: Shape | None = None
    """(height, width) of a convolution."""
    folds: bool = False
    """The runtime computes it once, while it loads the model, if all its inputs are constant: it unpacks weights."""
    custom: bool = False
    """No operator of the format's own set."""


@dataclass(frozen=True)
class FileNetwork:
    """The network of a file. Raises HwnasError where an operator names a tensor that does not exist."""

    tensors: dict[str, FileTensor]
    operators: tuple[FileOperator, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    unpacked: dict[str, str] = field(default_factory=dict, init=False)
    """Tensors that follow from constants alone -> the constant that they are another form of."""

    def __post_init__(self) -> None:
        used = {name for operator in self.operators for name in (*operator.inputs, *operator.outputs)}
        if missing := ({*used, *self.inputs, *self.outputs} - self.tensors.keys() - {""}):
            raise HwnasError(f"it names a tensor that it does not hold: {printable(min(missing))}")
        for operator in self.operators:
            inputs = [name for name in operator.inputs if name]
            if operator.folds and inputs and all(map(self.is_constant, inputs)):
                self.unpacked.update(dict.fromkeys(operator.outputs, self.stored(inputs[0])))

    @cached_property
    def producers(self) -> dict[str, FileOperator]:
        """The operator that makes each tensor which is made."""
        return {name: operator for operator in self.operators for name in operator.outputs}

    def is_constant(self, name: str) -> bool:
        """Whether a tensor is in the file, as it is or packed."""
        return bool(name) and (self.tensors[name].constant_bytes is not None or name in self.unpacked)

    def stored(self, name: str) -> str:
        """The tensor as the file holds it: the packed constant of an unpacked one, otherwise itself."""
        return self.unpacked.get(name, name)

    def shape(self, name: str) -> Shape | None:
        """Shape of a tensor; None for an input that is left out, or if unknown."""
        return self.tensors[name].shape if name else None

    def activations(self, names: Sequence[str]) -> list[str]:
        """Those of the names that are neither left out nor constant."""
        return [name for name in names if name and not self.is_constant(name)]


def checked_shape(sizes: Sequence[int], tensor: str) -> Shape:
    """`sizes` as a shape. Raises HwnasError for a negative one, and for more elements than any memory has."""
    shape = tuple(int(size) for size in sizes)
    if any(size < 0 for size in shape):
        raise HwnasError(f"its tensor {printable(tensor)} has the shape {list(shape)}, with a negative size")
    if prod(shape) > MOST_ELEMENTS:
        raise HwnasError(f"its tensor {printable(tensor)} claims to have 10^{len(str(prod(shape))) - 1} elements")
    return shape


def printable(text: bytes | str | None) -> str:
    """A name out of a file, safe to print: no control characters, not endless."""
    decoded = text.decode("utf-8", "replace") if isinstance(text, bytes) else text or ""
    shown = "".join(c if c.isprintable() else "?" for c in decoded[: NAME_LENGTH + 1])
    return shown if len(shown) <= NAME_LENGTH else shown[:NAME_LENGTH] + "..."
