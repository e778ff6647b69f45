"""Google's benchmark_model as a runner: what it is asked for, what is believed of its answers, and how it fails.

The program itself cannot be had here; `tests/benchmark_model_stand_in.sh` takes its flags and prints what its builds
print. The transports are real.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas.campaign.bench import bench_with
from hwnas.cli.benching import bench
from hwnas.devices.device import Device
from hwnas.errors import HwnasError, UsageError
from hwnas.latency.fitting.held_out import measured_on
from hwnas.latency.measuring.table_campaign import TableCampaign
from hwnas.latency.tables.table import LatencyTable
from hwnas.native.abi import elf_kind
from hwnas.runners import remote
from hwnas.runners.benchmark_model import BenchmarkModel, BenchmarkModelRunner, flags_of, supported
from hwnas.runners.registry import PROGRAMS
from hwnas.runtimes.files import file_sha256
from hwnas.spaces import get_space
from hwnas.transports.adb import Adb
from hwnas.transports.base import DeviceLost, DeviceTimeout, Transport
from hwnas.transports.local import Local
from hwnas.transports.ssh import Ssh
from tests.android.machine import wait_until
from tests.small_models import IMAGE_SHAPE, classifier_net, feature_net, model_bytes

STAND_IN = Path(__file__).parent / "benchmark_model_stand_in.sh"
MODEL = model_bytes(feature_net(), ".tflite")
TIME_US = 10 * len(MODEL)
"""What the stand-in says that one thread takes."""


def program(folder: Path, build: str) -> Path:
    """The stand-in, printing what one build of benchmark_model prints."""
    path = folder / f"benchmark_model_{build}"
    path.write_text(STAND_IN.read_text().replace("build=new", f"build={build}"))
    return path


def target(folder: Path, build: str = "new", **fields: Any) -> Device:
    return Device.model_validate({"name": "test", "benchmark_model": str(program(folder, build)), **fields})


@pytest.fixture
def local(tmp_path: Path) -> Transport:
    return Local(tmp_path / "device")


@pytest.fixture(params=["local", "adb", "ssh"])
def transport(request: pytest.FixtureRequest, local: Transport) -> Transport:
    """This machine, the emulated phone with Android's own tools, and the board on loopback."""
    if request.param == "adb":
        return Adb(request.getfixturevalue("phone").serial)
    if request.param == "ssh":
        board = request.getfixturevalue("board")
        return Ssh(board.host, folder=board.folder)
    return local


@contextmanager
def loaded(device: Device, transport: Transport, model: bytes | Path = MODEL) -> Iterator[BenchmarkModel]:
    with BenchmarkModelRunner(device, transport) as runner, runner.load(model) as there:
        yield there


