"""int8 .tflite files, by ``ai-edge-quantizer``: integers throughout, or weights alone."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import warnings
from collections.abc import Collection, Iterator
from functools import partial
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from hwnas.errors import HwnasError
from hwnas.exporter.graph.graph import Operator
from hwnas.exporter.model_file.int8_layers import CheckedLayers, Scales, StoredLayer
from hwnas.exporter.model_file.quantizer import Int8Settings, in_batches
from hwnas.exporter.tflite.file import packed, stored_values, unpacked
from hwnas.exporter.tflite.int8_ranges import widened, without_fillings
from hwnas.runtimes.files import quiet_stderr

SIGNATURE, INPUT = "serving_default", "input"

_WEIGHTED = (
    schema.BuiltinOperator.CONV_2D,
    schema.BuiltinOperator.DEPTHWISE_CONV_2D,
    schema.BuiltinOperator.FULLY_CONNECTED,
)
_LARGEST_WEIGHT = 127


class TFLiteQuantizer:
    """Makes int8 files of one float32 .tflite file, with the ranges of its activations observed once.

    Weights are rounded per channel and symmetrically, activations per tensor (recipe ``static_wi8_ai8`` of
    ai-edge-quantizer). Input and output stay float32, converted inside, so that the file takes the place of the float
    one; a pixel input becomes int8, for `hwnas.exporter.tflite.format` to be put before it. With integer ends both are
    int8.

    Args:
        model: A float32 .tflite file with the signature ``serving_default`` (``input`` -> ``output``).
        images: float32 (count, C, H, W), as the file takes them.
        settings: `reduce_range` means nothing here: no TFLite kernel needs it.

    Raises HwnasError if the package is missing.
    """

    def __init__(self, model: bytes, images: NDArray[np.float32], settings: Int8Settings) -> None:
        self._package = _package()
        self._model, self._pixel_input, self._integer_ends = model, settings.pixel_input, settings.integer_ends
        self._layers = CheckedLayers(_layers, model)
        file = unpacked(model)
        graph = file.subgraphs[0]
        self._shapes = {tensor.name.decode(): tuple(tensor.shape) for tensor in graph.tensors}
        batches = in_batches(images, int(graph.tensors[graph.inputs[0]].shape[0]))
        samples = [{INPUT: batch.transpose(0, 2, 3, 1)} for batch in batches]
        self._ranges = widened(without_fillings(self._observed(samples), file), file)
        if self._pixel_input:  # every value of a pixel is then exact, whatever the images were
            self._ranges[INPUT] = {"min": np.zeros((1, 1, 1, 1), np.float32), "max": np.full((1, 1, 1, 1), 255.0)}

    def quantized(self, keep_float: Collection[Operator] = ()) -> bytes:
        """The int8 file, in which the operators of `keep_float` compute in float32."""
        return self._layers.checked(partial(self._quantized, keep_float))

    def _quantized(self, keep_float: Collection[Operator], scales: dict[str, NDArray[np.float64]]) -> bytes:
        """The int8 file whose weights of these names have these scales, (out,)."""
        quantizer = self._package.quantizer.Quantizer(self._model, self._recipe(keep_float))
        # the package takes the range of a weight from here if it is given, and from its values otherwise
        weights = {name: _weight_range(self._shapes[name], scale) for name, scale in scales.items()}
        with _quiet():
            model = quantizer.quantize(self._ranges | weights).quantized_model
        return packed(unpacked(model))

    def _observed(self, samples: list[dict[str, NDArray[np.float32]]]) -> dict[str, Any]:
        """Smallest and largest value of every tensor on all samples.

        The package's own way is a moving average over images that begins with the first one: it cuts off what the
        others have beyond, and leaves 20 dB more noise on a small classifier of digits than the true extremes do.
        """
        calibrator, qsv_utils = self._package.calibrator, self._package.utils.qsv_utils
        manager = self._package.recipe_manager.RecipeManager()
        manager.load_quantization_recipe(self._recipe(keep_float=()))
        with _quiet():
            observer = calibrator.Calibrator(
                self._model,
                num_threads=1,
                # the interpreter notes the extremes: 25 times faster than handing every value to Python
                mode=calibrator.CalibrationMode.CALIBRATION_PROFILER_BASED,
                qsv_update_func=qsv_utils.min_max_update,
            )
            observer.calibrate({SIGNATURE: samples}, manager)
        ranges: dict[str, Any] = observer.get_model_qsvs()
        return ranges

    def _recipe(self, keep_float: Collection[Operator]) -> list[dict[str, Any]]:
        operation = self._package.qtyping.TFLOperationName
        manager = self._package.recipe_manager.RecipeManager()
        manager.add_static_config(".*", operation.ALL_SUPPORTED, activation_num_bits=8, weight_num_bits=8)
        float_ends = [] if self._integer_ends else [operation.INPUT, operation.OUTPUT]
        for end in [end for end in float_ends if end == operation.OUTPUT or not self._pixel_input]:
            manager.add_quantization_config(".*", end, algorithm_key="no_quantize")
        for operator in keep_float:
            # what is matched are the names of the outputs, separated by semicolons; one operator of ours may be several
            # of the file's, whose outputs then begin with its name
            # the name of its own output is matched as a whole: it may be that of a module, too, such as `output`
            own, output = re.escape(operator.name), re.escape(operator.output.name)
            regex = rf"(^|;)({own}(\.[^;]*)?|{output})(;|$)"
            manager.add_quantization_config(regex, operation.ALL_SUPPORTED, algorithm_key="no_quantize")
        recipe: list[dict[str, Any]] = manager.get_quantization_recipe()
        return recipe


def tflite_int8_weights(model: bytes) -> bytes:
    """A float32 .tflite file with its weights as int8 per channel, computed in float32. Raises HwnasError without the
    package."""
    package = _package()
    quantizer = package.quantizer.Quantizer(model, package.recipe.weight_only_wi8_afp32())
    with _quiet():
        quantized = quantizer.quantize().quantized_model
    return packed(unpacked(quantized))


def _weight_range(shape: tuple[int, ...], scale: NDArray[np.float64]) -> dict[str, NDArray[np.float32]]:
    """The range of a weight of this shape that gives it these scales, one per output (or one for all)."""
    axis = 0 if shape[0] == scale.size else -1  # where the outputs of a convolution are; of a depthwise one: last
    sizes = [1] * len(shape)
    sizes[axis] = scale.size
    largest = (scale.reshape(sizes) * _LARGEST_WEIGHT).astype(np.float32)
    return {"min": -largest, "max": largest}


def _layers(model: bytes) -> list[StoredLayer]:
    """The convolutions and linear layers of a .tflite file, in its order."""
    file = unpacked(model)
    graph = file.subgraphs[0]
    layers: list[StoredLayer] = []
    for operator in graph.operators:
        if file.operatorCodes[operator.opcodeIndex].builtinCode not in _WEIGHTED:
            continue
        source, weight = (graph.tensors[index] for index in operator.inputs[:2])
        bias = graph.tensors[operator.inputs[2]] if len(operator.inputs) > 2 and operator.inputs[2] >= 0 else None
        scales = None
        if source.type == schema.TensorType.INT8:
            output = graph.tensors[operator.outputs[0]]
            of_bias = np.ones(1) if bias is None else _scales(bias)
            scales = Scales(float(_scales(source)[0]), _scales(weight), of_bias, float(_scales(output)[0]))
        name = weight.name.decode()
        stored = None if bias is None else stored_values(file, bias)
        layers.append(StoredLayer(name.removesuffix(".weight"), name, stored, scales))
    return layers


def _scales(tensor: Any) -> NDArray[np.float64]:
    return np.asarray(tensor.quantization.scale, np.float64)


def _package() -> Any:
    try:
        import ai_edge_quantizer.calibrator
        import ai_edge_quantizer.quantizer
        import ai_edge_quantizer.recipe
        import ai_edge_quantizer.recipe_manager
        import ai_edge_quantizer.utils.qsv_utils
    except ImportError as error:
        raise HwnasError(
            f"int8 .tflite files are made by the package ai-edge-quantizer, which cannot be imported ({error}); "
            "install it with `pip install 'hwnas[int8]'`, or export float32 or float16."
        ) from None
    return ai_edge_quantizer


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the package's size report, progress bars and warnings off the terminal."""
    root = logging.getLogger()
    handlers = list(root.handlers)
    with (
        warnings.catch_warnings(),
        quiet_stderr(),
        contextlib.redirect_stdout(io.StringIO()),
        open(os.devnull, "w", encoding="utf-8") as nowhere,  # noqa: PTH123
        contextlib.redirect_stderr(nowhere),
    ):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:  # what the package logs gives Python's root logger a handler that writes into `nowhere`, closed below
            root.handlers[:] = handlers
