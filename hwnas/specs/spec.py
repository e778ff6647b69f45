"""Specs: what one block is, as frozen data. No torch here.

A Spec says everything that decides a block's weights and its cost, except the size of the image it works on. Two equal
Specs at one input shape are one block: they are measured once, and their weights fit each other. Shapes are (C, H, W).

Adding a block is one file beside this one. If it is no chain of convolutions (`hwnas.specs.convolutions`), it also
names a module of its own in `hwnas/blocks/`; an operator that is new to export needs a lowering.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, ClassVar, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

import hwnas.specs
from hwnas.errors import HwnasError, UsageError
from hwnas.foreign import faults_of
from hwnas.text import excerpt

Shape = tuple[int, int, int]
"""Channels, height, width of one image or feature map."""

Example = tuple["Spec", Shape]
"""A Spec, and the shape of an input that it can have."""

MOST_CHANNELS, LARGEST_SIDE, LARGEST_KERNEL = 2**16, 2**13, 63
"""Limits that a network for a phone never reaches: more is a damaged file, and would fill the memory before it is
seen."""

ACTIVATIONS = ("relu", "relu6", "hard_swish", "silu")

PADDINGS = ("symmetric", "same")
"""Zeros around an image: ``kernel // 2`` on every side, as PyTorch's networks have it, or as few as TensorFlow's "same"
needs, which for stride 2 and an even side has one more at the right and at the bottom."""

_SPECS: dict[str, type[Spec]] = {}


@dataclass(frozen=True)
class Spec:
    """Base of all Specs. A subclass registers itself by its ``kind`` and states its shape, MACs and parameters.

    ``module`` names the torch module that is built of it, which is imported then.

    JSON leaves out fields that have their default, so that a Spec can gain a field without changing what older
    architectures and tables are called.
    """

    kind: ClassVar[str] = ""
    module: ClassVar[str] = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.kind:  # otherwise a base of several blocks
            _SPECS[cls.kind] = cls

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Blocks of this kind that differ most: the conformance tests try these."""
        raise NotImplementedError

    def __post_init__(self) -> None:
        check_sizes(self)

    def output_shape(self, input_shape: Shape) -> Shape:
        """Shape of the output for one image of `input_shape`."""
        raise NotImplementedError

    def macs(self, input_shape: Shape) -> int:
        """Multiply-accumulates of the convolutions and linear layers for one image (batch norm and bias are free)."""
        raise NotImplementedError

    @property
    def params(self) -> int:
        """Trainable parameters, batch norm's two per channel included."""
        raise NotImplementedError

    @property
    def is_identity(self) -> bool:
        """True where the block does nothing at all: it has no weights, no operators and costs no time."""
        return False

    def canonical(self) -> Spec:
        """The blocks that are built of it: equal for two Specs that are one network."""
        return self

    def parts(self, input_shape: Shape) -> Iterator[tuple[Spec, Shape]]:
        """The parts that a latency table measures of it, with input shapes: the block itself, or the operators of a
        cell."""
        yield self, input_shape

    def summands(self, input_shape: Shape) -> Iterator[tuple[Spec, Shape]]:
        """The parts that its latency is the sum of, with input shapes: the block as a whole, or its parts where
        nothing else decides what it takes."""
        yield self, input_shape

    def to_json(self) -> dict[str, Any]:
        """``{"kind": ..., field: value}`` without the fields that have their default."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {"kind": self.kind} | {
            f.name: _value_to_json(values[f.name]) for f in fields(self) if values[f.name] != f.default
        }


@cache
def known_specs() -> dict[str, type[Spec]]:
    """Every Spec by the `kind` that its JSON carries: those of all modules in `hwnas/specs/`."""
    for module in iter_modules(hwnas.specs.__path__):
        import_module(f"hwnas.specs.{module.name}")
    return _SPECS


def spec_from_json(data: Any) -> Spec:
    """The Spec that `Spec.to_json` wrote. Raises HwnasError for an unknown kind or field, and a value of another type
    or out of range."""
    kind = data.get("kind") if isinstance(data, dict) else data
    specs = known_specs()
    if not isinstance(data, dict) or not isinstance(kind, str) or kind not in specs:
        raise HwnasError(
            f"unknown block kind {excerpt(kind)}; this version of hwnas knows {', '.join(sorted(specs))}. "
            "The file was written by a newer version, or is damaged."
        )
    values = {name: _value_from_json(value) for name, value in data.items() if name != "kind"}
    try:
        return specs[kind](**dict(_fields_of(kind)(**values)))
    except ValidationError as error:
        names = [f.name for f in fields(_SPECS[kind])]
        raise HwnasError(
            f"a {kind} block cannot be read: {faults_of(error, names)}. The file is damaged or of another version."
        ) from None


@cache
def _fields_of(kind: str) -> type[BaseModel]:
    """The fields of a kind of Spec, to check values from outside against: text is no number, and 3.0 no whole one."""
    hints = get_type_hints(_SPECS[kind])
    columns: dict[str, Any] = {
        f.name: (hints[f.name], ... if f.default is MISSING else f.default) for f in fields(_SPECS[kind])
    }
    return create_model(kind, __config__=ConfigDict(strict=True, extra="forbid"), **columns)


def _value_to_json(value: Any) -> Any:
    """A field of a Spec as JSON: a Spec may hold further Specs."""
    if isinstance(value, tuple):
        return [_value_to_json(part) for part in value]
    return value.to_json() if isinstance(value, Spec) else value


def _value_from_json(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_value_from_json(part) for part in value)
    return spec_from_json(value) if isinstance(value, dict) else value


def divisible(channels: float, divisor: int = 8) -> int:
    """`channels` rounded to a multiple of `divisor`, and never more than 10 % down (as MobileNetV2)."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * channels else rounded + divisor


