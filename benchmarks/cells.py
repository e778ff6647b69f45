"""Do the searches find good cells? NAS-Bench-201 knows the trained accuracy of every one.

    python benchmarks/cells.py --method darts-pt --seeds 5 [--budget-percentile 50] [--json]

Each seed searches a small copy of the space (16 px, 8 channels, one cell per stage) with CIFAR-10 images on one core;
only then is the accuracy of what it found looked up: that of the benchmark's *12-epoch* training on the CIFAR-10 test
images, which is never to be quoted as NAS-Bench-201 accuracy. With a budget, latencies are those of the whole network
on a Pixel 3 (HW-NAS-Bench): a predictor is fitted on 900 of them, the budget is a percentile of all, and whether what
was found is within is asked of the table. Runs that were stopped go on.

All methods get about as much CPU time (`EPOCHS`); `random` is the method of that name. ``darts-pt`` gives two rows per
seed: what DARTS takes from the supernet before it is projected, and what is projected from the same one. In the end
the cell of most multiply-adds is looked up. Discretisation gap: accuracy of the supernet on validation images less that
of the child with inherited weights; the supernet of a method that samples paths is a random path for each batch.

Aim: median among the best 2 % of the cells within the budget, worst among the best 10 %, regret below that of `random`,
none over the budget.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import pandas as pd
import torch
from common import CACHE, SHARED_DATA, cifar10_subset, show

from hwnas.latency.budget import Budget
from hwnas.latency.fitting.fit import fit
from hwnas.latency.proxy_space import ProxySpacePredictor
from hwnas.latency.tables.table import Latency, LatencyTable
from hwnas.run import Run
from hwnas.searches.evaluators import InheritedEvaluator
from hwnas.searches.problem import SearchProblem
from hwnas.searches.registry import get_search
from hwnas.searches.result import SearchResult
from hwnas.spaces import get_space
from hwnas.spaces.nas_bench_201 import nas_bench_201
from hwnas.supernet.cyclic import CyclicNet
from hwnas.supernet.mixed import mixed
from hwnas.train.data import load_data

ACCURACIES = SHARED_DATA / "nas_bench_201_12epoch.csv.gz"
LATENCIES = SHARED_DATA / "latency" / "help_nb201.csv.gz"
FULL = get_space("nas-bench-201")
COPY = nas_bench_201(resolution=16, width=0.5, cells_per_stage=1)
FITTED_NETWORKS = 900
DEAD_MS = 0.5
"""Cells below have no path from input to output."""
VAL_FRACTION = 0.3
ANY_MS = 1e6
"""The budget where none is asked for."""

EPOCHS = {"darts": 12, "darts-pt": 15, "cdarts": 13, "snas": 24, "gdas": 40}
OTHER_EPOCHS = 60
CIFAR = {"weight_decay": 5e-4, "label_smoothing": 0.0}
"""What is usual for CIFAR-10; the defaults are ImageNet's."""
TO_THE_END = {**CIFAR, "search": 1.0}
"""The architecture is taken at the end: what is looked up needs no weights."""
ONE_SHOT = {**CIFAR, "evaluations": 100}
SETTINGS: dict[str, dict[str, Any]] = {
    "spos": ONE_SHOT,
    "random": ONE_SHOT,
    "weaknas": ONE_SHOT,
    "least-squares": ONE_SHOT,
    "darts-pt": {**TO_THE_END, "supernet": 0.8},
}
MIXING = ("darts", "darts-pt", "snas", "cdarts")


@dataclass(frozen=True)
class Cells:
    """Every cell of the benchmark: accuracy in percent and ms on a Pixel 3, by its string."""

    accuracy: dict[str, float]
    ms: dict[str, float]


