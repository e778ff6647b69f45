"""The native runner on this machine, in an emulated phone and on a board: outputs, faults, and what it leaves."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

import hwnas
from hwnas.devices.device import Device
from hwnas.errors import HwnasError
from hwnas.exporter.export import convert
from hwnas.runners import remote
from hwnas.runners.native import NativeRunner
from hwnas.runners.timing import fixed_input
from hwnas.runtimes.litert import LITERT
from hwnas.temporary import owner
from hwnas.transports.base import DeviceError, DeviceFull, DeviceLost, DeviceTimeout
from hwnas.transports.local import Local
from hwnas.transports.own_folder import MARKER
from tests.native_programs import arm64_bundle, own_bundle, stand_in
from tests.small_models import classifier_net, example_output, feature_net, model_bytes

QUICK = Device(
    name="quick", runtime="native", warmup_runs=1, warmup_ms=0, min_runs=3, max_runs=5, min_ms=0, max_ms=60_000
)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Local]:
    """This machine, with a folder that no program is left in."""
    own_bundle()
    folder = tmp_path / "device"
    yield Local(str(folder))
    assert not [
        each for each in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(each.info["cmdline"] or ())
    ]


@pytest.fixture
def runner(here: Local) -> Iterator[NativeRunner]:
    with NativeRunner(QUICK, here) as opened:
        yield opened


def test_what_it_is(runner: NativeRunner) -> None:
    identity = runner.identity()
    assert identity["runtime"] == "native" and identity["runtime_version"] == LITERT.version()
    assert identity["library_sha256"] == own_bundle().library_sha256
    assert identity["hwbench_sha256"] == own_bundle().source_sha256
    assert (identity["threads"], identity["cores"]) == (1, "any")
    assert identity["architecture"] == os.uname().machine and identity["core_count"] == os.cpu_count()
    assert os.uname().release in runner.circumstances()["platform"]


def test_a_whole_child_gives_what_the_python_runtime_gives(runner: NativeRunner) -> None:
    space = hwnas.get_space("single-path", resolution=32, width=0.25)
    child = hwnas.build_child(space.decode([0] * len(space.decisions)))
    data = convert(child, (1, 3, 32, 32), "tflite")
    with runner.load(data) as model:
        for x in (fixed_input(model.input_shape), np.zeros(model.input_shape, np.float32)):
            np.testing.assert_allclose(model.run(x), LITERT.load(data).run(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_integers_are_spoken_to_in_float32(runner: NativeRunner, dtype: str) -> None:
    """A file of one operator, without a signature: the output is the input, in other steps."""
    from ai_edge_litert import schema_py_generated as schema

    from hwnas.exporter.tflite.file import packed, unpacked

    file = unpacked(model_bytes(classifier_net(), ".tflite"))
    graph = file.subgraphs[0]
    for tensor, scale in ((graph.tensors[0], 0.5), (graph.tensors[1], 1.0)):
        tensor.shape, tensor.type, tensor.buffer = [1, 4], getattr(schema.TensorType, dtype.upper()), 0
        tensor.quantization = schema.QuantizationParametersT(scale=[scale], zeroPoint=[3])
        tensor.shapeSignature = None
    code = schema.BuiltinOperator.QUANTIZE
    file.operatorCodes = [schema.OperatorCodeT(code, version=2, builtinCode=code)]
    graph.tensors, graph.operators = graph.tensors[:2], [schema.OperatorT(0, [0], [1])]
    graph.inputs, graph.outputs, file.signatureDefs = [0], [1], []
    x = np.array([[0.0, 3.1, 20.2, 1e6]], np.float32)
    with runner.load(packed(file)) as model:
        np.testing.assert_array_equal(model.run(x), LITERT.load(packed(file)).run(x))
        assert model.time().runs_us


def test_models_and_inputs_go_again(runner: NativeRunner, here: Local) -> None:
    data = model_bytes(feature_net(), ".tflite")
    with runner.load(data) as one:
        with runner.load(data) as same:
            assert same.time().runs_us
        assert one.time().runs_us, "the same content, loaded twice, is there as long as one of them is"
        one.run(example_output(feature_net())[0].numpy())
    assert all(name.startswith("input-") for name in os.listdir(here.folder) if name != MARKER)
    runner.__exit__()
    assert os.listdir(here.folder) == [MARKER]


def test_what_a_killed_measurement_left_here_goes_with_the_next(here: Local) -> None:
    folder, ours = Path(here.folder), owner()
    here.run(["true"])
    gone = subprocess.run([sys.executable, "-c", "from hwnas.temporary import owner; print(owner())"], stdout=-1)
    left = [f"model-{'0' * 16}-{gone.stdout.decode().strip()}.tflite.output", f"input-{gone.stdout.decode().strip()}"]
    kept = [f"model-{'0' * 16}-{ours}.tflite", f"input-{ours}", "model-a-1", f"{left[0]}.mine"]
    for name in (*left, *kept):
        (folder / name).write_text("left")
    (folder / "folder").mkdir()
    (folder / "folder" / left[0]).write_text("a person's")
    with NativeRunner(QUICK, here):
        found = set(os.listdir(folder)) - {MARKER, "folder"}
        assert found == set(kept), "another process may still need the files of a running one"
    assert (folder / "folder" / left[0]).exists()


def test_the_limits_and_cores_of_the_device_are_kept(here: Local) -> None:
    core = max(os.sched_getaffinity(0))
    device = QUICK.model_copy(update={"min_runs": 7, "max_runs": 7, "cores": (core,)})
    with NativeRunner(device, here) as runner:
        assert runner.identity()["cores"] == [core]
        with runner.load(model_bytes(feature_net(), ".tflite")) as model:
            assert len(model.time().runs_us) == 7


def test_a_model_that_only_the_device_refuses(runner: NativeRunner, here: Local) -> None:
    with runner.load(model_bytes(feature_net(), ".tflite")) as model:
        (file,) = Path(here.folder).glob("model-*")
        file.write_bytes(b"damaged on the device")
        with pytest.raises(
            HwnasError, match=r"LiteRT \S+ on \S+.* cannot load the model given as 2512 bytes: "
        ) as caught:
            model.time()
        assert not isinstance(caught.value, DeviceError), "another model may well work"
        file.unlink()
        with pytest.raises(HwnasError, match="is missing, or no TFLite model"):
            model.time()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("half", r"its report is not whole \(it begins .*runs_us.*2\.'\)"),
        ("silent", r"its report is not whole \(it begins '' and ends ''\)"),
        ("crashing", r"was ended by SIGSEGV on .* while it ran the model given as 2512 bytes"),
        ("killed", r"was ended by SIGKILL on .*memory"),
    ],
)
def test_programs_that_misbehave(here: Local, tmp_path: Path, kind: str, message: str) -> None:
    with (
        NativeRunner(QUICK, here, stand_in(kind, tmp_path)) as runner,
        runner.load(model_bytes(feature_net(), ".tflite")) as model,
    ):
        for attempt in (model.time, lambda: model.run(fixed_input(model.input_shape))):
            with pytest.raises(DeviceError, match=message):
                attempt()
    with NativeRunner(QUICK, here) as whole, whole.load(model_bytes(feature_net(), ".tflite")) as model:
        assert model.time().runs_us, "the true program takes the place of the other"


def test_a_program_that_hangs_is_ended(here: Local, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "START_S", 1.0)
    device = QUICK.model_copy(update={"max_ms": 100.0})
    begin = time.monotonic()
    with (
        NativeRunner(device, here, stand_in("hanging", tmp_path)) as runner,
        runner.load(model_bytes(feature_net(), ".tflite")) as model,
        pytest.raises(DeviceTimeout),
    ):
        model.time()
    assert time.monotonic() - begin < 20


def test_a_crash_in_the_middle_of_a_repetition(here: Local) -> None:
    device = QUICK.model_copy(update={"min_runs": 1_000_000, "max_runs": 1_000_000})
    with NativeRunner(device, here) as runner, runner.load(model_bytes(feature_net(), ".tflite")) as model:
        crash = threading.Thread(target=_signal_when_running, args=("model-", signal.SIGSEGV))
        crash.start()
        with pytest.raises(DeviceError, match="was ended by SIGSEGV"):
            model.time()
        crash.join()


def _signal_when_running(argument: str, number: signal.Signals) -> None:
    """Send a signal to a hwbench of ours once it has run for a moment."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for child in psutil.Process().children(recursive=True):
            try:
                if "ld-linux" in child.name() and any(argument in word for word in child.cmdline()):
                    time.sleep(0.3)
                    child.send_signal(number)
                    return
            except psutil.NoSuchProcess:
                continue
        time.sleep(0.02)


