"""Do nine in ten networks lie within their 90 % interval, and does what is decoded keep its budget by its own?

    python benchmarks/interval_promise.py [TABLE...] [--seeds 10] [--first-seed 0] [--json]

On public measurements of phones and servers, and on measured tables of `tiny` that are given: predictors are fitted to
5, 10 and 30 random networks (and all blocks, where there are any), and judged on up to 250 others. Per data and number:

- coverage in all and of each fifth of the networks, from the fastest to the slowest. Aim: 88 to 95;
- `half width` of a usual network and `mape`, the error on the card, which must not be larger: `below` counts that;
- 10 architectures each are decoded at budgets across the space: how many end over the budget by their own interval
  (`over`, must be 0), how many would by a usual interval, as was decoded once (`usual over`);
- budgets around the least feasible one: `refused` though a network that was looked at keeps it, and `accepted` though
  what is decoded does not (both must be 0).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from accuracy.networks import load_networks
from common import SHARED_DATA, show

from hwnas.errors import HwnasError
from hwnas.latency.budget import Budget
from hwnas.latency.fitting.fit import fit
from hwnas.latency.predictor import AdditivePredictor
from hwnas.latency.tables.table import Latency, LatencyTable
from hwnas.space import Architecture, SearchSpace
from hwnas.spaces import get_space

PUBLIC = (
    ("nnmeter_models_cpu.csv.gz", "nas-bench-201", "mean_ms"),
    ("nnmeter_models_adreno640.csv.gz", "nas-bench-201", "mean_ms"),
    ("help_nb201.csv.gz", "nas-bench-201", "pixel3_ms"),
    ("help_nb201.csv.gz", "nas-bench-201", "gold_6226_ms"),
    ("help_fbnet.csv.gz", "fbnet", "gold_6226_ms"),
)
SEEN = (5, 10, 30)
UNSEEN = 250
FEWEST_UNSEEN = 15
DECODED = 10
TOLERANCE = 1 + 1e-9

Split = tuple[LatencyTable, dict[Architecture, float]]
"""A table of what is seen, and the ms of networks that are not."""


def public_splits(file: str, name: str, column: str, seen: int, seeds: Iterable[int]) -> Iterator[Split]:
    networks = load_networks(SHARED_DATA / "latency" / file, name, column)
    for seed in seeds:
        order = np.random.default_rng(seed).permutation(len(networks.ms))[: seen + UNSEEN]
        ms = {networks.space.decode(networks.codes[i]): float(networks.ms[i]) for i in order}
        rows = {each: Latency(ms[each], ms[each], ms[each], 1, 0.0) for each in list(ms)[:seen]}
        yield LatencyTable(networks=rows), dict(list(ms.items())[seen:])


def local_splits(table: LatencyTable, seen: int, seeds: Iterable[int]) -> Iterator[Split]:
    networks = list(table.networks)
    for seed in seeds:
        order = [networks[i] for i in np.random.default_rng(seed).permutation(len(networks))]
        rows = {each: table.networks[each] for each in order[:seen]}
        yield replace(table, networks=rows), {each: table.networks[each].median_ms for each in order[seen:]}


def judged(split: Split, space: SearchSpace, seed: int) -> dict[str, Any]:
    """The figures of one fit."""
    table, unseen = split
    predictor = fit(table, space)
    measured_ms = np.array(list(unseen.values()))
    predictions = predictor.predict_many(list(unseen))
    inside = np.array([p.holds(ms) for p, ms in zip(predictions, measured_ms, strict=True)])
    fifth = np.searchsorted(np.quantile(measured_ms, (0.2, 0.4, 0.6, 0.8)), measured_ms)
    assert predictor.card.mape is not None
    return {
        "covered": 100 * inside.mean(),
        **{f"fifth {i + 1}": 100 * inside[fifth == i].mean() for i in range(5)},
        "half width": 100 * predictor.half_width,
        "mape": predictor.card.mape,
        "below": int(100 * predictor.half_width < predictor.card.mape),
        **promised(predictor, space, seed),
    }


def promised(predictor: AdditivePredictor, space: SearchSpace, seed: int) -> dict[str, Any]:
    """What is decoded at budgets from the least feasible one to where the slowest network's interval ends."""
    rng = np.random.default_rng(seed)
    least_ms = predictor.predict(Budget(1.0, space, predictor).surest).high_ms
    most_ms = predictor.predict(predictor.extremes(space)[1]).high_ms
    over = usual_over = 0
    for limit_ms in np.linspace(least_ms, most_ms, DECODED, endpoint=False):
        budget = Budget(float(limit_ms), space, predictor)
        log_p = [np.log(rng.dirichlet(np.ones(len(decision.candidates)))) for decision in space.decisions]
        over += predictor.predict(budget.decode(log_p)).high_ms > limit_ms * TOLERANCE
        plain = replace(
            predictor, uncertainty=replace(predictor.uncertainty, covariance=None), _costs=[]
        )  # all intervals are as wide as the usual one
        usual = Budget(budget.limit_ms, space, plain).decode(log_p)
        usual_over += predictor.predict(usual).high_ms > limit_ms * TOLERANCE
    return {"decoded": DECODED, "over": over, "usual over": usual_over} | _feasible(predictor, space, least_ms, rng)


