"""Do hwbench, our C program, and LiteRT's Python interpreter give the same latency for the same model?

    python benchmarks/native_agreement.py [--rounds N] [--json]

Five MBConv blocks and the network that Single-Path NAS found, at 96 x 96, are timed by both in turns, in random
order, on one core. Each repetition of either is a process of its own, as hwbench's always are: the memory of a process
changes its latencies by some percent for as long as it lives. Aim: the medians agree within 3 %. On a busy machine look
at the lower deciles, which other programs disturb less.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from hwnas.devices.device import Device, load_device
from hwnas.runners.in_process import InProcessRunner
from hwnas.runners.native import NativeRunner
from hwnas.runtimes import RUNTIMES
from hwnas.transports.local import Local


def models() -> Iterator[tuple[str, bytes]]:
    """Name and .tflite of every subject."""
    from export_subjects import BLOCKS, CHILD_CODE, build_subject

    from hwnas.child import build_child
    from hwnas.exporter.export import convert
    from hwnas.spaces import get_space

    for name in BLOCKS:
        subject = build_subject(name)
        yield name, convert(subject.module, subject.input_shape, "tflite")
    child = build_child(get_space("single-path", resolution=96).decode(CHILD_CODE))
    yield "single-path-child-at-96", convert(child.eval(), (1, 3, 96, 96), "tflite")


def device() -> Device:
    """This machine, on its last core."""
    return load_device("local").model_copy(update={"cores": (max(os.sched_getaffinity(0)),)})


def python_repetition(model: Path) -> list[float]:
    """Microseconds of one repetition by the Python interpreter, in this process."""
    with InProcessRunner(device(), RUNTIMES["litert"]) as runner, runner.load(model) as loaded:
        return loaded.time().runs_us


def compare(repetitions: dict[str, Callable[[], list[float]]], rounds: int, order: random.Random) -> dict[str, float]:
    """Microseconds of one model by either, and their ratios."""
    runs_us: dict[str, list[list[float]]] = {name: [] for name in repetitions}
    for _ in range(rounds):
        for name in order.sample(list(repetitions), len(repetitions)):
            runs_us[name].append(repetitions[name]())
    medians = {name: float(np.median([np.median(runs) for runs in all_])) for name, all_ in runs_us.items()}
    deciles = {name: float(np.median([np.quantile(runs, 0.1) for runs in all_])) for name, all_ in runs_us.items()}
    return {
        "python_us": medians["python"],
        "native_us": medians["native"],
        "native/python": medians["native"] / medians["python"],
        "of lower deciles": deciles["native"] / deciles["python"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12, help="how often each model is timed by both [12]")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--repetition", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.repetition:
        print(json.dumps(python_repetition(options.repetition)))
        return
    from common import show

    order, rows = random.Random(0), []
    with tempfile.TemporaryDirectory() as folder, NativeRunner(device(), Local(folder)) as native:
        file = Path(folder) / "subject.tflite"
        command = [sys.executable, __file__, "--repetition", str(file)]
        for name, model in models():
            file.write_bytes(model)
            with native.load(model) as loaded:
                repetitions = {
                    "python": lambda: json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout),
                    "native": lambda loaded=loaded: loaded.time().runs_us,
                }
                rows.append({"model": name} | compare(repetitions, options.rounds, order))
    ratios = np.array([row["native/python"] for row in rows])
    show(
        f"latency by hwbench and by LiteRT's Python interpreter, {options.rounds} repetitions each",
        rows,
        options.json,
        largest_difference_percent=float(100 * abs(ratios - 1).max()),
        median_ratio=float(np.median(ratios)),
    )


if __name__ == "__main__":
    main()
