"""bench: any model file, measured as a campaign measures, with its conditions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hwnas.errors import HwnasError, UsageError
from hwnas.measure.bench import bench
from hwnas.measure.device import Device
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
    assert (data["runs"], [len(visit) for visit in data["runs_us"]]) == (18, [6, 6, 6])
    identity = data["conditions"]["identity"]
    assert (identity["runtime"], identity["threads"], identity["precision"]) == (expected, 2, None)


def test_bytes_are_recognised(tmp_path: Path) -> None:
    result = bench(model_bytes(feature_net(), ".tflite"), DEVICE)
    assert result.conditions.identity["runtime"] == "litert" and result.measurement.runs == 18


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
    with pytest.raises(HwnasError, match=r"litert crashed on .*model.tflite \(signal 11\)"):
        bench(model_bytes(feature_net(), ".tflite"), DEVICE)


def test_visits_that_disagree_are_made_again(tmp_path: Path) -> None:
    """With a limit that no real machine keeps, every extra visit is made; the best that agree are reported."""
    strict = DEVICE.model_copy(update={"drift_limit_percent": 1e-9, "visits": 2, "extra_visits": 2})
    result = bench(model_bytes(feature_net(), ".tflite"), strict)
    assert len(result.measurement.runs_us) == 2
    assert result.measurement.noisy


def test_a_reference_is_looked_at_before_each_visit(tmp_path: Path) -> None:
    model = model_bytes(feature_net(), ".tflite")
    result = bench(model, DEVICE, reference=model)
    assert 3 <= len(result.reference_us) <= 5  # visits that disagree are made again, and each has its look
    assert all(0.1 < us / (1000 * result.measurement.median_ms) < 10 for us in result.reference_us)  # the same model
    assert bench(model, DEVICE).reference_us == ()
