"""The Exporter: from a Target to finished files in memory, each compared with PyTorch."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hwnas.errors import HwnasError
from hwnas.exporter.accuracy import Accuracy, Model, batched
from hwnas.exporter.graph.graph import Graph
from hwnas.exporter.images import ExportImages
from hwnas.exporter.model_file.format import Format
from hwnas.exporter.model_file.metadata import ModelMetadata
from hwnas.exporter.model_file.quantizer import Int8Settings, Quantizer
from hwnas.exporter.parity import Parity, exact_limit, relative_error
from hwnas.exporter.precision import Precision
from hwnas.exporter.sensitivity import (
    LayerNoise,
    layers_in_float32,
    named_layers,
    never_int8,
    operators_of,
    signal_to_noise_db,
)
from hwnas.exporter.target import Target
from hwnas.runtimes import get_runtime, installed_runtimes

ExportProgress = Callable[[str, int, int, str], None]
"""Called with (stage, done, total, what is going on)."""

PARITY_IMAGES = 64
"""How many of the calibration images a file is compared on."""


@dataclass
class FileDraft:
    """A file that is not written yet."""

    format: Format
    precision: Precision
    data: bytes
    parity: Parity
    limit: float | None
    accuracy: Accuracy | None = None
    loss_points: float | None = None
    kept_float: tuple[str, ...] = ()
    noisiest_layers: tuple[LayerNoise, ...] = field(default=())

    def __repr__(self) -> str:
        return f"FileDraft({self.precision.file_name(self.format.name)}, {len(self.data)} bytes)"


class Exporter:
    """Makes files of one network.

    Args:
        target: The network and the ends of its files.
        metadata: Of every file; None: none.
        images: The user's; None: no int8, and no accuracy.
        settings: How int8 is made.
        keep_float: Layers that int8 files compute in float32, by path.
        progress: Told what is going on.
    """

    def __init__(
        self,
        target: Target,
        metadata: ModelMetadata | None,
        images: ExportImages | None,
        settings: Int8Settings,
        keep_float: Collection[str],
        progress: ExportProgress,
    ) -> None:
        self.target = target
        self.always_float = tuple(layer.name for layer in named_layers(target.int8_graph, keep_float))
        self._metadata, self._images = metadata, images
        self._settings, self._progress = settings, progress
        self._quantizers: dict[str, Quantizer] = {}
        self._inputs = None if images is None else target.prepared(images.calibration.pixels[:PARITY_IMAGES])

    def make(self, format: Format, precision: Precision) -> FileDraft:
        """A file that was compared with PyTorch. Raises HwnasError if it strays further than its precision may, or if
        weights that are infinite or not a number are to be rounded."""
        if precision.limit is None:
            _check_finite(self.target.graph)
        names = self.always_float if precision.needs_images else ()
        data = self._file(format, precision)
        parity = self.parity(format, precision, data)
        if precision.name == "float16" and precision.limit is not None and not parity.worst <= precision.limit:
            names = self._in_float32(format, precision)
            data = self._float16(format, names)
            parity = self.parity(format, precision, data)
        format.check(data)
        limit = self._limit(precision, parity)
        if limit is not None and not parity.worst <= limit:
            raise HwnasError(
                f"the {precision.name} .{format.name} file computes something else than PyTorch: its relative error "
                f"(max|difference| / max|output|) is {parity.worst:.1e}, the limit {limit:.0e}. Nothing was "
                "exported. Check that the weights are finite and below 65504; if they are, report this."
            )
        return FileDraft(format, precision, data, parity, limit, kept_float=names)

    def _file(self, format: Format, precision: Precision) -> bytes:
        if precision.needs_images:
            return self.int8_file(format)
        if precision.name == "float16":
            return self._float16(format, ())
        model = format.write(self.target.graph)
        return self.finished(format, format.int8_weights(model) if precision.name == "int8-weights" else model)

    def _float16(self, format: Format, float32_layers: Collection[str]) -> bytes:
        return self.finished(format, format.write(self.target.graph, "float16", float32_layers))

    def int8_file(self, format: Format, keep_float: Sequence[str] = ()) -> bytes:
        """The int8 file in which the layers named in `keep_float`, besides those of the Exporter, stay in float."""
        graph = self.target.int8_graph
        kept = operators_of(named_layers(graph, {*self.always_float, *keep_float}))
        return self.finished(format, self.quantizer(format).quantized((*kept, *never_int8(graph))))

    def quantizer(self, format: Format) -> Quantizer:
        """The maker of the int8 files of a format; the images are run through the network once."""
        if format.name not in self._quantizers:
            assert self._images is not None
            pixels = self._images.calibration.pixels
            self._progress("calibrate", 0, 1, f"{format.name}, {len(pixels)} images")
            inputs = self.target.prepared(pixels)
            model = format.write(self.target.int8_graph)
            self._quantizers[format.name] = format.quantizer(model, inputs, self._settings)
            self._progress("calibrate", 1, 1, "")
        return self._quantizers[format.name]

    def finished(self, format: Format, model: bytes) -> bytes:
        """The file with its pixel input and its metadata."""
        if self.target.uint8_input:
            model = format.uint8_input(model)
        return model if self._metadata is None else format.with_metadata(model, self._metadata)

    def parity(self, format: Format, precision: Precision, data: bytes) -> Parity:
        """How exactly a file computes what PyTorch does."""
        one = self.target.random_input()
        pairs: dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]] = {}
        if not precision.needs_images:
            pairs["random"] = self.target.expected(one), _run(format.runtime, data, one)
        if self._inputs is not None:
            pairs["images"] = self.target.expected(self._inputs), _run(format.runtime, data, self._inputs)
        errors = {name: relative_error(actual, expected) for name, (expected, actual) in pairs.items()}
        second = None
        if "random" in pairs and format.second_runtime in installed_runtimes():
            second = relative_error(_run(format.second_runtime, data, one), pairs["random"][0])
        ratio = signal_to_noise_db(*pairs["images" if "images" in pairs else "random"])
        return Parity(errors.get("random"), errors.get("images"), ratio, second)

    def model(self, format: Format, data: bytes) -> Model:
        """A finished file as a function of pixels, in the runtime that checks its format."""
        return batched(get_runtime(format.runtime).load(data), self.target.prepared)

    def pytorch(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """PyTorch's scores for pixels (N, C, H, W) uint8."""
        return self.target.expected(self.target.prepared(pixels))

    def _limit(self, precision: Precision, parity: Parity) -> float | None:
        """How far the file may stray: further than usual where PyTorch's own float32 is no more exact."""
        if precision.limit is None or parity.worst <= precision.limit:
            return precision.limit
        inputs = [self.target.random_input(), *([] if self._inputs is None else [self._inputs])]
        return max(precision.limit, *(exact_limit(self.target.module, x) for x in inputs))

    def _in_float32(self, format: Format, precision: Precision) -> tuple[str, ...]:
        """Layers whose weights stay float32 in a float16 file, so that it strays no further than it may."""
        one = self.target.random_input()
        expected, limit = self.target.expected(one), precision.limit or math.inf

        def error(kept: Collection[str]) -> float:
            return relative_error(_run(format.runtime, self._float16(format, kept), one), expected)

        def exact_enough(kept: Collection[str]) -> bool:
            return self.parity(format, precision, self._float16(format, kept)).worst <= limit

        return layers_in_float32(self.target.graph, error, exact_enough)


def _run(runtime: str, data: bytes, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    return batched(get_runtime(runtime).load(data), _as_they_are)(inputs)


def _as_they_are(inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    return inputs


def _check_finite(graph: Graph) -> None:
    """Raise HwnasError for weights that no steps of 8 bits can be made for, though float may hide them."""
    for operator in graph.operators:
        for array in (operator.weight, operator.bias, operator.constant):
            if array is not None and not np.isfinite(array).all():
                raise HwnasError(
                    f"the layer {operator.name} has weights that are infinite or not a number, which int8 cannot "
                    "round. Nothing was exported. Train the network again, or export float32."
                )
