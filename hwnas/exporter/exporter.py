"""The Exporter: from a Target to finished files in memory, each checked, judged on images, and repaired if need be."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from hwnas.errors import HwnasError
from hwnas.exporter.accuracy import Accuracy, Model, accuracies, through
from hwnas.exporter.exported import Parity
from hwnas.exporter.float16 import layers_in_float32
from hwnas.exporter.formats import ONNX, TFLITE, Format
from hwnas.exporter.graph.graph import Graph, Operator
from hwnas.exporter.images import ExportImages, LabelledPixels
from hwnas.exporter.int8 import Int8Settings, Quantizer
from hwnas.exporter.metadata import ModelMetadata
from hwnas.exporter.parity import exact_limit, relative_error
from hwnas.exporter.precision import Precision
from hwnas.exporter.sensitivity import (
    LayerNoise,
    fewest_in_float,
    layer_noise,
    named_layers,
    never_int8,
    operators_of,
    signal_to_noise_db,
)
from hwnas.exporter.target import Target
from hwnas.runtimes import get_runtime, installed_runtimes

Progress = Callable[[str, int, int, str], None]
"""Called with (stage, done, total, what is going on)."""

PARITY_IMAGES, NOISE_IMAGES = 64, 16
"""How many of the calibration images a file, or the noise of each of its layers, is compared on."""


@dataclass
class File:
    """A file in the making."""

    format: Format
    precision: Precision
    data: bytes
    parity: Parity
    limit: float | None
    accuracy: Accuracy | None = None
    loss_points: float | None = None
    kept_float: tuple[str, ...] = ()
    noisiest_layers: tuple[LayerNoise, ...] = field(default=())


class Exporter:
    """Makes files of one network.

    Args:
        target: What they compute.
        metadata: What they say of themselves; None: nothing.
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
        progress: Progress,
    ) -> None:
        self._target, self._metadata, self._images = target, metadata, images
        self._settings, self._progress = settings, progress
        self._kept = named_layers(target.int8_graph, keep_float)
        self._quantizers: dict[str, Quantizer] = {}
        self._inputs = None if images is None else target.prepared(images.calibration.pixels[:PARITY_IMAGES])

    def make(self, format: Format, precision: Precision) -> File:
        """A file that was compared with PyTorch. Raises HwnasError if it strays further than its precision may, or if
        numbers without an end are to be rounded."""
        if precision.limit is None:
            _check_finite(self._target.graph)
        names = tuple(layer.name for layer in self._kept) if precision.needs_images else ()
        data = self._finished(format, self._written(format, precision))
        parity = self._parity(format, precision, data)
        if precision.name == "float16" and precision.limit is not None and not parity.worst <= precision.limit:
            names = self._in_float32(format, precision)
            data = self._finished(format, self._float16(format, names))
            parity = self._parity(format, precision, data)
        if format is ONNX:
            _check_onnx(data)
        limit = self._limit(precision, parity)
        if limit is not None and not parity.worst <= limit:
            raise HwnasError(
                f"the {precision.name} .{format.name} file computes something else than PyTorch: its relative error "
                f"(max|difference| / max|output|) is {parity.worst:.1e}, the limit {limit:.0e}. Nothing was "
                "exported. Check that the weights are finite and below 65504; if they are, report this."
            )
        return File(format, precision, data, parity, limit, kept_float=names)

    def judge(self, files: Sequence[File], max_loss: float, repair: bool) -> Accuracy:
        """Give every file its accuracy on the test images, and an int8 file that loses more than `max_loss` points, or
        gives too many images another class than PyTorch, the list of its worst layers; with `repair`, keep the fewest
        of these in float that make it accurate enough.

        Returns PyTorch's accuracy. The layers are chosen by validation images, never by those that judge the result.
        """
        assert self._images is not None
        models = {str(number): self._model(file.format, file.data) for number, file in enumerate(files)}
        reference, *found = accuracies(self._pytorch, models, self._counted(self._images.test, "accuracy"))
        for file, accuracy in zip(files, found, strict=True):
            file.accuracy, file.loss_points = accuracy, accuracy.loss_points(reference)
        for file in files:
            assert file.loss_points is not None and file.accuracy is not None
            if file.precision.needs_images and (file.loss_points > max_loss or file.accuracy.disagrees):
                file.noisiest_layers = tuple(self._noise(file.format))
                if repair:
                    self._repair(file, max_loss)
        return reference

    def _written(self, format: Format, precision: Precision, keep_float: Sequence[Operator] | None = None) -> bytes:
        """The file before its ends are put on."""
        if precision.name == "float16":
            return self._float16(format, ())
        if precision.name == "int8-weights":
            return format.int8_weights(format.write(self._target.graph))
        if not precision.needs_images:
            return format.write(self._target.graph)
        kept = operators_of(self._kept) if keep_float is None else keep_float
        return self._quantizer(format).quantized((*kept, *never_int8(self._target.int8_graph)))

    def _limit(self, precision: Precision, parity: Parity) -> float | None:
        """How far the file may stray: further than usual where PyTorch's own float32 is no more exact."""
        if precision.limit is None or parity.worst <= precision.limit:
            return precision.limit
        inputs = [self._target.random_input(), *([] if self._inputs is None else [self._inputs])]
        return max(precision.limit, *(exact_limit(self._target.module, x) for x in inputs))

    def _float16(self, format: Format, float32_layers: Collection[str]) -> bytes:
        return format.write(self._target.graph, weights="float16", float32_layers=float32_layers)

    def _in_float32(self, format: Format, precision: Precision) -> tuple[str, ...]:
        """Layers whose weights stay float32 in a float16 file, so that it strays no further than it may."""
        one = self._target.random_input()
        expected, limit = self._target.expected(one), precision.limit or math.inf

        def error(kept: Collection[str]) -> float:
            return relative_error(
                _run(format.runtime, self._finished(format, self._float16(format, kept)), one), expected
            )

        def exact_enough(kept: Collection[str]) -> bool:
            return self._parity(format, precision, self._finished(format, self._float16(format, kept))).worst <= limit

        return layers_in_float32(self._target.graph, error, exact_enough)

    def _quantizer(self, format: Format) -> Quantizer:
        """What makes int8 files; the images are run through the network once."""
        if format.name not in self._quantizers:
            assert self._images is not None
            pixels = self._images.calibration.pixels
            self._progress("calibrate", 0, 1, f"{format.name}, {len(pixels)} images")
            inputs = self._target.prepared(pixels)
            model = format.write(self._target.int8_graph)
            self._quantizers[format.name] = format.quantizer(model, inputs, self._settings)
            self._progress("calibrate", 1, 1, "")
        return self._quantizers[format.name]

    def _finished(self, format: Format, model: bytes) -> bytes:
        """The file with its pixel input and its metadata."""
        if self._target.uint8_input:
            model = format.uint8_input(model)
        return model if self._metadata is None else format.with_metadata(model, self._metadata)

    def _parity(self, format: Format, precision: Precision, data: bytes) -> Parity:
        """How exactly a file computes what PyTorch does."""
        one = self._target.random_input()
        pairs: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        if not precision.needs_images:
            pairs["random"] = self._target.expected(one), _run(format.runtime, data, one)
        if self._inputs is not None:
            pairs["images"] = self._target.expected(self._inputs), _run(format.runtime, data, self._inputs)
        errors = {name: relative_error(actual, expected) for name, (expected, actual) in pairs.items()}
        second = None
        if format is TFLITE and "random" in pairs and "tflite-runtime" in installed_runtimes():
            second = relative_error(_run("tflite-runtime", data, one), pairs["random"][0])
        ratio = signal_to_noise_db(*pairs["images" if "images" in pairs else "random"])
        return Parity(errors.get("random"), errors.get("images"), ratio, second)

    def _noise(self, format: Format) -> list[LayerNoise]:
        assert self._images is not None
        pixels = self._images.calibration.pixels[:NOISE_IMAGES]
        prepared = self._target.prepared(pixels)

        def outputs(model: bytes) -> np.ndarray:
            return self._model(format, self._finished(format, model))(pixels)

        def progress(done: int, total: int) -> None:
            self._progress(f"{format.name} layers", done, total, "int8 one at a time")

        graph, expected = self._target.int8_graph, self._target.expected(prepared)
        return layer_noise(graph, self._quantizer(format), outputs, expected, progress)

    def _repair(self, file: File, max_loss: float) -> None:
        """Keep the fewest of the worst layers in float that bring the file within `max_loss` on validation images."""
        assert self._images is not None
        images, tried = self._images, 0
        always = [layer.name for layer in self._kept]

        def data_with(names: Sequence[str]) -> bytes:
            kept = operators_of(named_layers(self._target.int8_graph, {*always, *names}))
            return self._finished(file.format, self._written(file.format, file.precision, kept))

        def is_accurate(names: Sequence[str]) -> bool:
            nonlocal tried
            tried += 1
            self._progress(f"{file.format.name} repair", tried, tried + 1, f"{len(names)} layers in float")
            models = {"int8": self._model(file.format, data_with(names))}
            reference, accuracy = accuracies(self._pytorch, models, images.validation)
            return accuracy.loss_points(reference) <= max_loss and not accuracy.disagrees

        chosen = fewest_in_float(file.noisiest_layers, is_accurate)
        self._progress(f"{file.format.name} repair", tried, tried, f"{len(chosen)} layers in float")
        file.data, file.kept_float = data_with(chosen), tuple(dict.fromkeys([*always, *chosen]))
        file.parity = self._parity(file.format, file.precision, file.data)
        reference, file.accuracy = accuracies(self._pytorch, {"int8": self._model(file.format, file.data)}, images.test)
        file.loss_points = file.accuracy.loss_points(reference)

    def _model(self, format: Format, data: bytes) -> Model:
        return through(get_runtime(format.runtime).load(data), self._target.prepared)

    def _pytorch(self, pixels: np.ndarray) -> np.ndarray:
        return self._target.expected(self._target.prepared(pixels))

    def _counted(self, batches: LabelledPixels, stage: str) -> LabelledPixels:
        """The same batches, told of as they pass."""
        done = 0
        for pixels, labels in batches:
            yield pixels, labels
            done += len(labels)
            self._progress(stage, done, done, "test images")


def _run(runtime: str, data: bytes, inputs: np.ndarray) -> np.ndarray:
    return through(get_runtime(runtime).load(data), lambda x: x)(inputs)


def _check_finite(graph: Graph) -> None:
    """Raise HwnasError for weights that no steps of 8 bits can be made for, though float may hide them."""
    for operator in graph.operators:
        for array in (operator.weight, operator.bias, operator.constant):
            if array is not None and not np.isfinite(array).all():
                raise HwnasError(
                    f"the layer {operator.name} has weights that are infinite or not a number, which int8 cannot "
                    "round. Nothing was exported. Train the network again, or export float32."
                )


def _check_onnx(data: bytes) -> None:
    """Raise HwnasError unless the file passes ONNX's own checker, shape inference included."""
    import onnx

    try:
        onnx.checker.check_model(onnx.load_model_from_string(data), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise HwnasError(
            f"the .onnx file does not pass ONNX's own checker: {error}. Nothing was exported; report this with the "
            "network."
        ) from error
