"""The conformance suite of Runners: every runtime, on every kind of device that it is for, keeps the same promises."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from hwnas.campaign.conditions import conditions_of
from hwnas.devices.device import DEFAULT_RUNTIMES, Device
from hwnas.errors import HwnasError, UsageError
from hwnas.runners import (
    ALL_RUNTIMES,
    default_runtime,
    open_runner,
    resolve_runtime,
    runtime_names,
    runtime_suffix,
)
from hwnas.runners.base import Runner
from hwnas.runners.registry import PROGRAMS
from hwnas.runtimes import RUNTIMES, available_runtimes, installed_runtimes
from hwnas.transports.base import Health
from hwnas.transports.registry import TRANSPORTS
from tests.small_models import IMAGE_SHAPE, classifier_net, example_output, feature_net, model_bytes

RUNS = 7
LIMITS = {"warmup_runs": 1, "warmup_ms": 0, "min_runs": RUNS, "max_runs": RUNS, "min_ms": 0, "max_ms": 60_000}

GOOGLES = ("benchmark-model", "benchmark-model-gpu", "benchmark-model-none")
WITHOUT = dict.fromkeys(GOOGLES, "test_runners_benchmark_model.py")
"""Google's program cannot be had here; that file has one that prints alike."""

CASES = [
    pytest.param((transport, name), id=f"{name}-{transport}")
    for transport in TRANSPORTS
    for name in runtime_names(transport)
    if name not in WITHOUT
]


MACHINES = {"adb": "_phone", "ssh": "_board"}
"""The fixtures of the emulated phone and of the board on loopback, which last as long as these tests."""


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> Iterator[tuple[Device, str]]:
    """A device (this machine, a phone, a board) and a runtime on it."""
    transport, name = request.param
    if transport == "local":
        if name in RUNTIMES and name not in installed_runtimes():
            pytest.skip(available_runtimes()[name])
        yield Device.model_validate({"name": "test"} | LIMITS), name
        return
    machine = request.getfixturevalue(MACHINES[transport])
    machine.reset()
    field = TRANSPORTS[transport].address_field
    # the board has the programs of this machine, so its Python is this one
    place = {field: getattr(machine, field), "python": sys.executable}
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in machine.environment.items():
            patch.setenv(variable, value)
        yield Device.model_validate({"name": "test", "transport": transport} | place | LIMITS), name
        assert not machine.processes()


@pytest.fixture(scope="module")
def runner(case: tuple[Device, str]) -> Iterator[Runner]:
    with open_runner(*case) as opened:
        yield opened


def test_every_registered_runtime_is_tried_on_every_kind_of_device_that_can_have_it() -> None:
    assert MACHINES.keys() | {"local"} == TRANSPORTS.keys(), "a kind of device has no machine here"
    tried = {case.values[0] for case in CASES}
    missing = {(transport, name) for transport in TRANSPORTS for name in runtime_names(transport)} - tried
    assert {name for _, name in missing} == WITHOUT.keys()
    assert all((Path(__file__).parent / file).is_file() for file in WITHOUT.values())
    assert {name for transport in TRANSPORTS for name in runtime_names(transport)} == set(ALL_RUNTIMES)
    assert all(kind.runtime == name for name, kind in PROGRAMS.items())
    assert all(runtime.name == name for name, runtime in RUNTIMES.items())
    assert all(DEFAULT_RUNTIMES[transport] in runtime_names(transport) for transport in TRANSPORTS)


def test_help_and_the_manual_name_every_registered_runtime() -> None:
    from typer.testing import CliRunner

    from hwnas.cli.app import app

    manual = (Path(__file__).parent.parent / "docs" / "measuring.md").read_text()
    table = manual.partition("| `--runtime` |")[2].partition("\n\n")[0]
    for verb in ("measure", "bench", "search", "design"):
        told = " ".join(CliRunner().invoke(app, [verb, "--help"]).output.replace("│", " ").split())
        for name in ALL_RUNTIMES:
            assert name in told.partition("--runtime")[2].partition(" --")[0], (verb, name)
            assert f"`{name}`" in table, name


def test_it_says_what_it_is(runner: Runner, case: tuple[Device, str]) -> None:
    device, name = case
    assert (runner.runtime, runner.suffix) == (name, runtime_suffix(name))
    identity = runner.identity()
    needed = {"system", "architecture", "cpu", "core_count", "runtime", "runtime_version", "library_sha256"}
    assert needed <= identity.keys() and identity["runtime"] == name
    assert identity["system"] and identity["architecture"] and identity["runtime_version"]
    assert len(identity["library_sha256"]) == 64
    assert runner.identity() == identity == json.loads(json.dumps(identity))
    conditions = conditions_of(runner, device, "float32")
    assert conditions.identity["threads"] == 1 and conditions.identity["batch"] == 1
    assert json.loads(json.dumps(conditions.to_json())) == conditions.to_json()
    assert {each.name for each in fields(Health)} <= conditions.circumstances.keys()


def test_it_says_how_the_device_is(runner: Runner) -> None:
    health = runner.health()
    assert isinstance(health, Health)
    assert health.load_average is None or health.load_average >= 0
    assert health.uptime_s is None or health.uptime_s > 0


