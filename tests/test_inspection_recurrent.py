"""What `hwnas inspect` counts of recurrent layers, by formulas; and what it cannot count, which is said."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper, numpy_helper
from rich.console import Console

from hwnas.inspection.examine import examine
from hwnas.inspection.info import ModelInfo
from hwnas.report.model_tables import model_tables

STEPS, BATCH, FEATURES, UNITS = 7, 2, 5, 4
Codes = schema.BuiltinOperator


@pytest.fixture
def look(tmp_path: Path) -> Any:
    def look(data: bytes, name: str) -> ModelInfo:
        (tmp_path / name).write_bytes(data)
        return examine(tmp_path / name)

    return look


def shown(info: ModelInfo) -> str:
    console = Console(width=200, file=io.StringIO())
    with console.capture() as capture:
        console.print(model_tables(info))
    return capture.get()


def constant(name: str, *shape: int) -> Any:
    return numpy_helper.from_array(np.ones(shape, np.float32), name)


def onnx_model(nodes: list[Any], constants: list[Any], shape: list[Any], functions: list[Any] | None = None) -> bytes:
    ends = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "main", ends, outputs, constants)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, functions=functions or []).SerializeToString()


@pytest.mark.parametrize(("kind", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
@pytest.mark.parametrize("directions", [1, 2])
def test_recurrent_layers_of_an_onnx_count_every_step(look: Any, kind: str, gates: int, directions: int) -> None:
    """Of each step and direction: gates x units x (features + units), as torch.nn.LSTM and its relatives compute."""
    rows = gates * UNITS
    weights = constant("w", directions, rows, FEATURES), constant("r", directions, rows, UNITS)
    bias = constant("b", directions, 2 * rows)
    direction = "bidirectional" if directions == 2 else "forward"
    node = helper.make_node(kind, ["x", "w", "r", "b"], ["y"], hidden_size=UNITS, direction=direction)
    info = look(onnx_model([node], [*weights, bias], [STEPS, BATCH, FEATURES]), "m.onnx")
    assert info.macs == STEPS * BATCH * directions * rows * (FEATURES + UNITS)
    assert info.parameters == directions * rows * (FEATURES + UNITS + 2)
    assert not info.is_lower_bound and "at least" not in shown(info)


def tflite_model(
    code: int,
    shapes: list[tuple[int, ...] | None],
    data: tuple[int, ...],
    output: tuple[int, ...],
    states: tuple[int, ...] = (),
    signature: list[int] | None = None,
) -> bytes:
    """One operator with constants of these shapes behind its input; None: left out; `states` are variables."""
    tensors = [schema.TensorT(list(data), 0, 0, b"x", shapeSignature=signature, hasRank=True)]
    tensors.append(schema.TensorT(list(output), 0, 0, b"y", shapeSignature=signature, hasRank=True))
    buffers, inputs = [schema.BufferT()], [0]
    for position, shape in enumerate(shapes, 1):
        if shape is None:
            inputs.append(-1)
            continue
        stored = 0
        if position not in states:
            buffers.append(schema.BufferT(data=np.ones(shape, np.float32).tobytes()))
            stored = len(buffers) - 1
        tensors.append(
            schema.TensorT(list(shape), 0, stored, f"c{position}".encode(), isVariable=not stored, hasRank=True)
        )
        inputs.append(len(tensors) - 1)
    model = schema.ModelT(
        version=3,
        operatorCodes=[schema.OperatorCodeT(min(code, 127), builtinCode=code)],
        subgraphs=[schema.SubGraphT(tensors, [0], [1], [schema.OperatorT(0, inputs, [1])], b"main")],
        buffers=buffers,
    )
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


INPUT, RECURRENT, VECTOR = (UNITS, FEATURES), (UNITS, UNITS), (UNITS,)


@pytest.mark.parametrize("forget_is_input", [False, True])
def test_an_lstm_of_a_tflite_counts_every_gate_that_it_has(look: Any, forget_is_input: bool) -> None:
    """Inputs in the order of https://github.com/google-ai-edge/LiteRT, lstm_shared.h; states are no parameters."""
    gates = 3 if forget_is_input else 4
    none = [None] * (4 - gates)
    shapes = [*none, *[INPUT] * gates, *none, *[RECURRENT] * gates, None, None, None, *none, *[VECTOR] * gates]
    states = (18, 19)
    shapes += [(3, UNITS), None, (BATCH, 3), (BATCH, UNITS)]  # a projection to 3; then the states
    data = tflite_model(Codes.UNIDIRECTIONAL_SEQUENCE_LSTM, shapes, (BATCH, STEPS, FEATURES), (BATCH, STEPS, 3), states)
    info = look(data, "m.tflite")
    matrices = gates * UNITS * (FEATURES + UNITS) + 3 * UNITS
    assert info.macs == BATCH * STEPS * matrices
    assert info.parameters == matrices + gates * UNITS
    assert not info.is_lower_bound