def test_a_repetition_is_one_launch_and_gives_one_number(transport, tmp_path):
    with loaded(target(tmp_path), transport) as model:
        assert model.input_shape == IMAGE_SHAPE
        timing = model.time()
        made = model.launch()
    assert timing.runs_us == [TIME_US]
    assert timing.inference_s * 1e6 == pytest.approx(4 * (TIME_US * 5 // 4) + TIME_US + 49 * (TIME_US + 1))
    assert (made.runs.count, made.runs.p5_us, made.runs.p95_us) == (50, TIME_US - 1, TIME_US + 3)


def test_gnu_tools_do_as_well_as_androids(android, tmp_path):
    with loaded(target(tmp_path, cores=[0]), Adb(android.serial)) as model:
        assert model.time().runs_us == [TIME_US]


def test_a_lost_phone_is_told_and_measured_again(phone, tmp_path):
    """adbd dies while the program runs; what is left of it is ended before anything is measured again."""
    hanging = BenchmarkModelRunner(target(tmp_path, "hang"), Adb(phone.serial))
    with hanging as runner, runner.load(MODEL) as model, ThreadPoolExecutor(1) as pool:
        repetition = pool.submit(model.time)
        wait_until(lambda: "sleep 1000" in phone.processes(), "the program runs")
        phone.kill()
        with pytest.raises(DeviceLost):
            repetition.result()
        phone.start()
        runner.reconnect()
        assert "sleep 1000" not in phone.processes()
    with loaded(target(tmp_path), Adb(phone.serial)) as model:
        assert model.time().runs_us == [TIME_US]


def test_it_runs_on_the_cores_and_as_long_as_the_device_says(transport, tmp_path):
    device = target(tmp_path, threads=2, cores=[0, 1], min_runs=33, warmup_ms=250, max_ms=1500)
    with BenchmarkModelRunner(device, transport) as runner:
        name = runner.bring_model(MODEL)
        text = runner.launch(name, "the model")
        runner.remove(name)
    assert "current affinity mask: 3" in text
    assert "Min num runs: [33]" in text and "Num threads: [2]" in text
    assert "Warmup seconds: [0.25], seconds: [0.05] to [1.5]" in text


def test_models_are_removed_and_the_program_stays(transport, tmp_path):
    device = target(tmp_path)
    with BenchmarkModelRunner(device, transport) as runner:
        with runner.load(MODEL) as one, runner.load(MODEL) as same:
            one.time(), same.time()
        with runner.load(model_bytes(classifier_net(), ".tflite")) as other:
            other.time()
        left = transport.run(["ls"]).output.split()
    assert [name for name in left if name.endswith(".tflite")] == []
    assert f"benchmark_model-{file_sha256(Path(device.benchmark_model))[:16]}" in left


def test_a_model_is_timed_again_after_the_connection_was_taken_up_again(local, tmp_path):
    with BenchmarkModelRunner(target(tmp_path), local) as runner:
        runner.reconnect()
        with runner.load(MODEL) as model:
            assert model.time().runs_us == [TIME_US]


def test_it_says_what_measured(local, tmp_path):
    device = target(tmp_path, delegate="gpu")
    with BenchmarkModelRunner(device, local) as runner:
        identity, circumstances = runner.identity(), runner.circumstances()
    sha256 = file_sha256(Path(device.benchmark_model))
    assert identity["library_sha256"] == sha256 and sha256[:12] in identity["runtime_version"]
    assert identity["runtime"] == "benchmark-model" and identity["delegate"] == "gpu"
    assert circumstances["program"] == "no ELF program"


def test_a_measurement_knows_what_launches_differ_by(local, tmp_path):
    """The stand-in says the same each time, so there is no spread: what runs within a launch do is not taken for it."""
    file = tmp_path / "model.tflite"
    file.write_bytes(MODEL)
    device = target(tmp_path, visits=3)
    with BenchmarkModelRunner(device, local) as runner:
        measurement = bench_with(runner, file, device).measurement
    assert measurement.runs == 3 and measurement.runs_us == ((TIME_US,),) * 3
    assert measurement.median_ms == TIME_US / 1000 and measurement.spread_percent == 0


@pytest.mark.parametrize(
    ("build", "delegate", "expected_us"), [("old", "none", TIME_US + 1), ("plain", "xnnpack", TIME_US + 1)]
)
def test_old_builds_give_their_mean(local, tmp_path, build, delegate, expected_us):
    with loaded(target(tmp_path, build, delegate=delegate), local) as model:
        assert model.time().runs_us == [expected_us]


@pytest.mark.parametrize("delegate", ["xnnpack", "none", "gpu"])
def test_one_delegate_is_on_and_all_others_are_off(tmp_path, delegate):
    flags = flags_of(target(tmp_path, delegate=delegate), "model.tflite")
    on = {name for name in ("use_xnnpack", "use_gpu", "use_nnapi") if flags[name] == "true"}
    off = {name for name in ("use_xnnpack", "use_gpu", "use_nnapi") if flags[name] == "false"}
    assert on == ({f"use_{delegate}"} - {"use_none"}) and len(on | off) == 3


def test_a_gpu_that_took_nothing_gives_no_number(local, tmp_path):
    with loaded(target(tmp_path, delegate="gpu"), local) as model:
        assert [applied.took for applied in model.launch().delegates] == ["all"]
    with (
        loaded(target(tmp_path, "fallback", delegate="gpu"), local) as model,
        pytest.raises(HwnasError, match="the GPU took no part"),
    ):
        model.time()


def test_what_a_gpu_leaves_to_the_cpu_is_said_once_and_a_circumstance_of_the_number(transport, tmp_path, caplog):
    file = tmp_path / "model.tflite"
    file.write_bytes(MODEL)
    device = target(tmp_path, "partly", delegate="gpu")
    with BenchmarkModelRunner(device, transport) as runner:
        assert "left_to_cpu" not in runner.circumstances()
        made = bench_with(runner, file, device)
    assert made.measurement.median_ms == TIME_US / 1000
    (note,) = caplog.messages
    assert note.endswith(r"the GPU leaves 2 of 12 operators (UNPACK: \x1b[31m[/red]) to the CPU")
    assert made.conditions.circumstances["left_to_cpu"] == ["UNPACK: \x1b[31m[/red]"]


@pytest.mark.parametrize(("runtime", "on"), [("benchmark-model-gpu", ["use_gpu"]), ("benchmark-model-none", [])])
def test_a_delegate_is_a_runtime_of_its_own_whatever_the_device_file_says(local, tmp_path, runtime, on):
    device = target(tmp_path, delegate="xnnpack")
    with PROGRAMS[runtime](device, local) as runner:
        assert (runner.runtime, runner.identity()["delegate"]) == (runtime, runtime.removeprefix("benchmark-model-"))
        flags = flags_of(runner.device, "model.tflite")
    assert [name for name, value in flags.items() if name.startswith("use_") and value == "true"] == on


def test_a_table_of_the_gpu_stands_beside_that_of_the_cpu_and_names_what_the_gpu_left(tmp_path):
    device = target(tmp_path, "partly", visits=1, drift_limit_percent=1e6)
    space = get_space("tiny", 8, width=0.125)
    blocks = space.distinct_blocks()[:2]
    for runtime in ("benchmark-model", "benchmark-model-gpu"):
        with TableCampaign.begin(device, runtime, tmp_path / "tables") as campaign:
            campaign.measure(blocks, [])
        assert campaign.result.folder == tmp_path / "tables" / "test" / runtime
    of_gpu = LatencyTable.load(tmp_path / "tables" / "test" / "benchmark-model-gpu")
    assert of_gpu.conditions["circumstances"]["left_to_cpu"] == ["UNPACK: \x1b[31m[/red]"]
    assert measured_on(of_gpu.conditions)["left_to_cpu"] == of_gpu.conditions["circumstances"]["left_to_cpu"]
    with TableCampaign.begin(device, "benchmark-model-gpu", tmp_path / "tables") as campaign:
        campaign.measure(blocks, [])  # nothing is measured again, and nothing forgotten
    again = LatencyTable.load(tmp_path / "tables" / "test" / "benchmark-model-gpu")
    assert again.conditions["circumstances"]["left_to_cpu"] == of_gpu.conditions["circumstances"]["left_to_cpu"]
    of_cpu = LatencyTable.load(tmp_path / "tables" / "test" / "benchmark-model")
    assert "left_to_cpu" not in of_cpu.conditions["circumstances"]
    assert "left_to_cpu" not in measured_on(of_cpu.conditions)


def test_xnnpack_must_not_compute_where_it_is_not_asked_for(local, tmp_path):
    device = target(tmp_path, "always_xnnpack", delegate="none")
    with loaded(device, local) as model, pytest.raises(HwnasError, match="uses XNNPACK all the same"):
        model.time()


def test_a_build_without_the_delegate_says_so(local, tmp_path):
    device = target(tmp_path, "old", delegate="gpu")
    with loaded(device, local) as model, pytest.raises(HwnasError, match="no --use_gpu"):
        model.time()


def test_flags_that_a_build_lacks_are_left_out():
    assert supported({"graph": "m", "max_secs": "1", "use_gpu": "false"}, frozenset({"graph"})) == ["--graph=m"]


def test_operators_are_profiled_in_a_launch_of_their_own(transport, tmp_path):
    with loaded(target(tmp_path), transport) as model:
        made = model.profile()
    (operator,) = made.operators
    assert operator.type == "Convolution (NHWC, F32) GEMM" and operator.times_called == 2
    assert made.operators_ms == pytest.approx(TIME_US // 2000 * 2)
    assert made.inference_ms == made.profiled_ms == (TIME_US + 1) / 1000 and made.profiling_percent == 0


def test_people_see_the_operators(tmp_path, capsys):
    device = tmp_path / "phone.toml"
    device.write_text(f'name = "phone"\nbenchmark_model = "{program(tmp_path, "new")}"\n')
    model = tmp_path / "model.tflite"
    model.write_bytes(MODEL)

    bench(model, device=str(device), operators=True)
    assert "GEMM" in (shown := capsys.readouterr().err) and "ms per inference" in shown
    bench(model, device=str(device), operators=True, as_json=True)
    assert [row["times_called"] for row in json.loads(capsys.readouterr().out)["operators"]] == [2]
    with pytest.raises(UsageError, match="benchmark-model"):
        bench(model, device=str(device), operators=True, runtime="litert")


def test_a_build_without_profiling_says_so(local, tmp_path):
    device = target(tmp_path, "plain")
    with loaded(device, local) as model, pytest.raises(HwnasError, match="no --enable_op_profiling"):
        model.profile()


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        ("crash", "was ended by SIGSEGV"),
        ("half", "ended too early"),
        ("damaged", "Didn't find op for builtin opcode 'GELU'"),
    ],
)
def test_a_failure_names_the_model_and_the_cause(transport, tmp_path, build, reason):
    file = tmp_path / "my model.tflite"
    file.write_bytes(MODEL)
    device = target(tmp_path, build)
    with loaded(device, transport, file) as model, pytest.raises(HwnasError, match=reason) as caught:
        model.time()
    assert "my model.tflite" in str(caught.value) and transport.name in str(caught.value)


def test_a_program_that_hangs_is_ended(transport, tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "START_S", 1.0)
    device = target(tmp_path, "hang", max_ms=500, min_ms=0)
    with loaded(device, transport) as model, pytest.raises(DeviceTimeout):
        model.time()
    processes = transport.run(["ps", "-A", "-o", "args"]).output
    assert "-o args" in processes and "sleep 1000" not in processes


def test_it_hands_out_no_outputs(local, tmp_path):
    with loaded(target(tmp_path), local) as model, pytest.raises(HwnasError, match="runtime native"):
        model.run(np.zeros(IMAGE_SHAPE, np.float32))


def test_a_damaged_model_or_one_of_another_batch_never_leaves_this_machine(local, tmp_path):
    with BenchmarkModelRunner(target(tmp_path), local) as runner, pytest.raises(HwnasError, match="or damaged"):
        runner.load(MODEL[: len(MODEL) // 2])
    with BenchmarkModelRunner(target(tmp_path, batch=4), local) as runner, pytest.raises(HwnasError, match="batch = 4"):
        runner.load(MODEL)


def test_the_program_must_be_named_and_there(local, tmp_path):
    with pytest.raises(UsageError, match="benchmark_model = "), BenchmarkModelRunner(Device(name="bare"), local):
        pass
    gone = Device(name="gone", benchmark_model=str(tmp_path / "nowhere"))
    with pytest.raises(HwnasError, match="there is no file"), BenchmarkModelRunner(gone, local):
        pass


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"#!/bin/sh\necho usage: something else\n", "something else"),
        (b"\x7fELF\x02\x01\x01" + bytes(11) + b"\x08\x00" + bytes(44), "64-bit machine 8"),
    ],
)
def test_another_program_is_told_from_it(transport, tmp_path, content, said):
    """The second is a program for MIPS, which no machine of these tests runs."""
    path = tmp_path / "something"
    path.write_bytes(content)
    device = Device(name="test", benchmark_model=str(path))
    with (
        pytest.raises(HwnasError, match="is no benchmark_model that") as caught,
        BenchmarkModelRunner(device, transport),
    ):
        pass
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        (b"\x7fELF\x01\x01\x01" + bytes(11) + b"\x28\x00", "32-bit arm"),
        (b"\x7fELF\x02\x02\x01" + bytes(11) + b"\x00\xb7", "64-bit aarch64"),
        (b"#!/bin/sh\necho a program of a shell\n", "no ELF program"),
        (b"", "no ELF program"),
    ],
)
def test_what_a_program_is_built_for(tmp_path, header, kind):
    (tmp_path / "program").write_bytes(header)
    assert elf_kind(tmp_path / "program") == kind


def test_what_the_programs_of_this_machine_are_built_for():
    assert elf_kind(Path("/proc/self/exe")) == f"64-bit {platform.machine()}"
