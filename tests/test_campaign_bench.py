"""bench: any model file, measured as a campaign measures, with its conditions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import hwnas
from hwnas.campaign.bench import bench, bench_with, longest_s
from hwnas.campaign.conditions import current_conditions
from hwnas.devices.device import Device, load_device
from hwnas.errors import HwnasError, UsageError
from hwnas.runners.in_process import InProcessRunner
from hwnas.runtimes import available_runtimes, get_runtime, installed_runtimes
from tests.small_models import feature_net, model_bytes

DEVICE = Device(name="test", warmup_ms=0, min_ms=0, min_runs=6, max_runs=6, visits=3)


@pytest.mark.parametrize(
    ("suffix", "runtime", "expected"),
    [(".tflite", None, "litert"), (".onnx", None, "onnxruntime"), (".tflite", "tflite-runtime", "tflite-runtime")],
)
def test_a_file_is_measured_with_its_conditions(
    tmp_path: Path, suffix: str, runtime: str | None, expected: str
) -> None:
    if expected not in installed_runtimes():
        pytest.skip(available_runtimes()[expected])
    file = tmp_path / f"model{suffix}"
    file.write_bytes(model_bytes(feature_net(), suffix))
    result = bench(file, DEVICE, get_runtime(runtime) if runtime else None, threads=2)
    data = json.loads(json.dumps(result.to_json()))
    assert 0 < data["p5_ms"] <= data["median_ms"] <= data["p95_ms"]
    assert {len(repetition) for repetition in data["runs_us"]} == {6} and data["runs"] == 6 * len(data["runs_us"])
    assert 3 <= len(data["runs_us"]) <= 5  # those that do not agree are made again
    identity = data["conditions"]["identity"]
    assert (identity["runtime"], identity["threads"], identity["precision"]) == (expected, 2, None)


QUICK_FILE = """name = "quick"
warmup_ms = 0
min_ms = 0
min_runs = 6
max_runs = 6
visits = 1
extra_visits = 0
"""


def test_model_device_and_runtime_are_taken_by_name_by_path_and_as_objects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "devices").mkdir()
    file = tmp_path / "devices" / "quick.toml"
    file.write_text(QUICK_FILE)
    model = tmp_path / "model.tflite"
    model.write_bytes(model_bytes(feature_net(), ".tflite"))
    litert = get_runtime("litert")
    for named, runtime in (("quick", "litert"), (file, litert), (str(file), None), (load_device("quick"), litert)):
        found = hwnas.bench(str(model), named, runtime)
        told = found.conditions
        assert (told.circumstances["device"], told.identity["runtime"], found.measurement.runs) == (
            "quick",
            "litert",
            6,
        )
        assert current_conditions(named, runtime).identity == told.identity
        assert repr(found).startswith("Bench(") and repr(found.measurement).startswith("Measurement(")
        for shown in map(repr, (found, found.measurement, told, load_device(named))):
            assert len(shown) < 120 and "\n" not in shown
    space = hwnas.get_space("tiny", resolution=16, width=0.25)
    measured = hwnas.measure(space, "quick", litert, tmp_path / "tables", networks=3)
    assert "tables/quick/litert': " in repr(measured) and len(repr(measured.summary)) < 120
    assert measured.folder == tmp_path / "tables" / "quick" / "litert"
    assert hwnas.measure(space, file, "litert", tmp_path / "tables", networks=3).measured == 0
    for wrong in ("fast", "absent.toml"):
        with pytest.raises(HwnasError, match=wrong):
            hwnas.bench(model, wrong)
    with pytest.raises(UsageError, match=r"unknown runtime for quick \(local\) 'tensorrt'; known: .*litert"):
        hwnas.bench(model, "quick", "tensorrt")


def test_bytes_are_recognised_and_no_reference_is_timed_that_is_not_asked_for() -> None:
    result = bench(model_bytes(feature_net(), ".tflite"), DEVICE)
    assert result.conditions.identity["runtime"] == "litert" and result.measurement.runs >= 18
    assert result.reference_us == ()


def test_what_cannot_be_measured_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no runtime takes .*model.pt"):
        bench(tmp_path / "model.pt", DEVICE)
    with pytest.raises(HwnasError, match="no model file"):
        bench(tmp_path / "model.tflite", DEVICE)
    with pytest.raises(UsageError, match="threads is 0"):
        bench(model_bytes(feature_net(), ".tflite"), DEVICE, threads=0)


def test_a_file_that_crashes_the_runtime_is_named_and_nothing_else_dies(tmp_path: Path, monkeypatch) -> None:
    """The fresh process dies of a real signal; here it is told to, by the interpreter's own start-up hook."""
    (tmp_path / "sitecustomize.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(HwnasError, match=r"litert crashed on .*model.tflite \(signal 11, SIGSEGV\)"):
        bench(model_bytes(feature_net(), ".tflite"), DEVICE)


def test_a_bench_that_takes_too_long_is_stopped() -> None:
    with pytest.raises(HwnasError, match=r"litert did not finish with .*model.tflite within 0.01 s.*--timeout-s"):
        bench(model_bytes(feature_net(), ".tflite"), DEVICE, timeout_s=0.01)


def test_the_time_limit_allows_for_slow_models_and_careful_devices() -> None:
    """Three repetitions, each with a warm-up and runs of a second each, of which either may end in a slow run."""
    assert longest_s(DEVICE.model_copy(update={"extra_visits": 0})) == 3 * 2 * (1 + 10)
    assert longest_s(DEVICE, with_reference=True) == 2 * longest_s(DEVICE)


def test_a_model_that_loads_and_does_not_run_is_refused(tmp_path: Path) -> None:
    """A Gather beyond the end of its table, which only running it finds."""
    helper = pytest.importorskip("onnx.helper")
    constants = [helper.make_tensor("table", 1, [3], [1, 2, 3]), helper.make_tensor("far", 7, [], [99])]
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], keepdims=0),
        helper.make_node("Cast", ["mean"], ["zero"], to=7),
        helper.make_node("Add", ["zero", "far"], ["index"]),
        helper.make_node("Gather", ["table", "index"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info("x", 1, [1, 3, 20, 12]), helper.make_tensor_value_info("y", 1, [])]
    graph = helper.make_graph(nodes, "main", ends[:1], ends[1:], constants)
    file = tmp_path / "far.onnx"
    opsets = [helper.make_opsetid("", 17)]
    file.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())
    with pytest.raises(HwnasError, match=r"onnxruntime \S+ loads .*far.onnx and cannot run it: .*out of data bounds"):
        bench(file, DEVICE)


