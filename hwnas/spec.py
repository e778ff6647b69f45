"""Specs: what one block is, as frozen data. No torch here.

A Spec says everything that decides a block's weights and its cost, except the size of the image it works on. Two equal
Specs at one input shape are one block: they are measured once, and their weights fit each other. Shapes are (C, H, W).

Adding a block is one Spec here, one module in `hwnas/blocks/`, and a Graph lowering where it uses a new operator.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from functools import cache
from typing import Any, ClassVar, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from hwnas.errors import HwnasError, UsageError
from hwnas.foreign import excerpt, faults_of

Shape = tuple[int, int, int]
"""Channels, height, width of one image or feature map."""

MOST_CHANNELS, LARGEST_SIDE, LARGEST_KERNEL = 2**16, 2**13, 63
"""What a network for a phone never reaches: more is a damaged file, and would fill the memory before it is seen."""

ACTIVATIONS = ("relu", "relu6", "hard_swish", "silu")

PADDINGS = ("symmetric", "same")
"""Zeros around an image: ``kernel // 2`` on every side, as PyTorch's networks have it, or as few as TensorFlow's "same"
needs, which for stride 2 and an even side has one more at the right and at the bottom."""

SPECS: dict[str, type[Spec]] = {}
"""Every Spec by the `kind` that its JSON carries."""


@dataclass(frozen=True)
class Spec:
    """Base of all Specs. A subclass registers itself by its ``kind`` and states its shape, MACs and parameters.

    JSON leaves out fields that have their default, so that a Spec can gain a field without changing what older
    architectures and tables are called.
    """

    kind: ClassVar[str] = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        SPECS[cls.kind] = cls

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
        """What is built of it: equal for two Specs that are one network."""
        return self

    def parts(self, input_shape: Shape) -> Iterator[tuple[Spec, Shape]]:
        """What a latency table measures of it, with input shapes: the block itself, or the operators of a cell."""
        yield self, input_shape

    def to_json(self) -> dict[str, Any]:
        """``{"kind": ..., field: value}`` without the fields that have their default."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {"kind": self.kind} | {
            f.name: _value_to_json(values[f.name]) for f in fields(self) if values[f.name] != f.default
        }


def spec_from_json(data: Any) -> Spec:
    """The Spec that `Spec.to_json` wrote. Raises HwnasError for an unknown kind or field, and a value of another type
    or out of range."""
    kind = data.get("kind") if isinstance(data, dict) else data
    if not isinstance(data, dict) or not isinstance(kind, str) or kind not in SPECS:
        raise HwnasError(
            f"unknown block kind {excerpt(kind)}; this version of hwnas knows {', '.join(sorted(SPECS))}. "
            "The file was written by a newer version, or is damaged."
        )
    values = {name: _value_from_json(value) for name, value in data.items() if name != "kind"}
    try:
        return SPECS[kind](**dict(_fields_of(kind)(**values)))
    except ValidationError as error:
        names = [f.name for f in fields(SPECS[kind])]
        raise HwnasError(
            f"a {kind} block cannot be read: {faults_of(error, names)}. The file is damaged or of another version."
        ) from None


@cache
def _fields_of(kind: str) -> type[BaseModel]:
    """The fields of a kind of Spec, to check values from outside against: text is no number, and 3.0 no whole one."""
    hints = get_type_hints(SPECS[kind])
    columns = {f.name: (hints[f.name], ... if f.default is MISSING else f.default) for f in fields(SPECS[kind])}
    return create_model(kind, __config__=ConfigDict(strict=True, extra="forbid"), **columns)  # type: ignore[call-overload]


def _value_to_json(value: Any) -> Any:
    """A field of a Spec as JSON: a Spec may hold further Specs."""
    if isinstance(value, tuple):
        return [_value_to_json(part) for part in value]
    return value.to_json() if isinstance(value, Spec) else value


def _value_from_json(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_value_from_json(part) for part in value)
    return spec_from_json(value) if isinstance(value, dict) else value


