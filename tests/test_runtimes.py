"""What every Runtime must do: one suite, run on all that are installed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from hwnas.errors import HwnasError, UsageError
from hwnas.runtimes import RUNTIMES, Runtime, available_runtimes, get_runtime, installed_runtimes, runtime_for
from hwnas.runtimes.litert import TFLiteRuntime
from tests.small_models import IMAGE_SHAPE, classifier_net, example_output, feature_net, model_bytes


def installed(name: str) -> Runtime:
    if name not in installed_runtimes():
        pytest.skip(available_runtimes()[name])
    return get_runtime(name)


@pytest.fixture(params=list(RUNTIMES))
def runtime(request: pytest.FixtureRequest) -> Runtime:
    return installed(request.param)


@pytest.fixture
def model(runtime: Runtime) -> bytes:
    return model_bytes(feature_net(), runtime.suffix)


@pytest.mark.parametrize("net", [feature_net, classifier_net])
@pytest.mark.parametrize("threads", [1, 2])
def test_outputs_are_those_of_pytorch_in_nchw(runtime: Runtime, net, threads: int) -> None:
    x, expected = example_output(net())
    session = runtime.load(model_bytes(net(), runtime.suffix), threads)
    assert session.input_shape == IMAGE_SHAPE
    output = session.run(x.numpy())
    assert output.dtype == np.float32 and output.shape == tuple(expected.shape)
    np.testing.assert_allclose(output, expected.numpy(), rtol=0, atol=2e-6)


def test_loads_from_path_as_from_bytes(runtime: Runtime, model: bytes, tmp_path: Path) -> None:
    file = tmp_path / f"model{runtime.suffix}"
    file.write_bytes(model)
    x = example_output(feature_net())[0].numpy()
    np.testing.assert_array_equal(runtime.load(file).run(x), runtime.load(model).run(x))


def test_a_path_that_is_not_utf_8_is_loaded(model: bytes, runtime: Runtime, tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    folder.mkdir()
    path = folder / f"model{runtime.suffix}"
    path.write_bytes(model)
    x = example_output(feature_net())[0].numpy()
    np.testing.assert_array_equal(runtime.load(path).run(x), runtime.load(model).run(x))


def test_runs_follow_their_input_and_repeat_exactly(runtime: Runtime, model: bytes) -> None:
    session = runtime.load(model)
    x = example_output(feature_net())[0].numpy()
    first, other = session.run(x), session.run(-x)
    session.prepare(x)
    for _ in range(3):
        session.invoke()
    assert not np.array_equal(first, other)
    np.testing.assert_array_equal(session.run(x), first)


def test_accepts_arrays_of_any_memory_order(runtime: Runtime, model: bytes) -> None:
    session = runtime.load(model)
    x = example_output(feature_net())[0].numpy()
    expected = session.run(x).copy()
    np.testing.assert_array_equal(session.run(np.asfortranarray(x)), expected)


@pytest.mark.parametrize("x", [np.zeros((1, 20, 12, 3), np.float32), np.zeros(IMAGE_SHAPE, np.float64)])
def test_refuses_an_input_of_another_shape_or_type(runtime: Runtime, model: bytes, x: np.ndarray) -> None:
    with pytest.raises(UsageError, match=r"takes float32 \(1, 3, 20, 12\)"):
        runtime.load(model).run(x)


def test_starts_exactly_the_threads_it_was_given(runtime: Runtime, model: bytes) -> None:
    x = example_output(feature_net())[0].numpy()
    kept = [runtime.load(model)]  # the first session of a process may start a thread that serves all of them
    for threads in (1, 3):
        before = psutil.Process().num_threads()
        kept.append(runtime.load(model, threads))
        kept[-1].run(x)
        assert psutil.Process().num_threads() - before == threads - 1  # the calling thread works too


def test_refuses_less_than_one_thread(runtime: Runtime, model: bytes) -> None:
    with pytest.raises(UsageError, match="at least 1 thread, threads is 0"):
        runtime.load(model, threads=0)


def test_names_its_version_and_library(runtime: Runtime) -> None:
    assert runtime.version()[0].isdigit()
    assert available_runtimes()[runtime.name] == runtime.version()
    digest = runtime.library_sha256()
    # the library must be one that this process has mapped: that is what ran
    runtime.load(model_bytes(feature_net(), runtime.suffix))
    maps = Path("/proc/self/maps")
    if maps.exists():
        mapped = {line.split()[-1] for line in maps.read_text().splitlines() if ".so" in line}
        assert digest in {hashlib.sha256(Path(p).read_bytes()).hexdigest() for p in mapped if "site-packages" in p}


def broken_files(good: bytes, foreign: bytes) -> dict[str, bytes]:
    truncated = {f"cut to {n} of {len(good)} bytes": good[:n] for n in [*range(1, len(good), 211), len(good) - 1]}
    return {"empty": b"", "text": b"not a model, but a line of text\n", "foreign": foreign} | truncated


def test_refuses_broken_and_foreign_files(runtime: Runtime, model: bytes, tmp_path: Path) -> None:
    foreign = model_bytes(feature_net(), ".onnx" if runtime.suffix == ".tflite" else ".tflite")
    for what, data in broken_files(model, foreign).items():
        file = tmp_path / f"broken{runtime.suffix}"
        file.write_bytes(data)
        for given in (file, data):
            with pytest.raises(HwnasError) as raised:
                runtime.load(given)
            named = str(file) if given is file else f"{len(data)} bytes"
            assert named in str(raised.value), what
            assert "export" in str(raised.value) or "need the runtime" in str(raised.value), what


def test_refuses_missing_files_and_folders(runtime: Runtime, tmp_path: Path) -> None:
    with pytest.raises(HwnasError, match=r"no model file .*absent"):
        runtime.load(tmp_path / f"absent{runtime.suffix}")
    with pytest.raises(HwnasError, match="is a directory"):
        runtime.load(tmp_path)


def test_loading_and_running_print_nothing(runtime: Runtime, model: bytes, tmp_path: Path) -> None:
    """In a new process: what native code prints, it prints the first time."""
    file = tmp_path / f"model{runtime.suffix}"
    file.write_bytes(model)
    code = f"""