@cache
def published() -> Cells:
    """The public tables. Exits where they are absent."""
    for path in (ACCURACIES, LATENCIES):
        if not path.is_file():
            raise SystemExit(f"skipped: there is no {path.name} in ../shared/data")
    accuracy, latency = pd.read_csv(ACCURACIES), pd.read_csv(LATENCIES)
    return Cells(
        dict(zip(accuracy.arch_str, accuracy.cifar10_test_acc_pct, strict=True)),
        dict(zip(latency.arch_str, latency.pixel3_ms, strict=True)),
    )


def pixel3_predictor() -> ProxySpacePredictor:
    """Fitted on some of the measured networks, drawn with a fixed seed."""
    working = pd.Series({code: ms for code, ms in published().ms.items() if ms >= DEAD_MS})
    table = LatencyTable()
    for code, ms in working.sample(FITTED_NETWORKS, random_state=0).items():
        table.networks[FULL.decode(code)] = Latency(ms, ms, ms, runs=1, between_visits_percent=0.5)
    return ProxySpacePredictor(fit(table, FULL), FULL)


def budget_of(percentile: float | None) -> float:
    """That percentile of the working cells' latencies, in ms."""
    if percentile is None:
        return ANY_MS
    return float(pd.Series([ms for ms in published().ms.values() if ms >= DEAD_MS]).quantile(percentile / 100))


def looked_up(code: str, budget_ms: float) -> dict[str, Any]:
    """What the tables say of a cell: its rank among those within the budget, and what is lost against the best.

    With a budget those without a path are not among them, as they are not where the budget is made.
    """
    cells, least_ms = published(), 0.0 if budget_ms == ANY_MS else DEAD_MS
    within = [accuracy for other, accuracy in cells.accuracy.items() if least_ms <= cells.ms[other] <= budget_ms]
    accuracy = cells.accuracy[code]
    return {
        "code": code,
        "accuracy": accuracy,
        "rank": 1 + sum(other > accuracy for other in within),
        "of": len(within),
        "regret": max(within) - accuracy,
        "measured_ms": cells.ms[code],
        "budget_ms": None if budget_ms == ANY_MS else budget_ms,
    }


def most_macs(budget_ms: float, predictor: Any) -> dict[str, Any]:
    """The row of the cell of most multiply-adds within the budget, as measured; of equal ones the fastest."""
    ms = published().ms
    within = [FULL.decode(code) for code in ms if ms[code] <= budget_ms]
    largest = max(within, key=lambda each: (each.macs, -ms[each.code]))
    predicted_ms = predictor.predict(COPY.decode(largest.code)).ms
    told = {"discretisation_gap": None, "predicted_ms": predicted_ms, "seconds": None}
    return {"method": "most-macs", "seed": 0} | looked_up(largest.code, budget_ms) | told


@torch.no_grad()
def supernet_accuracy(result: SearchResult, mixes: bool) -> float:
    """Of the mixture, or of random paths, on all validation images, with statistics of each batch."""
    net, generator, right, count = result.net.train(), torch.Generator().manual_seed(0), 0, 0
    net = net.search if isinstance(net, CyclicNet) else net
    weights, mixture = net.probabilities(), net.mixture() if mixes else []
    for images, labels in result.problem.data.val_batches():
        path = [int(torch.multinomial(w, 1, generator=generator)) for w in weights]
        logits = mixed(net, images, mixture) if mixes else net.run_path(images, path)
        right, count = right + int((logits.argmax(1) == labels).sum()), count + len(labels)
    return right / count