@dataclass(frozen=True)
class Conv(Spec):
    """Convolution, batch norm, activation (None for none). ``padding`` is one of `PADDINGS`."""

    kind: ClassVar[str] = "conv"
    in_channels: int
    out_channels: int
    kernel: int = 3
    stride: int = 1
    activation: str | None = "relu"
    padding: str = "symmetric"

    def __post_init__(self) -> None:
        check_convolution(self, self.kernel, self.stride, self.activation)
        check_padding(self)

    def output_shape(self, input_shape: Shape) -> Shape:
        return convolved(input_shape, self.in_channels, self.out_channels, self.stride)

    def macs(self, input_shape: Shape) -> int:
        _, height, width = self.output_shape(input_shape)
        return self.kernel**2 * self.in_channels * self.out_channels * height * width

    @property
    def params(self) -> int:
        return self.kernel**2 * self.in_channels * self.out_channels + 2 * self.out_channels

    def __str__(self) -> str:
        padding = f" {self.padding}" if self.padding != "symmetric" else ""
        return f"Conv(k{self.kernel} {self.in_channels}->{self.out_channels} s{self.stride}{padding})"


@dataclass(frozen=True)
class MBConv(Spec):
    """Inverted residual of MobileNetV2: expand 1x1, depthwise, project 1x1; each with batch norm.

    ``expand`` is the ratio of hidden to input channels, a fraction where the hidden channels are no multiple of these;
    with 1 there is no expansion convolution. The input is added where the shape stays the same. The projection has no
    activation. ``padding``, of the depthwise convolution, is one of `PADDINGS`.

    With ``se_ratio`` above 0, squeeze-and-excitation follows the depthwise convolution, as in MobileNetV3: it squeezes
    to ``se_ratio`` times the hidden channels, rounded to a multiple of 8. Its gate is a hard sigmoid; with SiLU, whose
    blocks are EfficientNet's, a sigmoid.

    With ``groups`` above 1, both 1x1 convolutions are grouped and a channel shuffle follows the first, which is there
    even where ``expand`` is 1, as in FBNet (``k3_e1_g2``).
    """

    kind: ClassVar[str] = "mbconv"
    in_channels: int
    out_channels: int
    kernel: int
    expand: float
    stride: int = 1
    activation: str = "relu"
    se_ratio: float = 0.0
    groups: int = 1
    padding: str = "symmetric"

    def __post_init__(self) -> None:
        check_convolution(self, self.kernel, self.stride, self.activation)
        check_padding(self)
        expanded_channels(self)
        if not 0 <= self.se_ratio <= 1:
            raise UsageError(f"se_ratio must be between 0 (none) and 1, not {self.se_ratio} in {self}.")
        if self.groups < 1 or self.in_channels % self.groups or self.out_channels % self.groups:
            raise UsageError(f"groups must divide the input and the output channels, not {self.groups} in {self}.")

    @property
    def hidden_channels(self) -> int:
        return expanded_channels(self)

    @property
    def squeezed_channels(self) -> int:
        """Channels between the two convolutions of squeeze-and-excitation; 0 where there is none."""
        return divisible(self.hidden_channels * self.se_ratio) if self.se_ratio > 0 else 0

    @property
    def has_expansion(self) -> bool:
        return self.expand > 1 or self.groups > 1

    @property
    def has_residual(self) -> bool:
        return self.stride == 1 and self.in_channels == self.out_channels

    def output_shape(self, input_shape: Shape) -> Shape:
        return convolved(input_shape, self.in_channels, self.out_channels, self.stride)

    def macs(self, input_shape: Shape) -> int:
        _, height, width = self.output_shape(input_shape)
        hidden = self.hidden_channels
        expansion = self.in_channels // self.groups * hidden * input_shape[1] * input_shape[2]
        squeeze_excite = 2 * hidden * self.squeezed_channels
        rest = hidden * (self.kernel**2 + self.out_channels // self.groups) * height * width
        return expansion * self.has_expansion + squeeze_excite + rest

    @property
    def params(self) -> int:
        hidden, squeezed = self.hidden_channels, self.squeezed_channels
        expansion = (self.in_channels // self.groups + 2) * hidden * self.has_expansion
        squeeze_excite = 2 * hidden * squeezed + squeezed + hidden if squeezed else 0
        projection = (hidden // self.groups + 2) * self.out_channels
        return expansion + (self.kernel**2 + 2) * hidden + squeeze_excite + projection

    def __str__(self) -> str:
        words = [f"k{self.kernel}", f"e{self.expand:g}", f"{self.in_channels}->{self.out_channels}", f"s{self.stride}"]
        words += [f"g{self.groups}"] if self.groups > 1 else []
        words += [f"se{self.se_ratio:g}"] if self.se_ratio else []
        words += [self.activation] if self.activation != "relu" else []
        words += [self.padding] if self.padding != "symmetric" else []
        return f"MBConv({' '.join(words)})"


@dataclass(frozen=True)
class Skip(Spec):
    """Nothing where the shape stays the same; otherwise the shortest way there: a strided 1x1 convolution with batch
    norm (the identity of NAS-Bench-Macro)."""

    kind: ClassVar[str] = "skip"
    in_channels: int
    out_channels: int
    stride: int = 1

    def __post_init__(self) -> None:
        check_convolution(self, 1, self.stride, "relu")

    @property
    def is_identity(self) -> bool:
        return self.stride == 1 and self.in_channels == self.out_channels

    def output_shape(self, input_shape: Shape) -> Shape:
        return convolved(input_shape, self.in_channels, self.out_channels, self.stride)

    def macs(self, input_shape: Shape) -> int:
        _, height, width = self.output_shape(input_shape)
        return 0 if self.is_identity else self.in_channels * self.out_channels * height * width

    @property
    def params(self) -> int:
        return 0 if self.is_identity else (self.in_channels + 2) * self.out_channels

    def __str__(self) -> str:
        return "Skip" if self.is_identity else f"Skip({self.in_channels}->{self.out_channels} s{self.stride})"


@dataclass(frozen=True)
class Head(Spec):
    """The classifier: 1x1 convolution with batch norm and activation, global average pool, dropout, linear layer.

    With ``features`` above 0, a linear layer of so many outputs and an activation stand between pool and dropout, as in
    MobileNetV3.
    """

    kind: ClassVar[str] = "head"
    in_channels: int
    hidden_channels: int
    num_classes: int
    dropout: float = 0.0
    activation: str = "relu"
    bias: bool = True
    features: int = 0

    def __post_init__(self) -> None:
        check_convolution(self, 1, 1, self.activation)
        if self.features < 0:
            raise UsageError(f"features must be 0 (no such layer) or more, not {self.features}.")
        if not 0 <= self.dropout < 1:
            raise UsageError(f"dropout must be in [0, 1), not {self.dropout}.")

    def output_shape(self, input_shape: Shape) -> Shape:
        convolved(input_shape, self.in_channels, self.hidden_channels, 1)
        return (self.num_classes, 1, 1)

    def macs(self, input_shape: Shape) -> int:
        pixels = input_shape[1] * input_shape[2]
        classified = self.features or self.hidden_channels
        features = self.hidden_channels * self.features
        return self.hidden_channels * self.in_channels * pixels + features + classified * self.num_classes

    @property
    def params(self) -> int:
        classified = self.features or self.hidden_channels
        features = (self.hidden_channels + 1) * self.features
        return (self.in_channels + 2) * self.hidden_channels + features + (classified + self.bias) * self.num_classes

    def __str__(self) -> str:
        features = f"->{self.features}" if self.features else ""
        return f"Head({self.in_channels}->{self.hidden_channels}{features}->{self.num_classes})"


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
    return round(spec.in_channels * spec.expand)


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


def check_convolution(spec: Spec, kernel: int, stride: int, activation: str | None) -> None:
    """Refuse what no layer can be built from. Raises UsageError."""
    check_sizes(spec)
    if not 1 <= kernel <= LARGEST_KERNEL or kernel % 2 == 0:
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


def check_padding(spec: Conv | MBConv) -> None:
    """Refuse a padding that is none of `PADDINGS`. Raises UsageError."""
    if spec.padding not in PADDINGS:
        raise UsageError(f"unknown padding {spec.padding!r} of a {spec.kind} block; known: {', '.join(PADDINGS)}.")


def convolved(input_shape: Shape, in_channels: int, out_channels: int, stride: int) -> Shape:
    """Output shape of an odd kernel with padding ``kernel // 2``. Raises HwnasError if the channels do not match."""
    channels, height, width = input_shape
    if channels != in_channels:
        raise HwnasError(f"a block for {in_channels} input channels was given {channels} (input shape {input_shape}).")
    return (out_channels, -(-height // stride), -(-width // stride))
