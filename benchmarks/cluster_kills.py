"""Trainings on Dask's workers, one of which is killed twice: is what they find equal, bit for bit, to one process's?

    python benchmarks/cluster_kills.py [--children 16] [--epochs 6] [--workers 2]

Random networks of space `tiny` are trained on handwritten digits, first one after the other in this process, then by
workers, then by workers of which two are killed (SIGKILL) while they train. Aim: 0 networks differ; with as many free
cores, the workers are as many times as fast. On a machine that others use, too, `speed_up` is an underestimate: all
processes together have the same share of it.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from common import show

from hwnas.child import load_child
from hwnas.evaluation.cluster import workers
from hwnas.evaluation.tasks import RUN_FOLDER, Task
from hwnas.locks import LOCK_FILE
from hwnas.run import METRICS_FILE
from hwnas.spaces import get_space
from hwnas.train.data import load_data

SPACE = get_space("tiny", resolution=16, width=0.25)
KILLS, STEPS_FIRST = 2, 3
"""How often a worker is killed, and how many steps its training has logged by then."""


def trainings(folder: Path, options: argparse.Namespace) -> list[Task]:
    data = load_data("digits", 16, batch_size=32, limit_train=options.images, workers=0)
    asked = {"space": "tiny", "resolution": 16, "classes": 10, "width": 0.25, "batch_size": 32, "seed": 0}
    asked |= {"limit_train": options.images, "epochs": options.epochs, "torch_device": "cpu", "train_threads": 1}
    asked |= {"weights_seed": 0, "images": {"seed": 0, "sha256": data.digest}}
    rng = random.Random(0)
    networks = [SPACE.sample(rng).to_json() for _ in range(options.children)]
    return [
        Task("train", str(folder / f"{number:02}"), asked | {"architecture": network}, "digits", "", "")
        for number, network in enumerate(networks)
    ]


def kill(folder: Path, killed: list[int], ended: threading.Event) -> None:
    """Kill workers that are in the middle of a training."""
    while len(killed) < KILLS and not ended.wait(0.02):
        for lock in folder.glob(f"*/{RUN_FOLDER}/{LOCK_FILE}"):
            metrics = lock.with_name(METRICS_FILE)
            steps = len(metrics.read_text().splitlines()) if metrics.exists() else 0
            holder = lock.read_text().strip() if lock.exists() else ""
            if holder.isdigit() and int(holder) not in (*killed, os.getpid()) and steps >= STEPS_FIRST:
                killed.append(int(holder))
                os.kill(int(holder), signal.SIGKILL)
                break


def differing(first: list[Task], second: list[Task]) -> int:
    """Networks whose weights or accuracies are not the same."""
    count = 0
    for one, other in zip(first, second, strict=True):
        states = [load_child(Path(task.folder) / RUN_FOLDER).state_dict() for task in (one, other)]
        results = [{name: v for name, v in (task.result or {}).items() if name != "seconds"} for task in (one, other)]
        same = all(bool((states[0][name] == states[1][name]).all()) for name in states[0])
        count += not (same and results[0] == results[1])
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--children", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as made:
        alone = trainings(Path(made) / "alone", options)
        for name, count, kills in (("one process", 1, False), ("workers", options.workers, False), ("killed", 2, True)):
            tasks = alone if count == 1 else trainings(Path(made) / name, options)
            killed, ended = list[int](), threading.Event()
            with workers(count, None, Path(made)) as able:
                if kills:
                    threading.Thread(target=kill, args=(Path(made) / name, killed, ended), daemon=True).start()
                started = time.perf_counter()
                able.run(tasks, lambda done, total, task: None)
                seconds = time.perf_counter() - started
                ended.set()
            rows.append(
                {
                    "who": name,
                    "workers": count,
                    "killed": len(killed),
                    "seconds": seconds,
                    "speed_up": (rows[0]["seconds"] if rows else seconds) / seconds,
                    "differ": differing(alone, tasks),
                }
            )
    show(f"{options.children} networks trained for {options.epochs} epochs", rows, options.json)


if __name__ == "__main__":
    main()
