"""Times one .onnx model with ONNX Runtime, on a board: this file is brought there and run with the board's Python.

It stands alone: Python 3.8 or newer, numpy and onnxruntime are all it has. The session is set up as in
`hwnas/runtimes/onnx_runtime.py`, the stopping rule is that of `hwnas/runners/timing.py`, the options and the report are
those of hwbench; `tests/test_runners_remote_onnx.py` compares them. One JSON object on standard output ends with
``"end": true``. Exit codes: 2 wrong usage, 3 no ONNX Runtime, 4 a model that does not load, 5 a run that failed.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import math
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns
from typing import Any, NoReturn

NS_PER_MS = 1_000_000
Z_95 = 1.96
ERRORS_ONLY = 3
DTYPES = {"tensor(float)": "float32", "tensor(uint8)": "uint8", "tensor(int8)": "int8"}
WRONG_LIBRARY, WRONG_MODEL, FAILED_RUN = 3, 4, 5


def main() -> None:
    options = read_options()
    if options.cores:
        pin(options.cores)
    report = {"hwbench": 1, "backend": "onnxruntime", "machine": platform.machine(), **library()}
    if options.model:
        report.update(threads=options.threads, cores=options.cores, **bench(options))
    print(json.dumps({**report, "end": True}))


def read_options() -> argparse.Namespace:
    """Without a model the report only says which runtime there is."""
    parser = argparse.ArgumentParser(prog="hwnas-onnx")
    parser.add_argument("--model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cores", default="", help="hexadecimal mask; empty: any")
    for name in ("--warmup-runs", "--min-runs", "--max-runs"):
        parser.add_argument(name, type=int, default=1)
    for name in ("--warmup-ms", "--min-ms"):
        parser.add_argument(name, type=float, default=0.0)
    parser.add_argument("--max-ms", type=float, default=math.inf)
    parser.add_argument("--precision-percent", type=float, default=math.inf)
    parser.add_argument("--input", help="float32, NCHW; without it: random numbers, always the same")
    parser.add_argument("--output", help="the outputs, float32, are written to this file")
    return parser.parse_args()


def pin(mask: str) -> None:
    """Keep this process on some cores; threads that it starts from now on inherit that."""
    cores = {core for core in range(int(mask, 16).bit_length()) if int(mask, 16) >> core & 1}
    try:
        os.sched_setaffinity(0, cores)
    except (AttributeError, OSError) as error:
        stop(FAILED_RUN, f"cannot run on the cores {sorted(cores)}: {error}")


def library() -> dict[str, Any]:
    """Which ONNX Runtime there is: its version and the SHA-256 of the library with the kernels."""
    try:
        import numpy
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as kernels
    except ImportError as error:
        stop(WRONG_LIBRARY, str(error))
    sha256 = hashlib.sha256()
    with Path(kernels.__file__).open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            sha256.update(block)
    return {
        "runtime_version": onnxruntime.__version__,
        "library_sha256": sha256.hexdigest(),
        "python_version": platform.python_version(),
        "numpy_version": numpy.__version__,
    }


def bench(options: argparse.Namespace) -> dict[str, Any]:
    """Load, warm up, time, and write the outputs if they are wanted. The report's part about the model."""
    import numpy as np

    begin = perf_counter_ns()
    session = load(options.model, options.threads)
    load_us = (perf_counter_ns() - begin) / 1000
    (source,), (result,) = session.get_inputs(), session.get_outputs()
    nhwc = session.get_modelmeta().custom_metadata_map.get("input_layout") == "NHWC" and len(source.shape) == 4
    stored_shape = [size if isinstance(size, int) else 1 for size in source.shape]
    shape = [stored_shape[axis] for axis in (0, 3, 1, 2)] if nhwc else stored_shape
    x = np.fromfile(options.input, np.float32).reshape(shape) if options.input else fixed_input(shape)
    stored = as_stored(x, np.dtype(DTYPES[source.type]))
    stored = np.array(stored.transpose(0, 2, 3, 1) if nhwc else stored, order="C")
    binding = session.io_binding()
    binding.bind_output(result.name, "cpu")
    binding.bind_cpu_input(source.name, stored)

    def invoke() -> None:
        session.run_with_iobinding(binding)

    gc.disable()  # a collection in the middle of a run would be timed with it
    try:
        first_us, warmup_us, runs_us = timed(invoke, options)
    except Exception as error:
        stop(FAILED_RUN, str(error))
    output = np.ascontiguousarray(binding.copy_outputs_to_cpu()[0], np.float32)
    if options.output:
        output.tofile(options.output)
    return {
        "input_shape": shape,
        "output_shape": list(output.shape),
        "load_us": load_us,
        "first_us": first_us,
        "warmup_us": warmup_us,
        "runs_us": runs_us,
        "output_sha256": hashlib.sha256(output.tobytes()).hexdigest(),
        "peak_rss_kb": peak_rss_kb(),
    }


