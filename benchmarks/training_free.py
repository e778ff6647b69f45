"""How well do scores that need no training order networks? Kendall's tau with published accuracies, by space.

    python benchmarks/training_free.py [--networks 120] [--width 0.25] [--batch-size 64] [--seeds 2] [--json]

Random distinct networks of NAS-Bench-Macro and of NAS-Bench-201 (its table of 12 epochs), at quarter width, on one
batch of CIFAR-10's training images; beside them multiply-accumulates and the number of layers.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from random import Random
from typing import Any

import pandas as pd
import torch
from common import SHARED_DATA, cifar10_subset, show

from hwnas.evaluation.gap import Correlation
from hwnas.evaluation.rules import depth
from hwnas.searches.training_free import SCORES, scorer
from hwnas.space import Architecture
from hwnas.spaces import get_space
from hwnas.train.data import load_data

TABLES = {
    "nas-bench-macro": ("nas_bench_macro.csv.gz", "arch", "mean_acc_pct"),
    "nas-bench-201": ("nas_bench_201_12epoch.csv.gz", "arch_str", "cifar10_test_acc_pct"),
}
"""File, and the columns of codes and accuracies."""
LEAST_PERCENT = 20
"""Cells without a way from their input to their output are at chance; they are no question."""


def networks(space_name: str, count: int, width: float, seed: int) -> dict[Architecture, float]:
    """Random networks of a table that differ, and their published accuracies."""
    file, code, accuracy = TABLES[space_name]
    table = pd.read_csv(SHARED_DATA / file, dtype={code: str})
    table = table[table[accuracy] > LEAST_PERCENT]
    space, rng = get_space(space_name, 32, 10, width), Random(seed)
    found: dict[str, tuple[Architecture, float]] = {}
    while len(found) < count:
        row = table.iloc[rng.randrange(len(table))]
        network = space.decode(",".join(row[code]) if space_name == "nas-bench-macro" else row[code])
        found.setdefault(network.digest, (network, float(row[accuracy])))
    return dict(found.values())


def rows(space_name: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Tau of every score, as its mean over the seeds, with the mean standard error of one."""
    data = load_data(str(cifar10_subset(100, 10)), 32, batch_size=options.batch_size, workers=0)
    images, labels = next(data.train_batches(epoch=0))
    taus: dict[str, list[Correlation]] = {}
    seconds: dict[str, float] = {}
    for seed in range(options.seeds):
        chosen = networks(space_name, options.networks, options.width, seed)
        scores: dict[str, Callable[[Architecture], float]] = {"macs": lambda each: float(each.macs), "depth": depth}
        scores |= {name: scorer(name, images, labels, seed) for name in SCORES}
        for name, score in scores.items():
            began = time.process_time()
            found = Correlation.of([score(network) for network in chosen], list(chosen.values()))
            seconds[name] = seconds.get(name, 0.0) + time.process_time() - began
            if found is not None:
                taus.setdefault(name, []).append(found)
    return [
        {
            "space": space_name,
            "score": name,
            "tau": sum(each.tau for each in of) / len(of),
            "standard_error": sum(each.error or 0.0 for each in of) / len(of),
            "networks": options.networks,
            "cpu_s": seconds[name] / options.seeds,
        }
        for name, of in taus.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=120)
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if not SHARED_DATA.is_dir():
        raise SystemExit("skipped: there is no ../shared/data")
    show("scores without training", [row for name in TABLES for row in rows(name, options)], options.json)


if __name__ == "__main__":
    main()
