"""Are cells that are searched in the space of DARTS better than random ones, all trained alike?

    python benchmarks/darts_cells.py [--methods darts-pt,cdarts] [--seeds 3] [--random 8] [--json]

A small network of the space `darts` (5 cells, 8 channels, 16 px) on 5,000 images of CIFAR-10, on one core. Each seed of
a method searches, and what it finds is trained by itself from random weights, as each of the random cells is: the same
images, epochs, and settings. Test images are read once, at the end. The relative improvement over the random cells has
Welch's 95 % interval and an exact permutation test (`hwnas.evaluation.statistics`). No budget is set. What is done
already is not done again, and runs that were stopped go on.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from common import CACHE, cifar10_subset, show

from hwnas.evaluation.statistics import Comparison
from hwnas.files import write_json
from hwnas.latency.additive import AdditivePredictor
from hwnas.latency.budget import Budget
from hwnas.run import Run
from hwnas.searches.cyclic_losses import count_skips
from hwnas.searches.problem import SearchProblem
from hwnas.searches.registry import get_search
from hwnas.space import Architecture, SearchSpace
from hwnas.spaces import get_space
from hwnas.train.child import train_child
from hwnas.train.data import ImageData, load_data
from hwnas.train.evaluate import accuracy
from hwnas.train.weights import WeightSettings

RESOLUTION, VAL_FRACTION, TEST_PER_CLASS = 16, 0.3, 200
ANY_MS = 1e6
CIFAR: dict[str, Any] = {"weight_decay": 3e-4, "label_smoothing": 0.0}
SETTINGS: dict[str, dict[str, Any]] = {"darts-pt": {"supernet": 0.7}}
"""Of a method, besides: the architecture is taken at the end."""


class Clock:
    """Seconds of the CPU that a run takes, over all its parts, kept beside it."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "cpu-seconds"
        self.before = float(self.file.read_text()) if self.file.exists() else 0.0
        self.started = time.process_time()

    def __call__(self, done: int, total: int, figures: dict[str, float]) -> None:
        self.file.write_text(str(self.seconds))
        if done % 20 == 0:
            print(f"{self.file.parent.name}: {done}/{total}", flush=True, file=sys.stderr)

    @property
    def seconds(self) -> float:
        return self.before + time.process_time() - self.started


def searched(
    method: str, seed: int, options: argparse.Namespace, space: SearchSpace, folder: Path
) -> tuple[str, float]:
    """The code that a search finds, and its CPU seconds."""
    known = folder / f"{method}-{seed}.json"
    if known.exists():
        found = json.loads(known.read_text())
        return found["code"], found["seconds"]
    costs_ms = {block: 0.01 + block[0].macs(block[1]) / 1e7 for block in space.distinct_blocks()}
    budget = Budget(ANY_MS, space, AdditivePredictor.block_sum(costs_ms))
    settings = get_search(method).resolve({**CIFAR, "search": 1.0, **SETTINGS.get(method, {})})
    problem = SearchProblem(images(options, seed, VAL_FRACTION), budget, options.epochs, seed)
    run = Run(folder / f"{method}-{seed}", {"settings": repr(settings)})
    clock = Clock(run.folder)
    code = get_search(method).search(problem, run, clock, settings).architecture.code
    write_json(known, {"code": code, "seconds": clock.seconds})
    return code, clock.seconds


def trained(architecture: Architecture, seed: int, options: argparse.Namespace, folder: Path) -> float:
    """Test accuracy (percent) of a network trained by itself."""
    name = f"trained-{architecture.code.replace(',', '-')}-{seed}"
    known = folder / f"{name}.json"
    if not known.exists():
        data, run = images(options, seed, 0.0), Run(folder / name, {})
        child = train_child(
            architecture, data, run, options.train_epochs, seed, Clock(run.folder), settings=WeightSettings(**CIFAR)
        )
        write_json(known, {"accuracy": 100 * accuracy(child, data.test_batches())})
    return float(json.loads(known.read_text())["accuracy"])


def images(options: argparse.Namespace, seed: int, val_fraction: float) -> ImageData:
    folder = cifar10_subset(options.images // 10, TEST_PER_CLASS)
    return load_data(folder, RESOLUTION, val_fraction=val_fraction, seed=seed, limit_train=options.images, workers=0)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default="darts-pt,cdarts")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--random", type=int, default=8, help="cells drawn uniformly")
    parser.add_argument("--epochs", type=int, default=10, help="of a search")
    parser.add_argument("--train-epochs", type=int, default=20, help="of what is found")
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--cells", type=int, default=5)
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    space = get_space("darts", resolution=RESOLUTION, cells=options.cells, channels=options.channels)
    scale = f"{options.cells}x{options.channels}-{options.images}-{options.epochs}-{options.train_epochs}"
    folder = CACHE / "darts-cells" / scale
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(0)
    found = [("random", seed, space.sample(rng), None) for seed in range(options.random)]
    for method in filter(None, options.methods.split(",")):
        for seed in range(options.seeds):
            code, seconds = searched(method, seed, options, space, folder)
            found.append((method, seed, space.decode(code), seconds))
    rows = [
        {
            "method": method,
            "seed": seed,
            "code": architecture.code,
            "skips": sum(count_skips(d.candidates[k]) for d, k in decided(space, architecture)),
            "parameters": architecture.params,
            "accuracy": trained(architecture, seed, options, folder),
            "search_seconds": seconds,
        }
        for method, seed, architecture, seconds in found
    ]
    show("cells of the space darts, trained alike", rows, options.json, **compared(rows))


def decided(space: SearchSpace, architecture: Architecture) -> list[tuple[Any, int]]:
    return list(zip(space.decisions, space.indices(architecture), strict=True))


def compared(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Each method against the random cells."""
    accuracies: dict[str, list[float]] = {}
    for row in rows:
        accuracies.setdefault(row["method"], []).append(row["accuracy"])
    facts = {}
    for method, runs in accuracies.items():
        if method == "random" or "random" not in accuracies:
            continue
        found = Comparison.of(runs, accuracies["random"])
        interval = "unknown" if found.interval is None else "{:+.2f} to {:+.2f} %".format(*found.interval)
        facts[method] = (
            f"RI {found.relative_improvement:+.2f} % (95 %: {interval}), p = {found.p:.3f}, least {found.least_p:.3f}, "
            f"better than a random cell in {found.superiority:.0%}"
        )
    return facts


if __name__ == "__main__":
    main()