def load(model: str, threads: int) -> Any:
    """The model in a session of the CPU provider, with its graph optimiser at the default (highest) level."""
    import onnxruntime

    try:
        return onnxruntime.InferenceSession(model, session_options(threads), providers=["CPUExecutionProvider"])
    except Exception as error:
        stop(WRONG_MODEL, str(error))


def session_options(threads: int) -> Any:
    """As in every measurement with ONNX Runtime; idle threads that spin would take cycles from the inference."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def fixed_input(shape: list[int]) -> Any:
    """The input that every model of this shape is timed on."""
    import numpy as np

    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def as_stored(values: Any, dtype: Any) -> Any:
    """The values as the file takes them: an .onnx that takes integers means the integers themselves."""
    import numpy as np

    if dtype == np.float32:
        return values
    limits = np.iinfo(dtype)
    return np.clip(np.rint(values), limits.min, limits.max).astype(dtype)


def timed(invoke: Callable[[], None], limits: argparse.Namespace) -> tuple[float, float, list[float]]:
    """Microseconds of the first run, of the whole warm-up, and of every timed run."""
    begin = perf_counter_ns()
    runs, elapsed_ms, first_us = 0, 0.0, 0.0
    while (runs < limits.warmup_runs or elapsed_ms < limits.warmup_ms) and elapsed_ms < limits.max_ms:
        invoke()
        runs += 1
        elapsed_ms = (perf_counter_ns() - begin) / NS_PER_MS
        first_us = first_us or 1000 * elapsed_ms
    return first_us, 1000 * elapsed_ms, timed_runs_us(invoke, limits)


def timed_runs_us(invoke: Callable[[], None], limits: argparse.Namespace) -> list[float]:
    """Time single runs until the median is known well enough, or there were enough of them."""
    runs_us: list[float] = []
    start = now = perf_counter_ns()
    latest = start + limits.max_ms * NS_PER_MS
    next_check = limits.min_runs
    while len(runs_us) < limits.max_runs and now < latest:
        begin = perf_counter_ns()
        invoke()
        now = perf_counter_ns()
        runs_us.append((now - begin) / 1000)
        if len(runs_us) >= next_check:
            next_check += max(10, len(runs_us) // 4)
            if now - start >= limits.min_ms * NS_PER_MS and (
                median_precision_percent(runs_us) <= limits.precision_percent
            ):
                break
    return runs_us


def median_precision_percent(runs_us: list[float]) -> float:
    """Half-width of the 95 % confidence interval of the median, in percent of it; infinite below 6 runs."""
    n = len(runs_us)
    if n < 6:
        return math.inf
    ordered = sorted(runs_us)
    low = math.floor((n - 1 - Z_95 * math.sqrt(n)) / 2)
    median = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    return 100 * (ordered[n - 1 - low] - ordered[low]) / 2 / median


def peak_rss_kb() -> int | None:
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def stop(exit_code: int, reason: str) -> NoReturn:
    print("hwnas-onnx:", *reason.split(), file=sys.stderr)
    sys.exit(exit_code)


if __name__ == "__main__":
    main()
