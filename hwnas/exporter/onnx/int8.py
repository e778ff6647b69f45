"""int8 .onnx files, by ONNX Runtime's quantiser: integers throughout (QDQ), or weights alone."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Collection, Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.errors import HwnasError
from hwnas.exporter.graph.graph import Operator
from hwnas.exporter.model_file.int8_layers import CheckedLayers, Scales, StoredLayer
from hwnas.exporter.model_file.quantizer import Int8Settings, in_batches
from hwnas.exporter.onnx.integer_ends import give_integer_ends
from hwnas.temporary import temporary_folder

WEIGHTED = ("Conv", "Gemm")
"""Operators whose second input is a weight (out, ...)."""


class OnnxQuantizer:
    """Makes int8 files of one float32 .onnx file, with the ranges of its activations observed once.

    Weights are int8 per channel, activations uint8 per tensor (QuantizeLinear and DequantizeLinear around every
    operator, which runtimes fuse). Input and output stay float32, converted inside.

    Args:
        model: A float32 .onnx file, NCHW.
        images: float32 (count, C, H, W), as the file takes them.
        settings: Whether the input is pixels, and whether weights have 7 bits.

    Raises HwnasError if a package is missing.
    """

    def __init__(self, model: bytes, images: NDArray[np.float32], settings: Int8Settings) -> None:
        self._onnx, self._quantization = _packages()
        self._model, self._settings = model, settings
        (self._input,) = self._onnx.load_model_from_string(model).graph.input
        self._samples = in_batches(images, self._input.type.tensor_type.shape.dim[0].dim_value)
        self._ranges: bytes | None = None
        self._layers = CheckedLayers(partial(_layers, self._onnx), model)

    def quantized(self, keep_float: Collection[Operator] = ()) -> bytes:
        """The int8 file, in which the nodes of the operators of `keep_float` compute in float32."""
        return self._layers.checked(partial(self._quantized, keep_float))

    def _quantized(self, keep_float: Collection[Operator], scales: dict[str, NDArray[np.float64]]) -> bytes:
        """The int8 file whose weights of these names have these scales, (out,)."""
        quantization, model = self._quantization, self._onnx.load_model_from_string(self._model)
        pixels = {"scale": np.array(1, np.float32), "zero_point": np.array(0, np.uint8)}
        overrides = {self._input.name: [pixels]} if self._settings.pixel_input else {}
        overrides |= {name: [_weight_steps(scale) for scale in scales[name]] for name in scales}
        with temporary_folder() as folder, _quiet():
            target, ranges = folder / "model.onnx", folder / "ranges.json"
            if self._ranges is not None:
                ranges.write_bytes(self._ranges)
            quantization.quantize_static(
                model,
                str(target),
                _Reader(self._input.name, self._samples if self._ranges is None else []),
                quant_format=quantization.QuantFormat.QDQ,
                per_channel=True,
                reduce_range=self._settings.reduce_range,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                nodes_to_exclude=[node.name for node in model.graph.node if _belongs(node.name, keep_float)],
                calibrate_method=quantization.CalibrationMethod.MinMax,
                calibration_cache_path=str(ranges),
                extra_options={
                    "TensorQuantOverrides": overrides,
                    # pools and the like compute in integers if what they are given is integers: at the input of a
                    # block inside a network it is
                    "ForceQuantizeNoInputCheck": self._settings.integer_ends,
                },
            )
            self._ranges = ranges.read_bytes()
            file = self._onnx.load_model(str(target))
        if self._settings.integer_ends:
            give_integer_ends(self._onnx, file)
        return _same_on_every_machine(file)


def onnx_int8_weights(model: bytes) -> bytes:
    """A float32 .onnx file with the weights of its convolutions and linear layers as int8 per channel, computed in
    float32.

    They are converted by Cast and Mul, which ONNX Runtime computes once, while it loads the file. DequantizeLinear,
    which it keeps for the sake of integer kernels, would be computed in each inference. Raises HwnasError if a package
    is missing.
    """
    onnx, _quantization = _packages()
    file, nodes = onnx.load_model_from_string(model), []
    constants = {constant.name: constant for constant in file.graph.initializer}
    read = (node.input[1] for node in file.graph.node if node.op_type in WEIGHTED)
    for name in dict.fromkeys(name for name in read if name in constants):
        weight = onnx.numpy_helper.to_array(constants[name])
        scale = np.abs(weight).max(axis=tuple(range(1, weight.ndim)), keepdims=True) / np.float32(127)
        scale = np.where(scale > 0, scale, 1.0).astype(np.float32)  # of weights so small that they have none: any
        file.graph.initializer.remove(constants[name])
        for suffix, array in (("int8", np.rint(weight / scale).astype(np.int8)), ("scale", scale)):
            file.graph.initializer.append(onnx.numpy_helper.from_array(array, f"{name}.{suffix}"))
        whole, cast = f"{name}.float", f"{name}.cast"
        nodes.append(onnx.helper.make_node("Cast", [f"{name}.int8"], [whole], cast, to=onnx.TensorProto.FLOAT))
        nodes.append(onnx.helper.make_node("Mul", [whole, f"{name}.scale"], [name], f"{name}.multiply"))
    nodes += file.graph.node
    del file.graph.node[:]
    file.graph.node.extend(nodes)
    return _same_on_every_machine(file)


class _Reader:
    """Gives ONNX Runtime's calibration its samples."""

    def __init__(self, name: str, samples: list[NDArray[np.float32]]) -> None:
        self._samples = iter({name: sample} for sample in samples)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._samples, None)


