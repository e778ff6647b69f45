"""One subject through every exporter: how long it took, and what the files are like."""

from __future__ import annotations

import io
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from export_subjects import Subject, sample_input
from interleaved import ChannelFirst, interleaved_ms

from hwnas.errors import HwnasError
from hwnas.exporter.export import convert
from hwnas.exporter.parity import relative_error
from hwnas.inspection.inspect import inspect
from hwnas.runtimes import Session, get_runtime

REPEATS = 9
"""Of our own conversions, after the first."""

RUNTIMES = {"tflite": "litert", "onnx": "onnxruntime"}
OTHER_FILES = {
    "litert_torch_nhwc": ("tflite", "litert-torch"),
    "litert_torch_nchw": ("tflite", "litert-torch, NCHW images"),
    "torch_onnx_dynamo": ("onnx", "torch.onnx"),
}
"""Name in the results of the other environment -> format, and what people call it."""


def conversion_times(action: Callable[[], bytes], repeats: int) -> dict[str, Any]:
    """Milliseconds of the first call, and the median of those after it; with what the last one returned."""
    runs_ms = []
    for _ in range(1 + repeats):
        start = time.perf_counter()
        model = action()
        runs_ms.append((time.perf_counter() - start) * 1000)
    return {"first_ms": runs_ms[0], "again_ms": statistics.median(runs_ms[1:]), "model": model}


def torch_onnx_legacy(subject: Subject) -> bytes:
    """The .onnx of PyTorch's exporter of before, which needs no further package."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(subject.module, (torch.zeros(subject.input_shape),), file, dynamo=False, opset_version=17)
    return file.getvalue()


def converted(subject: Subject, theirs: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every file of a subject: name -> format, model, first_ms and again_ms; or why there is no file.

    Args:
        subject: What to convert.
        theirs: What the other environment made of it, see `other_exporters.py`; may be empty.
    """
    files: dict[str, dict[str, Any]] = {}
    makers: dict[str, tuple[str, Callable[[], bytes], int]] = {
        "ours, tflite": ("tflite", lambda: convert(subject.module, subject.input_shape, "tflite"), REPEATS),
        "ours, onnx": ("onnx", lambda: convert(subject.module, subject.input_shape, "onnx"), REPEATS),
        "torch.onnx, older": ("onnx", lambda: torch_onnx_legacy(subject), 2),
    }
    for name, (format, make, repeats) in makers.items():
        try:
            files[name] = {"format": format} | conversion_times(make, repeats)
        except HwnasError as error:
            files[name] = {"format": format, "failure": str(error)}
    for key, result in theirs.items():
        format, name = OTHER_FILES[key]
        if "failure" in result:
            files[name] = {"format": format, "failure": result["failure"]}
            continue
        first_ms, *others_ms = result["conversions_ms"]
        again_ms = statistics.median(others_ms) if others_ms else None
        model = result["file"].read_bytes()
        files[name] = {"format": format, "first_ms": first_ms, "again_ms": again_ms, "model": model}
    return files


def describe_files(subject: Subject, files: dict[str, dict[str, Any]], folder: Path) -> None:
    """Add to every file its bytes, relative error against PyTorch, and how the runtime takes it."""
    x = sample_input(subject)
    with torch.inference_mode():
        expected = subject.module(x.clone()).numpy()
    for name, file in files.items():
        if "model" not in file:
            continue
        file["bytes"] = len(file["model"])
        file["relative_error"] = relative_error(_loader(name, file)().run(x.numpy()), expected)
        if file["format"] == "tflite":
            path = folder / f"inspected.{file['format']}"
            path.write_bytes(file["model"])
            info = inspect(path)
            file |= {"partitions": info.execution.partitions, "outside": len(info.execution.outside)}
            file |= {"transposes": info.transposes, "operators": info.histogram}


def measure_latencies(subject: Subject, files: dict[str, dict[str, Any]], rounds: int) -> None:
    """Add to every file the median latency of each round, and the median of these."""
    x = np.ascontiguousarray(sample_input(subject).numpy())
    for format in RUNTIMES:
        loaders = {
            name: _loader(name, file) for name, file in files.items() if file["format"] == format and "model" in file
        }
        for name, rounds_ms in interleaved_ms(loaders, x, rounds).items():
            files[name] |= {"latency_ms": statistics.median(rounds_ms), "rounds_ms": rounds_ms}


def _loader(name: str, file: dict[str, Any]) -> Callable[[], Session]:
    """What loads a file for one thread."""
    runtime = get_runtime(RUNTIMES[file["format"]])
    if name == OTHER_FILES["litert_torch_nchw"][1]:
        return lambda: ChannelFirst(runtime.load(file["model"], threads=1))
    return lambda: runtime.load(file["model"], threads=1)


def ratio(files: dict[str, dict[str, Any]], name: str, other: str, key: str) -> float | None:
    """A number of one file divided by that of another; None where either is missing.

    Of latencies it is the median of the ratios in each round: the machine changes less within a round than between two.
    """
    value, reference = files.get(name, {}), files.get(other, {})
    if not value.get(key) or not reference.get(key):
        return None
    if key != "latency_ms":
        return value[key] / reference[key]
    return statistics.median(a / b for a, b in zip(value["rounds_ms"], reference["rounds_ms"], strict=True))
