"""Several devices and limits at once: is what is decoded the best, how long does that take, and is a real run within?

    python benchmarks/limits.py [--problems 100] [--design] [--json]

Random problems of two and of three limits on a space of 625 networks (predictors with intervals of their own,
parameters, multiply-adds), decoded and by brute force. The time to decode `single-path` for three devices, all of them
published tables of phones. Times are of the CPU, so that other work on the machine does not count. With --design a
real run: `local` on LiteRT and on ONNX Runtime, both measured, and the shipped table of pixel-1, with limits on
parameters and peak memory.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
from typing import Any

import numpy as np
from common import CACHE, answer, show

from hwnas.latency.budget import Budget
from hwnas.latency.counted import macs_model, parameters_model
from hwnas.latency.decoding import best_within
from hwnas.latency.fitting.fit import fit
from hwnas.latency.limit import TOLERANCE, Limit
from hwnas.latency.tables.shipped import shipped_table
from hwnas.latency.tables.table import Latency, LatencyTable
from hwnas.space import OneOf, SearchSpace
from hwnas.spaces import get_space
from hwnas.specs.conv import Conv
from hwnas.specs.head import Head
from hwnas.specs.mbconv import MBConv
from hwnas.specs.skip import Skip

PHONES = ("pixel-1", "pixel-4", "xiaomi-11")
SHARES = (0.3, 0.5, 0.7)


def small_space() -> SearchSpace:
    blocks = (*(MBConv(16, 16, kernel, expand) for kernel in (3, 5) for expand in (3, 6)), Skip(16, 16))
    decisions = (OneOf(f"block {i}", blocks) for i in range(4))
    return SearchSpace("small", (Conv(3, 16), *decisions, Head(16, 32, 4)), (3, 16, 16))


def made_table(space: SearchSpace, rng: np.random.Generator) -> LatencyTable:
    """Blocks take in networks other times than alone, so that every network has an interval of its own."""

    def row(ms: float) -> Latency:
        return Latency(ms, ms, ms, runs=50, between_visits_percent=0.5)

    table = LatencyTable({b: row(0.02 + b[0].macs(b[1]) / 1e7) for b in space.distinct_blocks()})
    factors = {block: rng.normal(1, 0.2) for block in table.blocks}
    while len(table.networks) < 12:
        network = space.sample(rng)
        parts = [block for block in network.placed_blocks() if not block[0].is_identity]
        table.networks[network] = row(0.03 + sum(factors[b] * table.block_ms(*b) for b in parts) * rng.normal(1, 0.02))
    return table


def equal_to_brute_force(count: int, problems: int) -> dict[str, Any]:
    """How many of so many random problems, with so many limits, are decoded to the best network that there is."""
    rng, space = np.random.default_rng(count), small_space()
    codes = list(itertools.product(*(range(len(d.candidates)) for d in space.decisions)))
    networks = [space.decode(code) for code in codes]
    phones = [fit(made_table(space, rng), space) for _ in range(4)]
    models = [*phones, parameters_model(space), macs_model(space)]
    ends = {id(model): np.array([p.high_ms for p in model.predict_many(networks)]) for model in models}
    solved, equal, seconds = 0, 0, 0.0
    while solved < problems:
        first = models[int(rng.integers(len(phones)))]
        others = [model for model in rng.permutation(np.array(models, object)) if model is not first][: count - 1]
        most = [float(np.quantile(ends[id(model)], rng.uniform(0.05, 0.7))) for model in (first, *others)]
        gains = [rng.normal(size=len(d.candidates)) for d in space.decisions]
        gain = np.array([sum(g[k] for g, k in zip(gains, code, strict=True)) for code in codes])
        # of networks that cost the same, sums in another order differ in their last digits
        within = np.all([ends[id(m)] <= b * TOLERANCE for m, b in zip((first, *others), most, strict=True)], axis=0)
        if not within.any():
            continue
        further = tuple(Limit(f"limit {i}", b, m) for i, (b, m) in enumerate(zip(most[1:], others, strict=True)))
        started = time.process_time()
        found = best_within(Budget(most[0], space, first, further), gains)
        seconds += time.process_time() - started
        place = codes.index(space.indices(found))
        equal += bool(within[place] and np.isclose(gain[place], gain[within].max(), rtol=1e-9))
        solved += 1
    return {"limits": count, "equal to brute force": f"{equal} of {solved}", "CPU ms each": 1e3 * seconds / solved}


def single_path_seconds() -> dict[str, Any]:
    """Decoding `single-path` within budgets of three phones, from random probabilities."""
    space, limits, rng = get_space("single-path"), [], np.random.default_rng(0)
    for phone in PHONES:
        table = shipped_table(phone, space.name)
        assert table is not None
        predictor = fit(LatencyTable.load(table.folder), space)
        least, most = (predictor.predict(network).high_ms for network in predictor.extremes(space))
        limits.append((f"{phone}/{table.folder.name}", least, most, predictor))
    times = []
    for share in SHARES:
        own, *further = [Limit(n, low + share * (high - low), p) for n, low, high, p in limits]
        for _ in range(5):
            gains = [np.log(rng.dirichlet(np.ones(len(d.candidates)))) for d in space.decisions]
            budget = Budget(own.most, space, limits[0][3], tuple(further))
            started = time.process_time()
            found = best_within(budget, gains)
            times.append(time.process_time() - started)
            assert budget.is_within(found)
    return {
        "devices": ", ".join(n for n, *_ in limits),
        "median CPU s": float(np.median(times)),
        "longest CPU s": max(times),
    }


def real_run(epochs: int) -> list[dict[str, Any]]:
    """A design of digits for three devices, with two limits on what is counted."""
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        budgets = ("local=50%", "local/onnxruntime=50%", "pixel-1=50%")
        given = [part for budget in budgets for part in ("--budget", budget)]
        limits = ["--limit", "parameters=150k", "--limit", "peak-memory=850kB"]
        where = ("--tables", f"{folder}/tables", "--out", f"{folder}/run")
        told = ("design", "--data", "digits", *given, *limits, "--epochs", epochs, "--networks", 10, *where)
        records = answer(*told)["limits"]
    shown = ("name", "limit", "predicted", "measured", "status", "used")
    return [{name: record[name] for name in shown} for record in records]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=100)
    parser.add_argument("--design", action="store_true", help="also the real run, which measures for some minutes")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    tables = {
        "decoding under several limits": [equal_to_brute_force(n, options.problems) for n in (2, 3)],
        "decoding single-path for three devices": [single_path_seconds()],
    }
    if options.design:
        tables["one network for several devices"] = real_run(options.epochs)
    if options.json:
        print(json.dumps(tables, indent=2))
    else:
        for title, rows in tables.items():
            show(title, rows, False)


if __name__ == "__main__":
    main()