def test_an_svdf_and_an_rnn_of_a_tflite(look: Any) -> None:
    svdf = tflite_model(Codes.SVDF, [(8, FEATURES), (8, 10), VECTOR, (BATCH, 80)], (BATCH, FEATURES), (BATCH, 8), (4,))
    assert look(svdf, "m.tflite").macs == BATCH * 8 * (FEATURES + 10)
    shapes = [INPUT, RECURRENT, VECTOR, (BATCH, UNITS)]
    rnn = tflite_model(Codes.UNIDIRECTIONAL_SEQUENCE_RNN, shapes, (BATCH, STEPS, FEATURES), (BATCH, STEPS, UNITS), (4,))
    assert look(rnn, "m.tflite").macs == BATCH * STEPS * UNITS * (FEATURES + UNITS)


def loop() -> Any:
    inner = [helper.make_node("Identity", ["on"], ["on_"]), helper.make_node("MatMul", ["x", "w"], ["z"])]
    info = helper.make_tensor_value_info
    ends = [info("i", TensorProto.INT64, []), info("on", TensorProto.BOOL, [])]
    outs = [info("on_", TensorProto.BOOL, []), info("z", TensorProto.FLOAT, None)]
    body = helper.make_graph(inner, "body", ends, outs, [constant("w", 8, 8)])
    return helper.make_node("Loop", ["n", ""], ["y"], body=body)


def test_what_is_inside_a_loop_makes_the_figures_lower_bounds(look: Any) -> None:
    count = numpy_helper.from_array(np.array(3, np.int64), "n")
    info = look(onnx_model([loop()], [count], [1, 8]), "m.onnx")
    assert info.uncounted == {"Loop": 1} and info.is_lower_bound
    assert info.to_json()["is_lower_bound"] is True
    assert any("lower bounds: those inside 1 Loop are not counted" in warning for warning in info.warnings)
    assert "at least 0.00 M MACs, at least 0 parameters" in shown(info)
    assert ModelInfo.from_json(info.to_json()) == info


@pytest.mark.parametrize(("domain", "kind"), [("", "Einsum"), ("com.microsoft", "MatMulNBits"), ("own", "Wild")])
def test_operators_that_may_multiply_make_the_figures_lower_bounds(look: Any, domain: str, kind: str) -> None:
    equation = {"equation": "ij,jk->ik"} if kind == "Einsum" else {}
    node = helper.make_node(kind, ["x", "w"], ["y"], domain=domain, **equation)
    assert look(onnx_model([node], [constant("w", 8, 8)], [1, 8]), "m.onnx").is_lower_bound


def test_operators_that_multiply_nothing_leave_them_exact(look: Any) -> None:
    nodes = [helper.make_node("Gelu", ["x"], ["a"], domain="com.microsoft"), helper.make_node("Relu", ["a"], ["y"])]
    assert not look(onnx_model(nodes, [], [1, 8]), "m.onnx").is_lower_bound


def test_a_local_function_counts_as_what_it_holds(look: Any) -> None:
    body = [helper.make_node("MatMul", ["a", "b"], ["c"])]
    function = helper.make_function("own", "F", ["a", "b"], ["c"], body, [helper.make_opsetid("", 17)])
    nodes = [
        helper.make_node("F", ["x", "w"], ["m"], domain="own"),
        helper.make_node("F", ["m", "w"], ["y"], domain="own"),
    ]
    info = look(onnx_model(nodes, [constant("w", 8, 8)], [3, 8], [function]), "m.onnx")
    assert (info.macs, info.parameters, info.histogram) == (2 * 3 * 64, 64, {"MatMul": 2})
    assert not info.is_lower_bound


def test_a_free_batch_is_shown_as_free_and_the_figures_say_their_own(look: Any) -> None:
    """A .tflite stores a size for each free dimension, here 25, which is only a placeholder."""
    shapes = [(UNITS, FEATURES), (UNITS,)]
    data = tflite_model(Codes.FULLY_CONNECTED, shapes, (25, FEATURES), (25, UNITS), signature=[-1, FEATURES])
    info = look(data, "m.tflite")
    (end,), (operator,) = info.inputs, info.operators
    assert (end.shape, end.counted_shape) == ((-1, FEATURES), (25, FEATURES))
    assert operator.inputs == ((-1, FEATURES),)
    assert info.macs == 25 * FEATURES * UNITS
    assert "M MACs for an input of 25x5" in shown(info)
    assert any(f"The figures are for [25, {FEATURES}]" in warning for warning in info.warnings)


@pytest.mark.parametrize("batch", ["N", -1])
def test_a_free_batch_of_an_onnx_counts_as_one(look: Any, batch: str | int) -> None:
    info = look(
        onnx_model([helper.make_node("MatMul", ["x", "w"], ["y"])], [constant("w", 8, 4)], [batch, 8]), "m.onnx"
    )
    assert info.inputs[0].shape[0] in ("N", "?") and info.inputs[0].counted_shape == (1, 8)
    assert info.macs == 32 and "for an input of 1x8" in shown(info)