import sys
import numpy as np
from pathlib import Path
from hwnas.runtimes import get_runtime
print(get_runtime({runtime.name!r}).load(Path({str(file)!r})).run(np.zeros({IMAGE_SHAPE}, np.float32)).shape)
print("still heard", file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("(1, 8, 10, 6)\n", "still heard\n")


def test_unknown_names_and_suffixes_are_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="unknown runtime 'tensorrt'; known: litert, onnxruntime, tflite-runtime"):
        get_runtime("tensorrt")
    with pytest.raises(UsageError, match=r"'.pt'; known suffixes: .onnx, .tflite"):
        runtime_for(Path("model.pt"))


def test_default_runtime_of_a_model() -> None:
    assert runtime_for(Path("a.tflite")).name == runtime_for(model_bytes(feature_net(), ".tflite")).name == "litert"
    assert runtime_for(Path("A.ONNX")).name == runtime_for(model_bytes(feature_net(), ".onnx")).name == "onnxruntime"


def test_a_missing_package_is_named_with_the_cure() -> None:
    absent = TFLiteRuntime("absent", "no-such-distribution", "no_such_package", "install it with `pip install that`")
    with pytest.raises(HwnasError, match=r"needs the package no-such-distribution.*pip install that"):
        absent.version()


def test_tflite_runtime_refuses_numpy_2_before_it_crashes(monkeypatch: pytest.MonkeyPatch) -> None:
    installed("tflite-runtime")
    monkeypatch.setattr(np, "__version__", "2.1.0")
    assert "installed numpy 2.1.0; install numpy<2" in available_runtimes()["tflite-runtime"]
    assert "litert" in installed_runtimes() and "tflite-runtime" not in installed_runtimes()


