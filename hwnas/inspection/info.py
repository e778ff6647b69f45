"""The ModelInfo, which `hwnas inspect` gives and `--json` prints."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from hwnas.preprocessing import Preprocessing

NAME_SHOWN = 40
"""Characters of a name that a repr shows at most."""

Size = int | str
"""Of a dimension: a number, or how the file calls one that is free."""


@dataclass(frozen=True)
class EndInfo:
    """An input or output of a model."""

    name: str
    shape: tuple[Size, ...]
    """As the file has it; a free dimension is -1 in a .tflite, its name in an .onnx."""
    counted_shape: tuple[int, ...] | None
    """The shape that MACs and memory are counted for, with a size for each free dimension; None: not known."""
    layout: str | None
    """``NHWC`` or ``NCHW`` for four dimensions: by which one is 1, 3 or 4, otherwise by the format's habit."""
    dtype: str
    scale: float | None
    zero_point: int | None
    """Of a quantised tensor: value = scale * (stored - zero point)."""


@dataclass(frozen=True)
class OperatorInfo:
    """One operator, in the order of the file."""

    kind: str
    name: str
    inputs: tuple[tuple[int, ...] | None, ...]
    """Shapes of the inputs that are no constants, as the file lays them out; None: unknown; -1: a size is free."""
    outputs: tuple[tuple[int, ...] | None, ...]
    kernel: tuple[int, ...] | None
    macs: int
    """Multiply-accumulates of convolutions, matrix products and recurrent layers; 0 for everything else, and for what
    `ModelInfo.uncounted` names."""
    parameters: int
    weight_bytes: int
    """Bytes of its parameters in the file."""

    def __repr__(self) -> str:
        name = self.name if len(self.name) <= NAME_SHOWN else f"{self.name[:NAME_SHOWN]}..."
        return f"OperatorInfo({name}: {self.kind}, {self.macs / 1e6:,.2f} M MACs)"


@dataclass(frozen=True)
class ExecutionInfo:
    """How a runtime of this machine takes the model."""

    runtime: str
    """Name and version."""
    refused: str | None = None
    """Why it does not load the model; the rest is then empty."""
    partitions: int | None = None
    """Pieces of a .tflite that XNNPACK computes. One that is the whole network is best."""
    outside: tuple[int, ...] = ()
    """Positions of the operators that XNNPACK leaves to slower kernels."""
    nodes: dict[str, int] = field(default_factory=dict)
    """Executed operators and their counts: after the runtime's own optimisation, on this machine's CPU."""

    def __repr__(self) -> str:
        state = f"{sum(self.nodes.values())} nodes" if self.refused is None else "refused"
        return f"ExecutionInfo({self.runtime}, {state})"


@dataclass(frozen=True)
class MetadataInfo:
    """The metadata of a file."""

    entries: dict[str, str] = field(default_factory=dict)
    """Names, descriptions, author, licence, producer, versions; whatever else an .onnx has in its properties."""
    signatures: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    """Signature -> ``inputs`` and ``outputs`` by name."""
    labels: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    """Normalisation of the input, (value - mean) / std, per channel; empty: not said."""
    preprocessing: Preprocessing | None = None
    """All that becomes of a photograph, where hwnas wrote the file."""

    def __repr__(self) -> str:
        return f"MetadataInfo({len(self.entries)} entries, {len(self.labels)} labels)"


@dataclass(frozen=True)
class ModelInfo:
    """A .tflite or .onnx file, whoever wrote it, without running it."""

    file: str
    """Its name, without the folder."""
    format: str
    bytes: int
    sha256: str
    version: str
    """Of the format."""
    inputs: tuple[EndInfo, ...]
    outputs: tuple[EndInfo, ...]
    operators: tuple[OperatorInfo, ...]
    precision: str
    """Of the convolutions and matrix products: one number format, or of the weights and of the activations."""
    weight_bytes: dict[str, int]
    """Bytes of the parameters by number format."""
    peak_activation_bytes: int | None
    """See `hwnas.inspection.counts.peak_activation_bytes`; None: a shape is not known."""
    execution: ExecutionInfo
    metadata: MetadataInfo
    warnings: tuple[str, ...]
    uncounted: dict[str, int] = field(default_factory=dict)
    """Kinds of operators that multiply, or may, in a way that is not counted, and how many there are of each: with any,
    `macs` and `parameters` are lower bounds."""

    def __repr__(self) -> str:
        name = self.file if len(self.file) <= NAME_SHOWN else f"{self.file[:NAME_SHOWN]}..."
        size, macs = f"{self.bytes / 1024:,.1f} KiB", f"{self.macs / 1e6:,.2f} M MACs"
        return f"ModelInfo({name}, {size}, {len(self.operators)} operators, {macs})"

    @property
    def is_lower_bound(self) -> bool:
        """Whether `macs` and `parameters` leave something out."""
        return bool(self.uncounted)

    @property
    def macs(self) -> int:
        return sum(operator.macs for operator in self.operators)

    @property
    def parameters(self) -> int:
        return sum(operator.parameters for operator in self.operators)

    @property
    def histogram(self) -> dict[str, int]:
        """How often each kind of operator occurs, most frequent first."""
        return dict(Counter(operator.kind for operator in self.operators).most_common())

    @property
    def transposes(self) -> int:
        """Operators that only move data about in memory."""
        return sum(operator.kind.upper() == "TRANSPOSE" for operator in self.operators)

    def to_json(self) -> dict[str, Any]:
        """JSON values: the fields, and ``macs``, ``parameters``, ``is_lower_bound``, ``histogram``, ``transposes``."""
        names = ("macs", "parameters", "is_lower_bound", "histogram", "transposes")
        counts = {name: getattr(self, name) for name in names}
        return counts | asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> ModelInfo:
        """The ModelInfo that `to_json` wrote. Raises ValueError if it is no such thing."""
        return _adapter().validate_python(data)


@cache
def _adapter() -> TypeAdapter[ModelInfo]:
    return TypeAdapter(ModelInfo)
