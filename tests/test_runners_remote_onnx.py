"""ONNX Runtime under a board's own Python: the same numbers and outputs as in this process, and clear failures."""

from __future__ import annotations

import argparse
import itertools
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas.devices.device import Device
from hwnas.errors import HwnasError
from hwnas.runners import remote, remote_onnx_script, timing
from hwnas.runners.remote_onnx import LIMITS, SCRIPT, RemoteOnnxRunner
from hwnas.runtimes.onnx_runtime import OnnxRuntime, _options
from hwnas.transports.base import DeviceError, DeviceTimeout, Transport
from hwnas.transports.local import Local
from hwnas.transports.ssh import Ssh
from tests.small_models import IMAGE_SHAPE, classifier_net, example_output, feature_net, model_bytes

onnxruntime = pytest.importorskip("onnxruntime")

MODEL = model_bytes(feature_net(), ".onnx")
RUNS = 9
LIMITED = {"warmup_runs": 1, "warmup_ms": 0, "min_runs": RUNS, "max_runs": RUNS, "min_ms": 0, "max_ms": 60_000}


def target(**fields: Any) -> Device:
    return Device.model_validate({"name": "board", "python": sys.executable, **LIMITED, **fields})


@pytest.fixture
def local(tmp_path: Path) -> Transport:
    return Local(tmp_path / "device")


@pytest.fixture(params=["local", "ssh"])
def transport(request: pytest.FixtureRequest, local: Transport) -> Transport:
    """This machine, and the board on loopback."""
    if request.param == "ssh":
        board = request.getfixturevalue("board")
        return Ssh(board.host, folder=board.folder)
    return local


@pytest.mark.parametrize("net", [feature_net, classifier_net])
def test_outputs_are_those_of_this_machine(transport, net):
    x, expected = example_output(net())
    model = model_bytes(net(), ".onnx")
    with RemoteOnnxRunner(target(), transport) as runner, runner.load(model) as loaded:
        assert loaded.input_shape == IMAGE_SHAPE
        output = loaded.run(x.numpy())
    np.testing.assert_allclose(output, expected.numpy(), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(output, OnnxRuntime().load(model).run(x.numpy()), rtol=0, atol=1e-6)


def test_a_repetition_keeps_the_limits_of_the_device(transport):
    with RemoteOnnxRunner(target(), transport) as runner:
        with runner.load(MODEL) as loaded:
            for _ in range(2):
                made = loaded.time()
                assert len(made.runs_us) == RUNS and min(made.runs_us) > 0 and made.warmup_us > 0
        assert not [name for name in transport.run(["ls"]).output.split() if ".onnx" in name]


def test_it_says_what_measured(transport):
    """Under this interpreter the board's ONNX Runtime is the very one of this process."""
    with RemoteOnnxRunner(target(), transport) as runner:
        identity = runner.identity()
    assert identity["runtime"] == "onnxruntime"
    assert identity["runtime_version"] == OnnxRuntime().version()
    assert identity["library_sha256"] == OnnxRuntime().library_sha256()


def report(folder: Path, *options: str, model: bytes = MODEL) -> dict[str, Any]:
    """What the script reports by itself."""
    file = folder / "model.onnx"
    file.write_bytes(model)
    command = [sys.executable, str(SCRIPT), "--model", str(file), *options]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_the_report_has_every_key_of_hwbench(tmp_path):
    made = report(tmp_path, "--max-runs", "3", "--min-runs", "3", "--threads", "2", "--cores", "1")
    assert made["hwbench"] == 1 and made["end"] is True and made["backend"] == "onnxruntime"
    assert made["threads"] == 2 and made["cores"] == "1" and made["input_shape"] == list(IMAGE_SHAPE)
    assert made["output_shape"] == [1, 8, 10, 6] and len(made["runs_us"]) == 3
    assert 0 < made["first_us"] <= made["warmup_us"] and made["load_us"] > 0 and made["peak_rss_kb"] > 1000
    assert len(made["output_sha256"]) == 64


def test_without_an_input_it_times_what_this_machine_times(tmp_path):
    x = timing.fixed_input(IMAGE_SHAPE)
    x.tofile(tmp_path / "x")
    given_input = report(tmp_path, "--input", str(tmp_path / "x"))
    assert given_input["output_sha256"] == report(tmp_path)["output_sha256"]


def test_integer_and_nhwc_inputs_are_brought_into_the_files_form(local):
    x = np.random.default_rng(0).uniform(-150, 300, (1, 3, 4, 5)).astype(np.float32)
    with RemoteOnnxRunner(target(), local) as runner:
        for dtype, layout in itertools.product(("uint8", "int8"), ("NCHW", "NHWC")):
            model = shifting_model(dtype, layout)
            with runner.load(model) as loaded:
                assert loaded.input_shape == (1, 3, 4, 5)
                np.testing.assert_array_equal(loaded.run(x), OnnxRuntime().load(model).run(x), f"{dtype} {layout}")


def shifting_model(dtype: str, layout: str) -> bytes:
    """Casts its input to float32 and adds 1."""
    onnx = pytest.importorskip("onnx")
    helper, types = onnx.helper, onnx.TensorProto
    shape = (1, 3, 4, 5) if layout == "NCHW" else (1, 4, 5, 3)
    source = helper.make_tensor_value_info("x", getattr(types, dtype.upper()), shape)
    result = helper.make_tensor_value_info("y", types.FLOAT, shape)
    one = helper.make_tensor("one", types.FLOAT, [], [1.0])
    nodes = [helper.make_node("Cast", ["x"], ["f"], to=types.FLOAT), helper.make_node("Add", ["f", "one"], ["y"])]
    graph = helper.make_graph(nodes, "shift", [source], [result], [one])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"input_layout": layout})
    return model.SerializeToString()