def _feasible(
    predictor: AdditivePredictor, space: SearchSpace, least_ms: float, rng: np.random.Generator
) -> dict[str, int]:
    """Budgets within 10 % of the least feasible one, against 200 random networks and the fastest."""
    sizes = [len(decision.candidates) for decision in space.decisions]
    codes = [[int(rng.integers(size)) for size in sizes] for _ in range(200)]
    networks = [space.decode(code) for code in codes] + [predictor.extremes(space)[0]]
    ends_ms = min(prediction.high_ms for prediction in predictor.predict_many(networks))
    refused = accepted = 0
    for limit_ms in least_ms * np.linspace(0.9, 1.1, 21):
        budget = Budget(float(limit_ms), space, predictor)
        try:
            budget.check_feasible()
            decoded = budget.decode([np.zeros(size) for size in sizes])
            accepted += predictor.predict(decoded).high_ms > limit_ms * TOLERANCE
        except HwnasError:
            refused += ends_ms <= limit_ms
    return {"refused": refused, "accepted": accepted}


def row(data: str, seen: int, figures: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the seeds; counts are added up."""
    counts = ("below", "decoded", "over", "usual over", "refused", "accepted")
    total = {name: (sum if name in counts else np.mean)([each[name] for each in figures]) for name in figures[0]}
    return {"data": data, "seen": seen} | {name: round(float(value), 2) for name, value in total.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", type=Path, metavar="TABLE", help="measured tables of `tiny`")
    parser.add_argument("--seeds", type=int, default=10, help="how many random choices of the networks that are seen")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--only-tables", action="store_true", help="leave the public data out")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not (options.only_tables or (SHARED_DATA / "latency").is_dir()):
        raise SystemExit("skipped: there is no ../shared/data/latency beside this checkout")
    rows, seeds = [], range(options.first_seed, options.first_seed + options.seeds)
    for file, name, column in () if options.only_tables else PUBLIC:
        for seen in SEEN:
            splits = public_splits(file, name, column, seen, seeds)
            figures = [judged(split, get_space(name), seed) for seed, split in zip(seeds, splits, strict=True)]
            rows.append(row(f"{file.split('.')[0]} {column}", seen, figures))
    for path in options.tables:
        table = LatencyTable.load(path)
        for seen in (count for count in SEEN if len(table.networks) - count >= FEWEST_UNSEEN):
            splits = local_splits(table, seen, seeds)
            figures = [judged(split, get_space("tiny"), seed) for seed, split in zip(seeds, splits, strict=True)]
            rows.append(row(f"tiny, {path.name}", seen, figures))
    show("90 % intervals and what is promised by them, in percent and in counts", rows, options.json)


if __name__ == "__main__":
    main()