@pytest.mark.parametrize("net", [feature_net, classifier_net])
def test_outputs_are_those_of_pytorch(runner: Runner, net) -> None:
    x, expected = example_output(net())
    with runner.load(model_bytes(net(), runner.suffix)) as model:
        assert model.input_shape == IMAGE_SHAPE
        output = model.run(x.numpy())
        assert output.shape == tuple(expected.shape)
        np.testing.assert_allclose(output, expected.numpy(), rtol=1e-5, atol=1e-5)


def test_a_repetition_keeps_the_limits_of_the_device(runner: Runner) -> None:
    with runner.load(model_bytes(feature_net(), runner.suffix)) as model:
        for _ in range(2):  # as the reference is: timed again and again
            timing = model.time()
            assert len(timing.runs_us) == RUNS and min(timing.runs_us) > 0 and timing.warmup_us > 0


def test_several_models_can_be_there_at_once_and_files_are_taken_too(runner: Runner, tmp_path: Path) -> None:
    file = tmp_path / f"a model; $(touch x)'{runner.suffix}"
    file.write_bytes(model_bytes(feature_net(), runner.suffix))
    with runner.load(file) as one, runner.load(model_bytes(classifier_net(), runner.suffix)) as other:
        assert one.time().runs_us and other.time().runs_us and one.time().runs_us
    with runner.load(file) as again:
        assert again.time().runs_us


def test_a_broken_model_is_refused_and_the_next_one_works(runner: Runner) -> None:
    whole = model_bytes(feature_net(), runner.suffix)
    for broken in (whole[: len(whole) // 3], b"no model at all"):
        with pytest.raises(HwnasError) as caught, runner.load(broken) as model:
            model.time()
        assert len(str(caught.value)) > 40
    with runner.load(whole) as model:
        assert model.time().runs_us


def test_reconnecting_without_a_loss_changes_nothing(runner: Runner) -> None:
    runner.reconnect()
    with runner.load(model_bytes(feature_net(), runner.suffix)) as model:
        runner.reconnect()
        assert model.time().runs_us


@pytest.mark.parametrize("name", ["litert", "native"])
def test_a_model_of_another_batch_size_is_refused(name: str) -> None:
    device = Device.model_validate({"name": "test", "batch": 4} | LIMITS)
    with open_runner(device, name) as runner:
        model = model_bytes(feature_net(), runner.suffix)
        with pytest.raises(HwnasError, match="batch"), runner.load(model) as loaded:
            loaded.time()


def test_names_of_runtimes() -> None:
    assert ALL_RUNTIMES[: len(RUNTIMES)] == tuple(RUNTIMES) and len(set(ALL_RUNTIMES)) == len(ALL_RUNTIMES)
    assert runtime_names("adb")[0] == "native" and "onnxruntime" in runtime_names("ssh")
    assert not RUNTIMES.keys() & set(runtime_names("adb"))
    with (
        pytest.raises(UsageError, match=r"unknown runtime for test \(local\) 'tensorrt'; known: .*litert"),
        open_runner(Device(name="test"), "tensorrt"),
    ):
        pass
    with (
        pytest.raises(UsageError, match=rf"'litert'; known: {', '.join(GOOGLES)}, native"),
        open_runner(Device(name="phone", transport="adb", serial="x"), "litert"),
    ):
        pass


def test_the_runtime_that_takes_a_model() -> None:
    here, phone = Device(name="here"), Device(name="phone", transport="adb")
    tflite, onnx = model_bytes(feature_net(), ".tflite"), model_bytes(feature_net(), ".onnx")
    assert default_runtime(here, tflite) == default_runtime(here, Path("M.TFLITE")) == "litert"
    assert default_runtime(here, onnx) == "onnxruntime"
    assert default_runtime(here.model_copy(update={"runtime": "native"}), tflite) == "native"
    assert default_runtime(here.model_copy(update={"runtime": "native"}), onnx) == "onnxruntime"
    assert default_runtime(phone, tflite) == "native"
    assert default_runtime(Device(name="board", transport="ssh"), onnx) == "onnxruntime"
    with pytest.raises(UsageError, match=r"no runtime takes m.onnx on phone: .* known suffixes: .tflite"):
        default_runtime(phone, Path("m.onnx"))


def test_a_runtime_is_found_by_its_name_as_an_object_and_as_the_devices_own() -> None:
    here, phone = Device(name="here"), Device(name="phone", transport="adb", runtime="benchmark-model")
    assert resolve_runtime(here) == resolve_runtime(here, "litert") == resolve_runtime(here, RUNTIMES["litert"])
    assert resolve_runtime(here, RUNTIMES["onnxruntime"]) == "onnxruntime"
    assert resolve_runtime(phone) == "benchmark-model"
    known = ", ".join(GOOGLES)
    with pytest.raises(UsageError, match=rf"unknown runtime for phone \(adb\) 'litert'; known: {known}, native"):
        resolve_runtime(phone, RUNTIMES["litert"])
    with pytest.raises(UsageError, match=f"unknown runtime 'tensorrt'; known: {known}, litert, native"):
        runtime_suffix("tensorrt")