def test_weights_outside_the_folder_of_a_model_are_not_read(tmp_path: Path) -> None:
    from onnx import helper

    from tests.inspect_files import external_weight, onnx_file

    (tmp_path / "secret").write_bytes(bytes(12))
    file = tmp_path / "model" / "m.onnx"
    file.parent.mkdir()
    nodes = [helper.make_node("Add", ["x", "w"], ["y"])]
    file.write_bytes(onnx_file(nodes, [external_weight("../secret")]).SerializeToString())
    with pytest.raises(HwnasError, match=r"m.onnx cannot be measured: its weight w .* \.\./secret, outside its folder"):
        bench(file, DEVICE)


def test_repetitions_that_disagree_are_made_again(tmp_path: Path) -> None:
    """With a limit that no real machine keeps, every extra one is made; those not far from the rest are reported."""
    strict = DEVICE.model_copy(update={"drift_limit_percent": 1e-9, "visits": 2, "extra_visits": 2})
    result = bench(model_bytes(feature_net(), ".tflite"), strict)
    runs_us = result.measurement.runs_us
    assert 2 <= len(runs_us) <= 4
    medians_us = {float(np.median(runs)) for runs in runs_us}
    # the clock has steps: two short repetitions agree to the last digit now and then
    assert result.measurement.noisy == (len(medians_us) > 1)


def test_a_reference_is_timed_before_each_repetition(tmp_path: Path) -> None:
    model = model_bytes(feature_net(), ".tflite")
    result = bench(model, DEVICE, reference=model)
    assert 3 <= len(result.reference_us) <= 5  # repetitions that disagree are made again, each with a reference
    assert all(0.1 < us / (1000 * result.measurement.median_ms) < 10 for us in result.reference_us)  # the same model


def test_a_device_rests_before_each_repetition_as_in_a_campaign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rests: list[float] = []
    (tmp_path / "model.tflite").write_bytes(model_bytes(feature_net(), ".tflite"))
    monkeypatch.setattr("hwnas.campaign.bench.sleep", rests.append)
    resting = DEVICE.model_copy(update={"cool_down_s": 0.3, "extra_visits": 0})
    with InProcessRunner(resting, get_runtime("litert")) as runner:
        bench_with(runner, tmp_path / "model.tflite", resting)
    assert rests == [0.3] * resting.visits
    assert longest_s(resting) - longest_s(DEVICE.model_copy(update={"extra_visits": 0})) == pytest.approx(
        0.3 * resting.visits
    )


def test_the_wait_for_a_device_to_cool_down_is_no_part_of_a_hang():
    cool = Device(name="laptop", visits=2, extra_visits=1, max_wait_s=100)
    warm = cool.model_copy(update={"max_temperature_celsius": 60.0})
    assert longest_s(warm) == longest_s(cool) + 3 * 100