def test_the_settings_are_those_of_the_local_runtime():
    def settings(options: Any) -> dict[str, Any]:
        names = [name for name in dir(options) if not name.startswith("_")]
        values = {name: getattr(options, name) for name in names}
        spinning = options.get_session_config_entry("session.intra_op.allow_spinning")
        return {name: value for name, value in values.items() if not callable(value)} | {"spinning": spinning}

    there = settings(remote_onnx_script.session_options(3))
    assert there == settings(_options(onnxruntime, 3))
    assert there["intra_op_num_threads"] == 3 and there["spinning"] == "0"


@given(st.lists(st.floats(1, 1e6), min_size=1, max_size=400))
def test_the_median_is_known_as_well_as_here(runs_us):
    here = timing.median_precision_percent(runs_us)
    there = remote_onnx_script.median_precision_percent(runs_us)
    assert there == here == math.inf or there == pytest.approx(here, rel=1e-9, abs=1e-9)


@given(
    durations=st.lists(st.integers(1, 10**6), min_size=1, max_size=50),
    warmup_runs=st.integers(1, 5),
    warmup_ms=st.floats(0, 5),
    min_runs=st.integers(1, 30),
    more_runs=st.integers(0, 100),
    min_ms=st.floats(0, 5),
    more_ms=st.floats(0.1, 20),
    precision_percent=st.floats(0.1, 50),
)
def test_a_repetition_stops_when_it_stops_here(
    durations, warmup_runs, warmup_ms, min_runs, more_runs, min_ms, more_ms, precision_percent
):
    """With a clock that only inferences move, both make the same runs."""
    limits = {
        "warmup_runs": warmup_runs,
        "warmup_ms": warmup_ms,
        "min_runs": min_runs,
        "max_runs": min_runs + more_runs,
        "min_ms": min_ms,
        "max_ms": min_ms + more_ms,
        "precision_percent": precision_percent,
    }
    assert limits.keys() == set(LIMITS)
    device = Device(name="board", **limits)

    def repetition(module: Any, time: Any) -> tuple[float, list[float]]:
        now_ns, calls = 0, 0

        def invoke() -> None:
            nonlocal now_ns, calls
            now_ns += durations[calls % len(durations)]
            calls += 1

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "perf_counter_ns", lambda: now_ns)
            return time(invoke)

    here = repetition(timing, lambda invoke: (timing._warm_up(invoke, device), timing._timed_runs_us(invoke, device)))
    there = repetition(
        remote_onnx_script, lambda invoke: remote_onnx_script.timed(invoke, argparse.Namespace(**limits))[1:]
    )
    assert here == there


