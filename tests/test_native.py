"""hwbench, the C program: its outputs, its stopping rule, its report, and how it ends when something is wrong."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

import hwnas
from hwnas.exporter.export import convert
from hwnas.native.toolchain import compile_hwbench, find_compiler
from hwnas.runners.timing import fixed_input, median_precision_percent
from hwnas.runtimes.litert import LITERT
from tests.device_environment import lacking
from tests.native_programs import QUICK, arm64_bundle, hwbench, own_abi, own_bundle, report
from tests.small_models import classifier_net, feature_net, model_bytes

STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror")
SANITIZED = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g")
EMULATOR = "qemu-aarch64-static"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Four models, each below a million multiplications: two small nets, a block and a whole child."""
    space = hwnas.get_space("tiny", width=0.25, resolution=16)
    child = hwnas.build_child(space.decode([0] * 7))
    files = {
        "features": model_bytes(feature_net(), ".tflite"),
        "classifier": model_bytes(classifier_net(), ".tflite"),
        "child": convert(child, (1, 3, 16, 16), "tflite"),
        "last child": convert(
            hwnas.build_child(space.decode([len(one_of.candidates) - 1 for one_of in space.decisions])),
            (1, 3, 16, 16),
            "tflite",
        ),
    }
    folder = tmp_path_factory.mktemp("models")
    for name, data in files.items():
        (folder / f"{name}.tflite").write_bytes(data)
    return {name: folder / f"{name}.tflite" for name in files}


MODELS = ["features", "classifier", "child", "last child"]


def output_of(bundle, model: Path, folder: Path, before: tuple[str, ...] = ()) -> tuple[np.ndarray, np.ndarray]:
    """What hwbench computes of a model's fixed input, and what LiteRT's Python interpreter does. NCHW both."""
    session = LITERT.load(model)
    x = fixed_input(session.input_shape)
    source, result = folder / "x", folder / "y"
    source.write_bytes(session.encoded(x).tobytes())
    options = ("--model", model, "--input", source, "--output", result, *QUICK)
    found = report(hwbench(bundle, *options, before=before))
    stored = np.fromfile(result, found["output_type"]).reshape(found["output_shape"])
    return session.decoded(stored), session.run(x)