def test_a_program_for_another_machine(here: Local) -> None:
    own, bundle = own_bundle(), arm64_bundle()
    if own.architecture == bundle.architecture:
        pytest.skip("this machine runs the program for phones itself")
    with (
        NativeRunner(QUICK, here, bundle) as runner,
        runner.load(model_bytes(feature_net(), ".tflite")) as model,
        pytest.raises(DeviceError, match="cannot execute hwbench"),
    ):
        model.time()


def test_a_machine_without_a_bundle(tmp_path: Path) -> None:
    class Old(Local):
        """This machine, as one of 32 bits would introduce itself."""

        def facts(self):
            return dataclasses.replace(super().facts(), architecture="armv7l")

    with pytest.raises(HwnasError, match="says it is armv7l; install a 64-bit system there"):
        NativeRunner(QUICK, Old(str(tmp_path))).__enter__()


def check_outputs(runner: NativeRunner, nets: tuple[Callable, ...] = (feature_net, classifier_net)) -> None:
    """Outputs as this machine's, and a repetition."""
    for net in nets:
        data = model_bytes(net(), ".tflite")
        x = example_output(net())[0].numpy()
        with runner.load(data) as model:
            np.testing.assert_allclose(model.run(x), LITERT.load(data).run(x), rtol=1e-5, atol=1e-5)
            assert 3 <= len(model.time().runs_us) <= 5


