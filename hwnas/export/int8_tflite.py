"""int8 .tflite files, by ``ai-edge-quantizer``: integers throughout, or weights alone."""

from __future__ import annotations

import contextlib
import io
import os
import re
import warnings
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from hwnas.errors import HwnasError
from hwnas.export.graph import Operator
from hwnas.export.int8 import Int8Settings, in_batches
from hwnas.export.tflite_file import packed, unpacked
from hwnas.runtimes.files import quiet_stderr

SIGNATURE, INPUT = "serving_default", "input"


class TFLiteQuantizer:
    """Makes int8 files of one float32 .tflite file, with the ranges of its activations observed once.

    Weights are rounded per channel and symmetrically, activations per tensor (recipe ``static_wi8_ai8`` of
    ai-edge-quantizer). Input and output stay float32, converted inside, so that the file takes the place of the float
    one; a pixel input becomes int8, for `hwnas.export.uint8_input` to be put before it.

    Args:
        model: A float32 .tflite file with the signature ``serving_default`` (``input`` -> ``output``).
        images: float32 (count, C, H, W), as the file takes them.
        settings: `reduce_range` means nothing here: no TFLite kernel needs it.

    Raises HwnasError if the package is missing.
    """

    def __init__(self, model: bytes, images: np.ndarray, settings: Int8Settings) -> None:
        self._package = _package()
        self._model, self._pixel_input = model, settings.pixel_input
        graph = unpacked(model).subgraphs[0]
        batches = in_batches(images, int(graph.tensors[graph.inputs[0]].shape[0]))
        samples = [{INPUT: batch.transpose(0, 2, 3, 1)} for batch in batches]
        self._ranges = self._observed(samples)
        if self._pixel_input:  # every value of a pixel is then exact, whatever the images were
            self._ranges[INPUT] = {"min": np.zeros((1, 1, 1, 1), np.float32), "max": np.full((1, 1, 1, 1), 255.0)}

    def quantized(self, keep_float: Collection[Operator] = ()) -> bytes:
        """The int8 file, in which the operators of `keep_float` compute in float32."""
        quantizer = self._package.quantizer.Quantizer(self._model, self._recipe(keep_float))
        with _quiet():
            model = quantizer.quantize(self._ranges).quantized_model
        return packed(unpacked(model))

    def _observed(self, samples: list[dict[str, np.ndarray]]) -> dict[str, Any]:
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
        return observer.get_model_qsvs()

    def _recipe(self, keep_float: Collection[Operator]) -> list[dict[str, Any]]:
        operation = self._package.qtyping.TFLOperationName
        manager = self._package.recipe_manager.RecipeManager()
        manager.add_static_config(".*", operation.ALL_SUPPORTED, activation_num_bits=8, weight_num_bits=8)
        for end in [operation.OUTPUT] if self._pixel_input else [operation.INPUT, operation.OUTPUT]:
            manager.add_quantization_config(".*", end, algorithm_key="no_quantize")
        for operator in keep_float:
            # what is matched are the names of the outputs, separated by semicolons; one operator of ours may be several
            # of the file's, whose outputs then begin with its name
            names = "|".join(re.escape(name) for name in (operator.name, operator.output.name))
            regex = rf"(^|;)({names})(\.[^;]*)?(;|$)"
            manager.add_quantization_config(regex, operation.ALL_SUPPORTED, algorithm_key="no_quantize")
        return manager.get_quantization_recipe()


def tflite_int8_weights(model: bytes) -> bytes:
    """A float32 .tflite file with its weights as int8 per channel, computed in float32. Raises HwnasError without the
    package."""
    package = _package()
    quantizer = package.quantizer.Quantizer(model, package.recipe.weight_only_wi8_afp32())
    with _quiet():
        quantized = quantizer.quantize().quantized_model
    return packed(unpacked(quantized))


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
    with (
        warnings.catch_warnings(),
        quiet_stderr(),
        contextlib.redirect_stdout(io.StringIO()),
        open(os.devnull, "w", encoding="utf-8") as nowhere,  # noqa: PTH123
        contextlib.redirect_stderr(nowhere),
    ):
        warnings.simplefilter("ignore")
        yield