def onnx_model(element_type: int, shape: list[int | str], inputs: int = 1) -> bytes:
    """``y = x (+ x2)`` with the given element type and shape."""
    onnx = pytest.importorskip("onnx")
    tensors = [onnx.helper.make_tensor_value_info(name, element_type, shape) for name in ("x", "x2", "y")]
    nodes = [onnx.helper.make_node("Add", ["x", "x2"[: 2 * inputs - 2] or "x"], ["y"])]
    graph = onnx.helper.make_graph(nodes, "graph", tensors[:inputs], tensors[2:])
    opset = [onnx.helper.make_opsetid("", 17)]
    return onnx.helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: onnx_model(1, [1, 4], inputs=2), "must have one input, .* has 2"),
        (lambda: onnx_model(7, [1, 4]), r"must be float32, .* is tensor\(int64\)"),
        (lambda: onnx_model(1, ["N", 3, "H", "W"]), "must have a fixed size, .*'H', 'W'"),
    ],
)
def test_onnx_models_that_cannot_be_measured(model, message: str) -> None:
    runtime = installed("onnxruntime")
    with pytest.raises(HwnasError, match=message):
        runtime.load(model())


def test_onnx_with_a_free_batch_size_runs_with_one() -> None:
    session = installed("onnxruntime").load(onnx_model(1, ["N", 2]))
    assert session.input_shape == (1, 2)
    np.testing.assert_array_equal(session.run(np.array([[1, 2]], np.float32)), [[2, 4]])


def changed_tflite(change) -> bytes:
    """The feature net after `change` did something to its flatbuffer's subgraph."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(model_bytes(feature_net(), ".tflite"))
    change(model.subgraphs[0], schema)
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def second_output(graph, schema) -> None:
    graph.outputs = [*graph.outputs, graph.operators[0].outputs[0]]


def free_image_size(graph, schema) -> None:
    graph.tensors[graph.inputs[0]].shapeSignature = [1, -1, -1, 3]


def int32_only(graph, schema) -> None:
    """Nothing but an int32 tensor that is input and output."""
    graph.operators, graph.outputs = [], graph.inputs
    graph.tensors[graph.inputs[0]].type = schema.TensorType.INT32


@pytest.mark.parametrize("name", ["litert", "tflite-runtime"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (second_output, "must have one output, .* has 2"),
        (free_image_size, r"must have a fixed size, .*\[1, -1, -1, 3\]"),
        (int32_only, "input of a model must be float32, .* is int32"),
    ],
)
def test_tflite_models_that_cannot_be_measured(name: str, change, message: str) -> None:
    runtime = installed(name)
    with pytest.raises(HwnasError, match=message):
        runtime.load(changed_tflite(change))


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_tflite_inputs_and_outputs_that_are_integers_are_spoken_to_in_float32(dtype: str) -> None:
    """A file of one operator: the output is the input, in other steps. value = scale * (stored - zero point)."""
    from ai_edge_litert import schema_py_generated as schema

    from hwnas.exporter.tflite.file import packed, unpacked

    file = unpacked(model_bytes(classifier_net(), ".tflite"))
    graph, zero_point = file.subgraphs[0], {"int8": -10, "uint8": 100}[dtype]
    for tensor, scale, offset in ((graph.tensors[0], 0.5, zero_point), (graph.tensors[1], 1.0, 0)):
        tensor.shape, tensor.type, tensor.buffer = [1, 4], getattr(schema.TensorType, dtype.upper()), 0
        tensor.quantization = schema.QuantizationParametersT(scale=[scale], zeroPoint=[offset])
        tensor.shapeSignature = None
    code = schema.BuiltinOperator.QUANTIZE
    file.operatorCodes = [schema.OperatorCodeT(code, version=2, builtinCode=code)]
    graph.tensors, graph.operators = graph.tensors[:2], [schema.OperatorT(0, [0], [1])]
    graph.inputs, graph.outputs, file.signatureDefs = [0], [1], []
    session = get_runtime("litert").load(packed(file))
    x = np.array([[0.0, 3.1, 20.2, 1e6]], np.float32)
    largest = np.iinfo(dtype).max
    expected = [0, 3, 20, min(largest, (largest - zero_point) * 0.5)]
    np.testing.assert_allclose(session.run(x)[0], expected, atol=0.5)


def test_onnx_inputs_that_are_integers_mean_themselves() -> None:
    onnx = pytest.importorskip("onnx")
    x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.UINT8, [1, 4])
    y = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.UINT8, [1, 4])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "graph", [x], [y])
    opset = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    output = get_runtime("onnxruntime").load(model).run(np.array([[0, 3.4, 254.6, 900]], np.float32))
    assert output.dtype == np.float32
    np.testing.assert_array_equal(output, [[0, 3, 255, 255]])