def expanded_channels(spec: Any) -> int:
    """Channels between the expansion and the projection of an inverted bottleneck, ``in_channels * expand``, rounded.

    A whole ``expand`` is kept as an int, so that 6 and 6.0 are written alike. Raises UsageError below 1, and above
    `MOST_CHANNELS` channels.
    """
    if not spec.expand >= 1:
        raise UsageError(f"expand of a {spec.kind} block must be 1 or more, not {spec.expand!r}.")
    if not spec.in_channels * spec.expand <= MOST_CHANNELS:
        raise UsageError(
            f"expand of a {spec.kind} block must give {MOST_CHANNELS} channels at most, not {spec.expand!r} times "
            f"{spec.in_channels}."
        )
    if spec.expand == int(spec.expand):
        object.__setattr__(spec, "expand", int(spec.expand))
    channels: int = round(spec.in_channels * spec.expand)
    return channels


def check_sizes(spec: Spec) -> None:
    """Refuse a number of channels or classes that no layer can have. Raises UsageError."""
    for field in fields(spec):
        value = getattr(spec, field.name)
        is_size = field.name.endswith(("channels", "classes"))
        if is_size and (not isinstance(value, int) or not 1 <= value <= MOST_CHANNELS):
            raise UsageError(
                f"{field.name} of a {spec.kind} block must be a whole number from 1 to {MOST_CHANNELS}, not "
                f"{excerpt(value)}."
            )


def check_convolution(spec: Spec, kernel: int, stride: int, activation: str | None, may_be_even: bool = False) -> None:
    """Refuse what no layer can be built from; `may_be_even`: the kernel, where nothing is padded. Raises UsageError."""
    check_sizes(spec)
    if may_be_even and not 1 <= kernel <= LARGEST_KERNEL:
        raise UsageError(f"the kernel of a {spec.kind} block must be from 1 to {LARGEST_KERNEL}, not {kernel!r}.")
    if not may_be_even and (not 1 <= kernel <= LARGEST_KERNEL or kernel % 2 == 0):
        raise UsageError(
            f"the kernel of a {spec.kind} block must be odd, from 1 to {LARGEST_KERNEL}, not {kernel!r}: padding is "
            "kernel // 2."
        )
    if stride not in (1, 2):
        raise UsageError(f"the stride of a {spec.kind} block must be 1 or 2, not {stride!r}.")
    if activation is not None and activation not in ACTIVATIONS:
        raise UsageError(
            f"unknown activation {excerpt(activation)} in a {spec.kind} block; known: {', '.join(ACTIVATIONS)}."
        )


def check_shape(shape: Shape) -> None:
    """Refuse what is no (C, H, W) of an image or a feature map. Raises UsageError."""
    most = (MOST_CHANNELS, LARGEST_SIDE, LARGEST_SIDE)
    whole = len(shape) == 3 and all(isinstance(size, int) and not isinstance(size, bool) for size in shape)
    if not whole or not all(1 <= size <= limit for size, limit in zip(shape, most, strict=True)):
        raise UsageError(
            f"the shape of an input is (C, H, W): 1 to {MOST_CHANNELS} channels, sides of 1 to {LARGEST_SIDE} pixels, "
            f"not {excerpt(shape)}."
        )


def check_dropout(dropout: float) -> None:
    """Refuse what is no share of values to drop. Raises UsageError."""
    if not 0 <= dropout < 1:
        raise UsageError(f"dropout must be in [0, 1), not {dropout}.")


def check_window(spec: Spec, kernel: int, input_shape: Shape) -> None:
    """Refuse an image that is smaller than a kernel that nothing is padded for. Raises HwnasError."""
    if min(input_shape[1:]) < kernel:
        raise HwnasError(
            f"{spec} needs an input of {kernel}x{kernel} pixels or more, not {input_shape[1]}x{input_shape[2]}: take a "
            "larger resolution."
        )


def check_padding(kind: str, padding: str) -> None:
    """Refuse a padding that is none of `PADDINGS`. Raises UsageError."""
    if padding not in PADDINGS:
        raise UsageError(f"unknown padding {padding!r} of a {kind} block; known: {', '.join(PADDINGS)}.")


def convolved(input_shape: Shape, in_channels: int, out_channels: int, stride: int) -> Shape:
    """Output shape of an odd kernel with padding ``kernel // 2``. Raises HwnasError if the channels do not match."""
    channels, height, width = input_shape
    if channels != in_channels:
        raise HwnasError(f"a block for {in_channels} input channels was given {channels} (input shape {input_shape}).")
    return (out_channels, -(-height // stride), -(-width // stride))