def run_seed(options: argparse.Namespace, seed: int, budget_ms: float, predictor: Any) -> list[dict[str, Any]]:
    """Search once; what is found is looked up when the search has ended."""
    folder = cifar10_subset(options.images // 10, test_per_class=1)
    data = load_data(folder, 16, val_fraction=VAL_FRACTION, seed=seed, limit_train=options.images, workers=0)
    epochs = options.epochs or EPOCHS.get(options.method, OTHER_EPOCHS)
    method = get_search(options.method)
    settings = method.resolve(SETTINGS.get(options.method, TO_THE_END) | json.loads(options.settings))
    problem = SearchProblem(data, Budget(budget_ms, COPY, predictor), epochs, seed)
    name = f"{options.method}-{options.name}-{seed}-{epochs}x{options.images}-{budget_ms:.4g}ms"
    run = Run(CACHE / "cells" / name, {"settings": repr(settings), "predictor": predictor.digest})
    clock = run.folder / "cpu-seconds"
    before, started = float(clock.read_text()) if clock.exists() else 0.0, time.process_time()

    def progress(done: int, total: int, figures: dict[str, float]) -> None:
        if done % 50 == 0:
            clock.write_text(str(before + time.process_time() - started))
            now = ", ".join(f"{key} {value:.3g}" for key, value in figures.items())
            print(f"{name}: {done}/{total} {now}", flush=True, file=sys.stderr)

    result = method.search(problem, run, progress, settings)
    seconds = before + time.process_time() - started
    if options.method == "darts-pt":
        return projected_rows(run, result, seed, budget_ms, seconds)
    inherited = InheritedEvaluator(result.net, data)(result.architecture).accuracy
    gap = supernet_accuracy(result, options.method in MIXING) - inherited
    return [row(options.method, seed, result, result.architecture.code, budget_ms, gap, seconds)]


def projected_rows(run: Run, result: SearchResult, seed: int, budget_ms: float, seconds: float) -> list[dict[str, Any]]:
    """What DARTS takes from the supernet before it is projected, and what is projected."""
    from hwnas.searches.darts_pt import PROJECTION_FILE

    told = json.loads((run.folder / PROJECTION_FILE).read_text())
    inherited = InheritedEvaluator(result.net, result.problem.data)(result.architecture).accuracy
    accuracy, probable = told["supernet"]["accuracy"], told["probable"]
    gaps = accuracy - probable["accuracy"], accuracy - inherited
    return [
        row("darts (the same supernet)", seed, result, probable["code"], budget_ms, gaps[0], None),
        row("darts-pt", seed, result, result.architecture.code, budget_ms, gaps[1], seconds),
    ]


def row(
    method: str, seed: int, result: SearchResult, code: str, budget_ms: float, gap: float, seconds: float | None
) -> dict[str, Any]:
    """A line of the table, with the keys that the reports name; seconds are of the CPU."""
    predicted_ms = result.problem.budget.predictor.predict(COPY.decode(code)).ms
    told = {"discretisation_gap": gap, "predicted_ms": predicted_ms, "seconds": seconds}
    return {"method": method, "seed": seed} | looked_up(code, budget_ms) | told


def over_all(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What the aims are stated for, of each method."""
    facts = {}
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        top = [100 * row["rank"] / row["of"] for row in own]
        over = sum(row["budget_ms"] is not None and row["measured_ms"] > row["budget_ms"] for row in own)
        regret = statistics.median(row["regret"] for row in own)
        facts[method] = (
            f"top {statistics.median(top):.2f} % in the median, {max(top):.2f} % at worst, median regret {regret:.2f} "
            f"points, {over} of {len(own)} over the budget"
        )
    return facts


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", default="darts-pt")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument(
        "--budget-percentile", type=float, help="of the working cells' Pixel 3 latencies; none: no limit"
    )
    parser.add_argument("--epochs", type=int, help="instead of as many as take the usual time")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--settings", default="{}", help="hyper-parameters of the method, as JSON")
    parser.add_argument("--name", default="default", help="of these settings: runs of one name go on with each other")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    budget_ms, predictor = budget_of(options.budget_percentile), pixel3_predictor()
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    rows = [row for seed in seeds for row in run_seed(options, seed, budget_ms, predictor)]
    rows.append(most_macs(budget_ms, predictor))
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        for row in rows:
            row["code"] = row["code"].replace("nor_conv_", "c").replace("_connect", "").replace("avg_pool_3x3", "pool")
        show(f"cells of NAS-Bench-201, {options.method}", rows, False, **over_all(rows))


if __name__ == "__main__":
    main()
