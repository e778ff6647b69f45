"""Steps per second of a search by threads, by how long a waiting thread spins, and beside other programs.

    python benchmarks/training_threads.py [--method single-path] [--resolution 32] [--width 0.25] [--busy 2] [--choose]

Every row is a process of its own: torch reads its settings once.
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent

SETTINGS = (("1", None), ("2", "300000"), ("2", "5000"), ("2", "0"))
"""Threads, and GOMP_SPINCOUNT; 300,000 is libgomp's own."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", choices=("dsnas", "single-path"), default="dsnas")
    parser.add_argument("--resolution", type=int, default=16)
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--busy", type=int, default=0, help="Loops that run beside it.")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--choose", action="store_true", help="Only print what a run here would choose.")
    options = parser.parse_args()
    if options.measure:
        print(f"{steps_per_second(options):.2f}")
        return
    beside = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(options.busy)]
    try:
        if options.choose:
            choose(options)
            return
        for threads, spins in SETTINGS:
            environment = os.environ | {"OMP_NUM_THREADS": threads, "PYTHONPATH": str(ROOT)}
            environment |= {"GOMP_SPINCOUNT": spins} if spins else {}
            command = [sys.executable, __file__, *sys.argv[1:], "--measure"]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            print(f"{threads} threads, {spins or 'no'} spins: {done.stdout.strip()} steps/s (median)", flush=True)
    finally:
        for process in beside:
            process.kill()


def choose(options: argparse.Namespace) -> None:
    """Say which number of threads a run chooses, and what the choice takes."""
    from hwnas.train.threads import settle_threads, training_threads

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    trainer, batches = training(options)
    with TemporaryDirectory() as folder, training_threads(Path(folder)):
        started = time.perf_counter()
        settle_threads(trainer, lambda: batches[0])
        print(f"chosen in {time.perf_counter() - started:.1f} s", flush=True)


def steps_per_second(options: argparse.Namespace) -> float:
    """Of batches of 32 random images, in the search proper: the median of all steps in so many seconds."""
    trainer, batches = training(options)
    seconds: list[float] = []
    ends = time.perf_counter() + options.seconds
    while time.perf_counter() < ends or len(seconds) < 5:
        started = time.perf_counter()
        trainer.step(*batches[len(seconds) % len(batches)])
        seconds.append(time.perf_counter() - started)
    return 1 / median(seconds)


def training(options: argparse.Namespace):
    """A trainer in its search proper, and its batches."""
    from hwnas.searches.dsnas import DSNASSettings, DSNASTrainer
    from hwnas.searches.single_path import SinglePathSettings, SinglePathTrainer

    task, batches = problem(options)
    trainer = (
        DSNASTrainer(task, DSNASSettings(pretrain=0.0, search=1.0))
        if options.method == "dsnas"
        else SinglePathTrainer(task, SinglePathSettings(warmup=0.0, search=1.0))
    )
    trainer.net.train()
    return trainer, batches


def problem(options: argparse.Namespace):
    """A search on digits under half of what the slowest network takes, by a table that costs 1 ms per 10 M MACs."""
    from hwnas.latency.budget import Budget
    from hwnas.latency.fitting.fit import fit
    from hwnas.searches.problem import SearchProblem
    from hwnas.spaces import get_space
    from hwnas.train.data import load_data
    from tests.test_latency import made_table

    space = get_space("tiny", resolution=options.resolution, width=options.width)
    predictor = fit(made_table(space, networks=12))
    data = load_data("digits", options.resolution, batch_size=32, workers=0, limit_train=640)
    budget_ms = predictor.predict(predictor.extremes(space)[1]).ms / 2
    return SearchProblem(data, Budget(budget_ms, space, predictor), epochs=1000), list(data.train_batches(0))


if __name__ == "__main__":
    main()