def test_a_phone(android) -> None:
    from hwnas.transports.adb import Adb

    arm64_bundle()
    adb = Adb(android.serial)
    left = f"model-{'0' * 16}-{owner()}.tflite"
    adb.run(["sh", "-c", f"echo left > {left}"])
    with NativeRunner(QUICK, adb) as runner:
        assert runner.identity()["architecture"] == "aarch64"
        assert runner.identity()["library_sha256"] == arm64_bundle().library_sha256
        check_outputs(runner)
        space = hwnas.get_space("tiny", width=0.25, resolution=16)
        data = convert(hwnas.build_child(space.decode([0] * 7)), (1, 3, 16, 16), "tflite")
        with runner.load(data) as model:
            x = fixed_input(model.input_shape)
            np.testing.assert_allclose(model.run(x), LITERT.load(data).run(x), rtol=1e-5, atol=1e-5)
            runner.reconnect()
            assert model.time().runs_us
    assert set(adb.run(["ls"]).output.split()) == set(arm64_bundle().files), "no model, and none of a killed one"
    assert not android.processes()


def test_a_phone_that_is_lost_in_mid_repetition(phone) -> None:
    from hwnas.transports.adb import Adb

    arm64_bundle()
    device = QUICK.model_copy(update={"min_runs": 1_000_000, "max_runs": 1_000_000})
    with (
        NativeRunner(device, Adb(phone.serial)) as runner,
        runner.load(model_bytes(feature_net(), ".tflite")) as model,
    ):
        loss = threading.Timer(2, phone.kill)
        loss.start()
        with pytest.raises(DeviceLost):
            model.time()
        loss.join()
        phone.start()
        runner.reconnect()
        assert not phone.processes(), "the run that was lost does not disturb the next one"
        runner.device = QUICK
        assert model.time().runs_us


def test_a_phone_without_room(phone) -> None:
    from hwnas.transports.adb import Adb

    arm64_bundle()
    phone.small_disk(4 * 2**20)
    with pytest.raises(DeviceFull, match="Delete something there"):
        NativeRunner(QUICK, Adb(phone.serial)).__enter__()


def test_a_board(board) -> None:
    from hwnas.transports.ssh import Ssh

    own_bundle()
    with NativeRunner(QUICK, Ssh(board.host)) as runner:
        check_outputs(runner)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ('"runs_us":[1.5,-2.0]', r"runs_us\[1\]: must be greater than 0 \(found -2.0\)"),
        ('"runs_us":[]', "runs_us: "),
        ('"runs_us":"fast"', r"runs_us: .*\(found 'fast'\)"),
        ('"runs_us":[1.5],"output_shape":[1,"ten"]', r"output_shape\[1\]: "),
    ],
)
def test_a_whole_report_with_impossible_content_is_named(content: str, fault: str) -> None:
    printed = f'a greeting\n{{"hwbench":1,{content},"end":true}}\n'
    with pytest.raises(HwnasError, match=f"the report of adb 0A1B on m.tflite: {fault}.*repeat the command"):
        remote.read_report(printed, "m.tflite", "adb 0A1B")
