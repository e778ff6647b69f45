"""How long an export takes, how exact it is, and whether its files are as fast as those of PyTorch's own exporter.

Three questions, for MBConv blocks and for MobileNetV2 1.0 at 224 x 224:

1. milliseconds from a module in memory to a .tflite and an .onnx in memory (aim: 10 per block, 250 for the network);
2. largest relative error against PyTorch, of the whole and of each block (limit: 1e-5);
3. latency of our .onnx / latency of the one that `torch.onnx` writes, in ONNX Runtime with 1 thread (aim: 1.03). Both
   are run in turns within one process, so that a busy moment of the machine hits both.

    python benchmarks/export_speed.py            a table
    python benchmarks/export_speed.py --json     one JSON object
"""

from __future__ import annotations

import argparse
import io
import json
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from hwnas.blocks import build_block
from hwnas.child import build_child
from hwnas.export import convert
from hwnas.export.formats import FORMATS
from hwnas.export.parity import check_parity
from hwnas.runtimes import get_runtime
from hwnas.space import Architecture
from hwnas.spec import Conv, Head, MBConv, Spec

Subject = tuple[str, nn.Module, tuple[int, ...]]
"""What is exported: its name, the module, the input shape (N, C, H, W)."""

BLOCKS = (
    (MBConv(24, 24, 3, 6), 56),
    (MBConv(32, 32, 3, 6), 28),
    (MBConv(40, 80, 5, 6, stride=2), 28),
    (MBConv(96, 96, 7, 3), 14),
    (MBConv(192, 192, 5, 6), 7),
)
"""MBConv Specs with the resolution that each has in a network for 224 x 224."""

MOBILENET_V2_ROWS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, output channels, repeats, stride: Sandler et al. 2018, table 2."""


def mobilenet_v2() -> nn.Module:
    """MobileNetV2 1.0 at 224 x 224, with fresh weights."""
    blocks: list[Spec] = [Conv(3, 32, 3, stride=2, activation="relu6")]
    channels = 32
    for expand, out_channels, repeats, stride in MOBILENET_V2_ROWS:
        for i in range(repeats):
            blocks.append(MBConv(channels, out_channels, 3, expand, stride if i == 0 else 1, "relu6"))
            channels = out_channels
    blocks.append(Head(320, 1280, 1000, activation="relu6"))
    return build_child(Architecture(tuple(blocks), (3, 224, 224)))


def subjects() -> list[Subject]:
    """The blocks, then the network; all in evaluation mode."""
    blocks = [
        (f"{spec} at {size}", build_block(spec).eval(), (1, spec.in_channels, size, size)) for spec, size in BLOCKS
    ]
    return [*blocks, ("MobileNetV2 1.0 at 224", mobilenet_v2().eval(), (1, 3, 224, 224))]


def median_ms(action: Callable[[], object], repeats: int) -> float:
    """Median milliseconds of `action`, after one run that is not counted."""
    action()
    runs_ns = []
    for _ in range(repeats):
        start = time.perf_counter_ns()
        action()
        runs_ns.append(time.perf_counter_ns() - start)
    return statistics.median(runs_ns) / 1e6


def by_torch(module: nn.Module, shape: tuple[int, ...]) -> bytes:
    """The .onnx that PyTorch's own exporter writes."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(module, (torch.zeros(shape),), file, dynamo=False, opset_version=17)
    return file.getvalue()


def onnx_latencies_ms(subject: Subject, seconds: float) -> tuple[float, float]:
    """Median latency of our .onnx and of PyTorch's, run in turns for about `seconds`."""
    _, module, shape = subject
    x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    sessions = [
        get_runtime("onnxruntime").load(model) for model in (convert(module, shape, "onnx"), by_torch(module, shape))
    ]
    runs_ns: tuple[list[int], list[int]] = ([], [])
    for session in sessions:
        session.prepare(x)
        session.invoke()
    end = time.perf_counter() + seconds
    turn = 0
    while time.perf_counter() < end or turn < 20:
        # Who goes first changes: the second finds warmer caches.
        for i in (0, 1) if turn % 2 else (1, 0):
            start = time.perf_counter_ns()
            sessions[i].invoke()
            runs_ns[i].append(time.perf_counter_ns() - start)
        turn += 1
    return statistics.median(runs_ns[0]) / 1e6, statistics.median(runs_ns[1]) / 1e6


def measure(subject: Subject, repeats: int, seconds: float) -> dict[str, Any]:
    """All numbers of one subject."""
    name, module, shape = subject
    row: dict[str, Any] = {"name": name}
    for format in FORMATS.values():
        row[f"{format.name}_ms"] = median_ms(lambda name=format.name: convert(module, shape, name), repeats)
        row[f"{format.name}_error"] = check_parity(module, shape, format, convert(module, shape, format.name))
    row["torch_onnx_export_ms"] = median_ms(lambda: by_torch(module, shape), 3)
    ours_ms, theirs_ms = onnx_latencies_ms(subject, seconds)
    row |= {"onnx_latency_ms": ours_ms, "torch_onnx_latency_ms": theirs_ms, "latency_ratio": ours_ms / theirs_ms}
    return row


def machine() -> dict[str, str]:
    """What the numbers were measured on and with."""
    packages = ("torch", "ai-edge-litert", "onnx", "onnxruntime", "numpy")
    return {
        "platform": platform.platform(),
        "cpu": cpu_name(),
        "python": platform.python_version(),
        **{package: version(package) for package in packages},
    }


def cpu_name() -> str:
    """The processor as Linux calls it, or as Python does elsewhere."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def print_table(result: dict[str, Any]) -> None:
    """The result for a person."""
    print("  ".join(f"{name} {value}" for name, value in result["machine"].items()))
    heads = (
        "",
        "tflite ms",
        "onnx ms",
        "torch.onnx ms",
        "tflite error",
        "onnx error",
        "latency ms",
        "torch.onnx's",
        "ratio",
    )
    print(f"{heads[0]:34}" + "".join(f"{head:>14}" for head in heads[1:]))
    for row in result["subjects"]:
        cells = [
            *(f"{row[key]:.2f}" for key in ("tflite_ms", "onnx_ms", "torch_onnx_export_ms")),
            *(f"{row[key]:.1e}" for key in ("tflite_error", "onnx_error")),
            *(f"{row[key]:.3f}" for key in ("onnx_latency_ms", "torch_onnx_latency_ms", "latency_ratio")),
        ]
        print(f"{row['name']:34}" + "".join(f"{cell:>14}" for cell in cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--repeats", type=int, default=20, help="conversions per subject and format (default: 20)")
    parser.add_argument("--seconds", type=float, default=4.0, help="latency runs per subject (default: 4)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = [measure(subject, arguments.repeats, arguments.seconds) for subject in subjects()]
    result = {"machine": machine(), "subjects": rows}
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        print_table(result)


if __name__ == "__main__":
    main()
