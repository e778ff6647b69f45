"""The same table measured three times: on a quiet machine, beside a process that loads one core for half of the time,
and beside one whose load moves from core to core. How far off are the disturbed tables?

hwnas (repetitions in random order, a reference as the witness of drift, disturbed ones repeated) against scripts: each
block once, in order, 10 warm-ups and the mean of 50 runs. Both in one run; each is compared with its own (first) quiet
table.

python benchmarks/noise.py [--json] [--entries 40]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
from common import plain_runs_us, show

from hwnas.campaign.campaign import Campaign, Entry
from hwnas.devices.device import load_device
from hwnas.latency.measuring.model_files import block_model, reference_model
from hwnas.runners import open_runner
from hwnas.runtimes import get_runtime
from hwnas.runtimes.base import Runtime
from hwnas.spaces import get_space

BURST_S = 2.0
"""How long the load works, and then rests."""
TABLES = 6
"""How many tables the fixed runs make: each takes a fraction of a second, and may fall into a burst or between two."""
LOADS = ("quiet", "one core, half of the time", "moving")

Table = dict[str, float]
"""Milliseconds by entry."""


def burn(moving: bool) -> None:
    """Multiply matrices in bursts, on one core, or on another one each time."""
    rng, a = random.Random(0), np.random.default_rng(0).random((256, 256))
    cores = sorted(os.sched_getaffinity(0))
    while True:
        os.sched_setaffinity(0, {rng.choice(cores) if moving else cores[0]})
        end = time.monotonic() + BURST_S
        while time.monotonic() < end:
            a @ a
        time.sleep(BURST_S)


@contextmanager
def load(kind: str) -> Iterator[None]:
    """Another process that disturbs, for as long as it takes."""
    if kind == "quiet":
        yield
        return
    process = multiprocessing.get_context("spawn").Process(target=burn, args=(kind == "moving",), daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


def by_hwnas(models: dict[str, bytes], journal: Path) -> tuple[Table, set[str]]:
    """A campaign's table, and the entries it marks as noisy."""
    device = load_device("local")
    entries = [Entry(name, name, partial(bytes, model)) for name, model in models.items()]
    with open_runner(device, "litert") as runner:
        found = Campaign(device, runner, journal, reference_model("tflite")).run(entries)
    return {name: each.median_ms for name, each in found.items()}, {name for name, each in found.items() if each.noisy}


def by_fixed_runs(models: dict[str, bytes], runtime: Runtime) -> Table:
    """Each model once, one after the other: the mean of 50 runs after 10 warm-ups."""
    table = {}
    for name, model in models.items():
        table[name] = mean(plain_runs_us(runtime.load(model))) / 1000
    return table


def off_percent(table: Table, quiet: Table) -> Table:
    """How far each entry of a table is off the quiet one."""
    return {name: 100 * abs(table[name] / quiet[name] - 1) for name in quiet}


def row(method: str, kind: str, tables: list[Table], noisy: set[str], seconds: float) -> dict[str, Any]:
    """How far tables are off the quiet one: the median and the worst over all their entries."""
    every = [(name, off) for table in tables for name, off in table.items()]
    return {
        "load": kind,
        "method": method,
        "median off, %": median(off for _, off in every),
        "worst off, %": max(off for _, off in every),
        "worst not marked, %": max((off for name, off in every if name not in noisy), default=0.0),
        "marked noisy": len(noisy),
        "seconds": seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--entries", type=int, default=40)
    arguments = parser.parse_args()
    blocks = get_space("single-path", resolution=96).distinct_blocks()
    chosen = random.Random(0).sample(blocks, min(arguments.entries, len(blocks)))
    models = {f"{spec} at {shape}": block_model(spec, shape, "tflite") for spec, shape in chosen}
    runtime, rows = get_runtime("litert"), []
    quiet: dict[str, Table] = {}
    for kind in LOADS:
        with tempfile.TemporaryDirectory() as folder, load(kind):
            fixed, seconds = [], 0.0
            for _ in range(TABLES):
                begin = time.perf_counter()
                fixed.append(by_fixed_runs(models, runtime))
                seconds += time.perf_counter() - begin
                time.sleep(0.7 * BURST_S)
            begin = time.perf_counter()
            ours, noisy = by_hwnas(models, Path(folder) / "journal.jsonl")
            ours_s = time.perf_counter() - begin
        quiet.setdefault("fixed", fixed[0])
        quiet.setdefault("hwnas", ours)
        off = [off_percent(table, quiet["fixed"]) for table in fixed]
        rows.append(row("mean of 50 runs", kind, off, set(), seconds / TABLES))
        rows.append(row("hwnas", kind, [off_percent(ours, quiet["hwnas"])], noisy, ours_s))
    show("A disturbed machine, against the same one left alone", rows, arguments.json, entries=len(models))


if __name__ == "__main__":
    main()