@pytest.mark.parametrize("name", MODELS)
def test_outputs_are_those_of_the_python_runtime(models: dict[str, Path], name: str, tmp_path: Path) -> None:
    native, python = output_of(own_bundle(), models[name], tmp_path)
    np.testing.assert_allclose(native, python, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_the_program_for_phones_computes_the_same(models: dict[str, Path], name: str, tmp_path: Path) -> None:
    bundle = arm64_bundle()
    if shutil.which(EMULATOR) is None:
        lacking(f"there is no {EMULATOR}: programs for phones cannot be run here")
    emulated, python = output_of(bundle, models[name], tmp_path, before=(EMULATOR,))
    np.testing.assert_allclose(emulated, python, rtol=1e-5, atol=1e-5)


def test_the_report_says_what_was_run(models: dict[str, Path]) -> None:
    core = min(os.sched_getaffinity(0))
    options = ("--threads", "2", "--cores", f"{1 << core:x}", *QUICK)
    found = report(hwbench(own_bundle(), "--model", models["features"], *options))
    assert found["hwbench"] == 1 and found["backend"] in ("litert", "tflite")
    assert (found["threads"], int(found["cores"], 16)) == (2, 1 << core)
    assert (found["input_type"], found["input_shape"]) == ("float32", [1, 20, 12, 3])
    assert (found["output_type"], found["output_shape"]) == ("float32", [1, 10, 6, 8])
    assert found["load_us"] > 0 and found["warmup_us"] >= found["first_us"] > 0
    assert len(found["runs_us"]) == 3 and min(found["runs_us"]) > 0
    assert found["machine"] == os.uname().machine and found["peak_rss_kb"] > 1000


def test_the_checksum_is_of_the_output(models: dict[str, Path], tmp_path: Path) -> None:
    options = ("--model", models["classifier"], *QUICK)
    first = report(hwbench(own_bundle(), *options, "--output", tmp_path / "y"))["output_checksum"]
    assert report(hwbench(own_bundle(), *options))["output_checksum"] == first
    hash_ = 14695981039346656037
    for byte in (tmp_path / "y").read_bytes():
        hash_ = (hash_ ^ byte) * 1099511628211 % 2**64
    assert f"{hash_:016x}" == first
    (tmp_path / "x").write_bytes(np.ones((1, 20, 12, 3), np.float32).tobytes())
    assert report(hwbench(own_bundle(), *options, "--input", tmp_path / "x"))["output_checksum"] != first


def runs_us(model: Path, **limits: float) -> list[float]:
    words = [word for name, value in limits.items() for word in (f"--{name.replace('_', '-')}", value)]
    return report(hwbench(own_bundle(), "--model", model, "--warmup-ms", "0", *words))["runs_us"]


def test_it_stops_where_the_python_runtime_would(models: dict[str, Path]) -> None:
    for precision_percent in (0.1, 1, 5, 20):
        runs = runs_us(models["child"], precision_percent=precision_percent, min_runs=7, max_runs=400, min_ms=0)
        checks = [7]
        while checks[-1] < 400:
            checks.append(checks[-1] + max(10, checks[-1] // 4))
        precise = (n for n in checks if n <= len(runs) and median_precision_percent(runs[:n]) <= precision_percent)
        assert len(runs) == next(precise, 400)


def test_limits_of_runs_and_time(models: dict[str, Path]) -> None:
    model = models["child"]
    assert len(runs_us(model, min_runs=9, max_runs=9)) == 9
    assert len(runs_us(model, min_runs=1, max_runs=5000, min_ms=0, precision_percent=1e9)) > 5, "1 run has no precision"
    assert sum(runs_us(model, min_runs=1, max_runs=100000, min_ms=30, precision_percent=1e9)) > 0.5 * 30e3
    begin = time.perf_counter()
    assert len(runs_us(model, min_runs=100000, max_runs=100000, max_ms=0.001)) == 1
    assert time.perf_counter() - begin < 20


def test_the_warm_up_takes_its_time(models: dict[str, Path]) -> None:
    options = ("--model", models["features"], "--max-runs", "1", "--min-runs", "1", "--min-ms", "0")
    assert report(hwbench(own_bundle(), *options, "--warmup-ms", "40"))["warmup_us"] >= 40e3
    assert report(hwbench(own_bundle(), *options, "--warmup-ms", "1e5", "--max-ms", "30"))["warmup_us"] < 20e6


WRONG_WORDS = [
    ((), "--model is missing"),
    (("--model",), "'--model' is unknown or lacks its value"),
    (("--modell", "m"), "unknown option '--modell'"),
    (("--model", "m", "--threads", "0"), "--threads takes a whole number from 1 to 1024, not '0'"),
    (("--model", "m", "--threads", "two"), "not 'two'"),
    (("--model", "m", "--threads", "-1"), "not '-1'"),
    (("--model", "m", "--max-runs", "1e3"), "--max-runs takes a whole number"),
    (("--model", "m", "--max-runs", "99999999999999999999"), "--max-runs takes a whole number"),
    (("--model", "m", "--min-runs", "30", "--max-runs", "20"), "--min-runs is 30, above --max-runs, which is 20"),
    (("--model", "m", "--min-ms", "nan"), "--min-ms takes a number of at least 0, not 'nan'"),
    (("--model", "m", "--max-ms", "1x"), "not '1x'"),
    (("--model", "m", "--max-ms", ""), "not ''"),
    (("--model", "m", "--cores", "0"), "--cores takes a hexadecimal mask"),
    (("--model", "m", "--cores", "0xf"), "not '0xf'"),
    (("--model", "m", "--cores", "8000000000000000"), "this machine cannot run on these cores now"),
]


@pytest.mark.parametrize(("words", "message"), WRONG_WORDS, ids=lambda value: str(value)[:40])
def test_a_wrong_command_line_is_explained(words: tuple[str, ...], message: str) -> None:
    done = hwbench(own_bundle(), *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("hwbench: ") and message in done.stderr


def test_a_library_that_is_none(tmp_path: Path, models: dict[str, Path]) -> None:
    for library, message in ((tmp_path / "absent.so", "absent.so"), ("libm.so.6", "neither the C API of TFLite nor")):
        done = hwbench(own_bundle(), "--model", models["features"], "--library", library)
        assert (done.returncode, done.stdout) == (3, "") and message in done.stderr


def test_models_and_inputs_that_are_none(tmp_path: Path, models: dict[str, Path]) -> None:
    whole = models["features"].read_bytes()
    files = {"absent": None, "empty": b"", "text": b"no model at all", "half": whole[: len(whole) // 2]}
    for name, content in files.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        done = hwbench(own_bundle(), "--model", tmp_path / name, *QUICK)
        assert (done.returncode, done.stdout) == (4, ""), name
        assert "hwbench: " in done.stderr
    for size, word in ((2879, "fewer"), (2881, "more")):
        (tmp_path / "x").write_bytes(bytes(size))
        done = hwbench(own_bundle(), "--model", models["features"], "--input", tmp_path / "x")
        assert (
            done.returncode == 4 and f"must hold the 2880 bytes of the model's input, and holds {word}" in done.stderr
        )
    done = hwbench(own_bundle(), "--model", models["features"], "--output", tmp_path / "no" / "y", *QUICK)
    assert done.returncode == 4 and "No such file" in done.stderr


def test_a_report_that_cannot_be_written_is_no_success(models: dict[str, Path]) -> None:
    command = [*own_bundle().command(str(own_bundle().folder)), "--model", str(models["features"]), *QUICK]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 5 and "could not be written" in done.stderr


def test_no_warning_and_no_undefined_behaviour(models: dict[str, Path], tmp_path: Path) -> None:
    compiler, program = find_compiler(own_abi()), tmp_path / "hwbench"
    compile_hwbench(compiler, program, (*STRICT, *SANITIZED))
    library = own_bundle().folder / own_bundle().library
    environment = os.environ | {"ASAN_OPTIONS": "detect_leaks=0"}  # LiteRT's own, and it ends by _exit anyway
    for words, code in ((("--model", models["child"], *QUICK), 0), (("--model", "absent"), 4), (("--x", "y"), 2)):
        command = [program, "--library", library, *words]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment)
        assert done.returncode == code, done.stderr[-2000:]