def test_cores_are_kept_to():
    code = (
        "import os; from hwnas.runners.remote_onnx_script import pin; pin('1'); print(os.sched_getaffinity(0));"
        "pin(hex(1 << 900)[2:])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "{0}\n" and done.returncode == remote_onnx_script.FAILED_RUN
    assert "cannot run on the cores [900]" in done.stderr


@pytest.mark.parametrize("python", ["python-of-nowhere", "$(touch pwned); `touch pwned` & touch pwned"])
def test_no_python_is_told(transport, python):
    with pytest.raises(DeviceError, match="there is no") as caught:
        RemoteOnnxRunner(target(python=python), transport).__enter__()
    assert python in str(caught.value)
    assert "pwned" not in transport.run(["ls"]).output


def test_no_onnxruntime_is_told(local, tmp_path):
    """This interpreter without its packages: -I -S in a file that looks like a Python."""
    bare = tmp_path / "bare-python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    bare.chmod(0o755)
    with pytest.raises(DeviceError, match="pip install onnxruntime") as caught:
        RemoteOnnxRunner(target(python=str(bare)), local).__enter__()
    assert "No module named" in str(caught.value)


@pytest.mark.parametrize(
    ("script", "error", "said"),
    [
        ('echo \'{"hwbench": 1, "runs_us": [1.0\'', DeviceError, "not whole"),
        ("kill -s SEGV $$", DeviceError, "was ended by SIGSEGV"),
        ("echo 'SyntaxError: invalid syntax' >&2; exit 1", DeviceError, "Python 3.8 or newer"),
    ],
)
def test_a_python_that_fails_is_told(local, tmp_path, script, error, said):
    broken = tmp_path / "broken-python"
    broken.write_text(f"#!/bin/sh\n{script}\n")
    broken.chmod(0o755)
    with pytest.raises(error, match=said):
        RemoteOnnxRunner(target(python=str(broken)), local).__enter__()


def test_a_python_that_hangs_is_ended(local, tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "START_S", 1.0)
    stuck = tmp_path / "stuck-python"
    stuck.write_text("#!/bin/sh\nexec sleep 987\n")
    stuck.chmod(0o755)
    with pytest.raises(DeviceTimeout):
        RemoteOnnxRunner(target(python=str(stuck), max_ms=100, min_ms=0), local).__enter__()


def test_a_broken_model_is_refused_and_the_next_one_works(transport):
    with RemoteOnnxRunner(target(), transport) as runner:
        with pytest.raises(HwnasError, match="cannot load"):
            runner.load(MODEL[: len(MODEL) // 3])
        with runner.load(MODEL) as loaded:
            assert loaded.time().runs_us


def test_a_model_that_only_the_boards_runtime_refuses_is_told(local):
    """As if the board's ONNX Runtime were older: the file is damaged on its way."""
    with RemoteOnnxRunner(target(), local) as runner:
        runner.bring(b"no model at all", "bad.onnx")
        with pytest.raises(HwnasError, match=r"cannot load mine\.onnx"):
            runner.bench("bad.onnx", "mine.onnx", {})


def test_the_script_stands_alone():
    """It imports the standard library, numpy and onnxruntime, and Python 3.8 can read it."""
    import ast

    tree = ast.parse(SCRIPT.read_text(), feature_version=(3, 8))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    foreign = {name.split(".")[0] for name in names} - sys.stdlib_module_names
    assert foreign == {"numpy", "onnxruntime"}