def _weight_steps(scale: float) -> dict[str, Any]:
    """The setting of ONNX Runtime's quantiser that gives an output's weights this scale."""
    return {"axis": 0, "scale": np.array(scale, np.float32), "zero_point": np.array(0, np.int8)}


def _layers(onnx: Any, model: bytes) -> list[StoredLayer]:
    """The convolutions and linear layers of an .onnx file, by name."""
    graph = onnx.load_model_from_string(model).graph
    arrays = {constant.name: constant for constant in graph.initializer}
    unpacked = {node.output[0]: node.input for node in graph.node if node.op_type == "DequantizeLinear"}

    def value(name: str) -> NDArray[Any]:
        array: NDArray[Any] = onnx.numpy_helper.to_array(arrays[name])
        return array

    def scales(name: str) -> NDArray[np.float64]:
        return value(unpacked[name][1]).astype(np.float64).reshape(-1)

    layers = []
    for node in graph.node:
        if node.op_type not in WEIGHTED:
            continue
        source, weight, *bias = node.input
        found = None
        if source in unpacked and weight in unpacked:
            of_bias = scales(bias[0]) if bias else np.ones(1)
            found = Scales(float(scales(source)[0]), scales(weight), of_bias)
        stored = value(unpacked[bias[0]][0] if bias[0] in unpacked else bias[0]) if bias else None
        layers.append(StoredLayer(node.name, weight, stored, found))
    return sorted(layers, key=lambda layer: layer.name)


def _belongs(node: str, operators: Collection[Operator]) -> bool:
    """Whether a node is that of one of the operators, or a part of it: ``blocks.1.conv`` and ``blocks.1.conv.relu``."""
    return any(node in (each.name, each.output.name) or node.startswith(f"{each.name}.") for each in operators)


def _same_on_every_machine(file: Any) -> bytes:
    """The file without what its writer says of itself; equal content gives equal bytes."""
    file.producer_name, file.producer_version = "hwnas", ""
    del file.metadata_props[:]
    model: bytes = file.SerializeToString(deterministic=True)
    return model


def _packages() -> tuple[Any, Any]:
    try:
        import onnx
        from onnxruntime import quantization
    except ImportError as error:
        raise HwnasError(
            f"int8 .onnx files need the packages onnx and onnxruntime, which cannot be imported ({error}); "
            "install them with `pip install 'hwnas[onnx]'`, or export .tflite alone."
        ) from None
    return onnx, quantization


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantiser's advice (it wants the model simplified first, which ours is) off the terminal."""
    root = logging.getLogger()
    before = root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
