"""Damaged model files against `hwnas inspect` and `hwnas bench`: each ends in a result or in one clear error.

From small valid files (TFLite and ONNX, float32 and int8) come mutants: cut off, bits flipped, bytes overwritten,
chunks swapped, lengths made huge. Counted are results, refusals, runtimes that crashed or ran out of time in their
process (the person reads one sentence), and what must not be: hwnas raising something else, or not coming back.

python benchmarks/mutated_files.py --files 1000 --json
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from common import show
from damage import MUTATIONS
from torch import nn

from hwnas.campaign.bench import bench
from hwnas.devices.device import Device
from hwnas.errors import HwnasError
from hwnas.exporter.export import convert
from hwnas.exporter.model_file.quantizer import Int8Settings
from hwnas.exporter.onnx.int8 import OnnxQuantizer
from hwnas.exporter.tflite.int8 import TFLiteQuantizer
from hwnas.inspection.inspect import inspect

TIMEOUT_S = 20.0
MARGIN_S = 20.0
"""How much longer than its own limit a call may take before it counts as a hang."""

DEVICE = Device(
    name="once", warmup_runs=1, warmup_ms=0, min_runs=1, max_runs=1, min_ms=0, max_ms=50, visits=1, extra_visits=0
)
"""Every file is run, but only just."""

OUTCOMES = ("result", "refused", "crashed apart", "timed out apart", "hwnas crashed", "hwnas hung")
IMAGE_SHAPE = (1, 3, 16, 12)


def seeds() -> dict[str, bytes]:
    """Valid files by name: one small network in both formats, float32 and int8."""
    torch.manual_seed(0)
    body = nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU6(), nn.Conv2d(8, 8, 3, 1, 1, groups=8), nn.ReLU()
    net = nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)).eval()
    images = np.random.default_rng(0).standard_normal((2, *IMAGE_SHAPE[1:]), dtype=np.float32)
    tflite, onnx = (convert(net, IMAGE_SHAPE, format) for format in ("tflite", "onnx"))
    settings = Int8Settings()
    return {
        "float32.tflite": tflite,
        "float32.onnx": onnx,
        "int8.tflite": TFLiteQuantizer(tflite, images, settings).quantized(),
        "int8.onnx": OnnxQuantizer(onnx, images, settings).quantized(),
    }


def mutants(count: int, seed: int) -> Iterator[tuple[str, str, bytes]]:
    """`count` damaged files as (name of the valid one, kind of damage, bytes), every kind of each in turn."""
    dice, valid = random.Random(seed), list(seeds().items())
    for i in range(count):
        name, data = valid[i % len(valid)]
        mutate = MUTATIONS[i // len(valid) % len(MUTATIONS)]
        yield name, mutate.__name__, bytes(mutate(bytearray(data), dice))


def outcome(work: Callable[[], object]) -> tuple[str, str]:
    """One of `OUTCOMES` and the message behind it."""
    started = time.monotonic()
    try:
        work()
        found, message = "result", ""
    except HwnasError as error:
        message = str(error)
        apart = {"did not finish": "timed out apart", "crashed on": "crashed apart"}
        found = next((name for words, name in apart.items() if words in message), "refused")
    except Exception as error:  # what is looked for
        found, message = "hwnas crashed", repr(error)
    return ("hwnas hung" if time.monotonic() - started > TIMEOUT_S + MARGIN_S else found), message


def examine(name: str, damage: str, data: bytes, folder: Path) -> list[tuple[str, str, str, str]]:
    """(verb, damage, outcome, message) of both verbs on one mutant."""
    with tempfile.TemporaryDirectory(dir=folder) as own:
        file = Path(own) / name
        file.write_bytes(data)
        verbs = {
            "inspect": lambda: inspect(file, TIMEOUT_S),
            "bench": lambda: bench(file, DEVICE, timeout_s=TIMEOUT_S),
        }
        return [(verb, damage, *outcome(work)) for verb, work in verbs.items()]


def run(count: int, seed: int, workers: int) -> list[tuple[str, str, str, str]]:
    """(verb, damage, outcome, message) of both verbs on `count` mutants."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(workers) as pool:
        jobs = [pool.submit(examine, *mutant, Path(folder)) for mutant in mutants(count, seed)]
        return [found for job in jobs for found in job.result()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=200, help="mutants (default: 200)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="at a time (default: one per core)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    arguments = parser.parse_args()
    started = time.perf_counter()
    found = run(arguments.files, arguments.seed, arguments.workers)
    counts = Counter((verb, damage, outcome) for verb, damage, outcome, _ in found)
    rows = [
        {"verb": verb, "damage": damage.__name__, **{name: counts[verb, damage.__name__, name] for name in OUTCOMES}}
        for verb in ("inspect", "bench")
        for damage in MUTATIONS
    ]
    total = Counter(outcome for _, _, outcome, _ in found)
    show(
        f"{arguments.files} mutated files, each inspected and measured",
        rows,
        arguments.json,
        total=dict(total),
        seconds=time.perf_counter() - started,
        crashes=sorted({message[-160:] for _, _, outcome, message in found if "crashed" in outcome})[:5],
    )
    if total["hwnas crashed"] or total["hwnas hung"]:
        raise SystemExit("hwnas crashed or hung on a mutated file")


if __name__ == "__main__":
    main()
