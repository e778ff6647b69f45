"""Weights as float16: half the file, the same arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from torch import nn

from hwnas.exporter.graph.lower import lower
from hwnas.exporter.onnx.writer import write_onnx
from hwnas.exporter.parity import relative_error
from hwnas.exporter.tflite.writer import write_tflite
from hwnas.runtimes import RUNTIMES, available_runtimes, get_runtime
from tests.export_networks import MobileNetV2, trained

SHAPE = (1, 3, 64, 64)
WRITERS = {".tflite": write_tflite, ".onnx": write_onnx}


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return trained(MobileNetV2())


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_every_runtime_runs_it_close_to_float32(runtime: str, network: nn.Module) -> None:
    if not available_runtimes()[runtime][0].isdigit():
        pytest.skip(available_runtimes()[runtime])
    graph, write = lower(network, SHAPE), WRITERS[get_runtime(runtime).suffix]
    x = np.random.default_rng(0).standard_normal(SHAPE, dtype=np.float32)
    exact, rounded = (
        get_runtime(runtime).load(write(graph, weights=weights), threads=1).run(x) for weights in ("float32", "float16")
    )
    assert 0 < relative_error(rounded, exact) <= 2e-3


@pytest.mark.parametrize("suffix", WRITERS)
def test_the_file_is_half_as_large_and_repeatable(suffix: str, network: nn.Module) -> None:
    graph, write = lower(network, SHAPE), WRITERS[suffix]
    half = write(graph, weights="float16")
    assert len(half) < 0.51 * len(write(graph))
    assert half == write(graph, weights="float16")


def test_it_stays_in_one_partition(network: nn.Module) -> None:
    interpreter = Interpreter(model_content=write_tflite(lower(network, SHAPE), weights="float16"), num_threads=1)
    interpreter.allocate_tensors()
    operators = [details["op_name"] for details in interpreter._get_ops_details()]
    assert operators.count("DELEGATE") == 1


def test_the_operator_version_is_the_one_that_takes_float16() -> None:
    model = schema.Model.GetRootAs(write_tflite(lower(nn.Conv2d(4, 4, 1), (1, 4, 5, 5)), weights="float16"), 0)
    codes = [model.OperatorCodes(i) for i in range(model.OperatorCodesLength())]
    versions = {code.BuiltinCode(): code.Version() for code in codes}
    assert versions[schema.BuiltinOperator.DEQUANTIZE] == 3


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_weight_that_float16_cannot_hold_stays_float32(suffix: str) -> None:
    layer = nn.Conv2d(4, 4, 1)
    layer.weight.data[0] = 1e6
    x = np.ones((1, 4, 3, 3), np.float32)
    model = WRITERS[suffix](lower(layer, x.shape), weights="float16")
    runtime = "litert" if suffix == ".tflite" else "onnxruntime"
    with torch.inference_mode():
        expected = layer(torch.from_numpy(x)).numpy()
    assert relative_error(get_runtime(runtime).load(model, threads=1).run(x), expected) < 1e-5


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_shared_weight_is_stored_once(suffix: str) -> None:
    layer = nn.Conv2d(64, 64, 3, padding=1)
    once, twice = (
        len(WRITERS[suffix](lower(nn.Sequential(*[layer] * times), (1, 64, 8, 8)), weights="float16"))
        for times in (1, 2)
    )
    assert twice - once < 2000 < 2 * layer.weight.numel() < once
