"""Do the searches find what is really best? NAS-Bench-Macro knows the trained accuracy of every architecture.

    python benchmarks/search_quality.py --method dsnas,random,most-layers [--percentiles 10,20,40,60,80] [--seeds 3]
                                        [--epochs 12] [--resolution 32] [--images 50000] [--width 0.25]

Each seed trains a supernet on real CIFAR-10 images (a narrower copy of the space), searches under the budget, which is
priced by a table measured at full width, and only then is the published accuracy looked up. Budgets are percentiles of
the distinct networks' latencies, or `--budget-ms`. Runs that were stopped go on.

A contender is a method with hwnas's own defaults (but that all of its steps are for the search: what is looked up needs
no final weights), ``METHOD:published`` with its paper's settings, or a rule (``random-network``, ``most-layers``,
``most-macs``, ``naswot``). All are given the same epochs; `spos`, `random`, `weaknas` and `least-squares` share one
uniform supernet of a seed.

Regret: the best published accuracy within the budget less that of what was found, in points. Intervals are Student's t
over the seeds' means. p: of the paired difference of the regrets to the first contender, by a sign-flip test over the
seeds. Tau is over random ones of the 6,561 codes; among the distinct networks it is some 0.08 lower, since more codes
stand for the poor ones.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from typing import Any

import numpy as np
import torch
from common import CACHE, cifar10_subset, show
from published_macro import FULL, Network, at_percentile, ground_truth, published_accuracies
from scipy import stats

from hwnas.devices.device import load_device
from hwnas.evaluation.rules import RANDOM, RULES
from hwnas.latency.budget import Budget
from hwnas.latency.fitting.fit import fit
from hwnas.latency.measuring.measure import measure
from hwnas.latency.proxy_space import ProxySpacePredictor
from hwnas.run import Run
from hwnas.searches.evaluators import InheritedEvaluator, RecordedEvaluator
from hwnas.searches.one_shot import OneShotSettings
from hwnas.searches.problem import SearchProblem
from hwnas.searches.registry import get_search
from hwnas.searches.result import SearchResult
from hwnas.space import SearchSpace
from hwnas.spaces import get_space
from hwnas.train.data import ImageData, load_data
from hwnas.train.weights import WeightSettings

RANKED = 60
"""Random codes whose order under the supernet is compared with the published one."""
PUBLISHED = ":published"
BY_RULE = {"random-network" if name == RANDOM else name: rule for name, rule in RULES.items()}
"""`random` is the search method, as everywhere but in a study."""


def settings_of(contender: str, given: Mapping[str, Any]) -> Any:
    """The settings of a method: its defaults, or its paper's, with some given; with all steps for the search."""
    of_method = get_search(contender.removesuffix(PUBLISHED)).settings
    settings = of_method.published() if contender.endswith(PUBLISHED) else of_method()
    whole = {"search": 1.0} if any(field.name == "search" for field in fields(settings)) else {}
    return replace(settings, **whole | dict(given))


def run_of(contender: str, settings: Any, problem: SearchProblem, options: argparse.Namespace) -> Run:
    """The run of a search. One holds a uniform supernet for all budgets and all contenders that ask it."""
    of = f"{problem.seed}-{options.epochs}x{options.images}-w{options.width:g}-{options.resolution}px"
    config = {"settings": asdict(settings), "batch_size": options.batch_size}
    if isinstance(settings, OneShotSettings):
        config["settings"] = {field.name: getattr(settings, field.name) for field in fields(WeightSettings)}
        return Run(CACHE / "search-quality" / f"uniform-{of}", config)
    name = f"{contender.replace(':', '-')}-{problem.budget.budget_ms:.4g}ms-{of}"
    return Run(CACHE / "search-quality" / name, config | {"predictor": problem.budget.predictor.digest})


def rank_agreement(result: SearchResult, run: Run) -> dict[str, float]:
    """Kendall's tau of inherited against published accuracy, for random codes, and those of them above 90 %."""
    inherited = InheritedEvaluator(result.net, result.problem.data, result.problem.torch_device)
    evaluator = RecordedEvaluator(inherited, run.folder)
    published, space = published_accuracies(), result.problem.budget.space
    codes = random.Random(5).sample(sorted(published), RANKED)
    pairs = [(evaluator(space.decode(FULL.decode(code).code)).score, published[code]) for code in codes]

    def tau(lowest: float) -> float:
        return float(stats.kendalltau(*zip(*(pair for pair in pairs if pair[1] > lowest), strict=True)).statistic)

    return {"tau": tau(0), "tau_above_90": tau(90)}


@dataclass(eq=False)
class Bench:
    """What the contenders are given: space, images, prices, epochs."""

    options: argparse.Namespace
    space: SearchSpace
    predictor: ProxySpacePredictor
    networks: dict[str, Network]

    @cache  # noqa: B019  one Bench; to read them takes longer than any rule
    def images(self, seed: int) -> ImageData:
        o = self.options
        folder = cifar10_subset(o.images // 10, test_per_class=1)
        return load_data(folder, o.resolution, batch_size=o.batch_size, seed=seed, limit_train=o.images)

    def search(self, contender: str, problem: SearchProblem) -> tuple[SearchResult, Run]:
        """Search, or go on with a search."""
        settings = settings_of(contender, json.loads(self.options.settings))
        run = run_of(contender, settings, problem, self.options)

        def progress(done: int, total: int, figures: dict[str, float]) -> None:
            if done % 50 == 0:
                now = ", ".join(f"{key} {value:.3g}" for key, value in figures.items())
                print(f"\r{run.folder.name}: {done}/{total} {now}    ", end="", flush=True, file=sys.stderr)

        return get_search(contender.removesuffix(PUBLISHED)).search(problem, run, progress, settings), run

    def row(self, contender: str, budget_ms: float, seed: int) -> dict[str, Any]:
        """What a contender finds, and what that is worth."""
        started = time.perf_counter()
        o, data = self.options, self.images(seed)
        problem = SearchProblem(data, Budget(budget_ms, self.space, self.predictor), o.epochs, seed, o.torch_device)
        agreement: dict[str, float | None] = {"tau": None, "tau_above_90": None}
        if contender in BY_RULE:  # of the networks themselves: of the narrow copies multiply-adds are in another order
            found = BY_RULE[contender](Budget(budget_ms, FULL, self.predictor.predictor), seed, data)
        else:
            result, run = self.search(contender, problem)
            found = result.architecture
            agreement.update(rank_agreement(result, run))
        network = self.networks[FULL.decode(found.code).digest]
        within = [each.accuracy for each in self.networks.values() if each.ms <= budget_ms]
        better = sum(accuracy > network.accuracy for accuracy in within)
        return {
            "method": contender,
            "seed": seed,
            "budget_ms": budget_ms,
            "code": found.code,
            "accuracy": network.accuracy,
            "regret_points": max(within) - network.accuracy,
            "rank": 1 + better,
            "feasible": len(within),
            "top_percent": 100 * better / len(within),
            "relative_improvement": 100 * (network.accuracy / statistics.mean(within) - 1),
            "predicted_ms": network.ms,
            "budget_share": network.ms / budget_ms,
            "within": network.ms <= budget_ms,
            **agreement,
            "seconds": time.perf_counter() - started,
        }


def seed_means(rows: Sequence[dict[str, Any]]) -> dict[int, float]:
    """Mean regret over the budgets, by seed."""
    seeds = sorted({row["seed"] for row in rows})
    return {seed: statistics.mean(r["regret_points"] for r in rows if r["seed"] == seed) for seed in seeds}


def p_of(differences: Sequence[float]) -> float:
    """How often paired differences of random signs have a mean as far from 0; two-sided, exact; one tells nothing."""
    if len(differences) < 2:
        return 1.0
    return float(stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue)


def summary(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for each contender."""
    contenders = list(dict.fromkeys(row["method"] for row in rows))
    first = seed_means([row for row in rows if row["method"] == contenders[0]])
    table = []
    for contender in contenders:
        own = [row for row in rows if row["method"] == contender]
        regrets = list((by_seed := seed_means(own)).values())
        half = stats.sem(regrets) * stats.t.ppf(0.975, len(regrets) - 1) if len(regrets) > 1 else float("nan")
        taus = [row["tau"] for row in own if row["tau"] is not None]
        table.append(
            {
                "method": contender,
                "runs": len(own),
                "regret, points": f"{statistics.mean(regrets):.2f} ± {half:.2f}",
                "worst": max(row["regret_points"] for row in own),
                "p": p_of([by_seed[s] - first[s] for s in by_seed]) if contender != contenders[0] else "",
                "top %": statistics.median(row["top_percent"] for row in own),
                "worst top %": max(row["top_percent"] for row in own),
                "used": statistics.mean(row["budget_share"] for row in own),
                "over": sum(not row["within"] for row in own),
                "tau": statistics.mean(taus) if taus else "",
            }
        )
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", default="dsnas", help="one or several contenders, separated by commas")
    parser.add_argument("--budget-ms", help="one or several, separated by commas")
    parser.add_argument("--percentiles", default="10,20,40,60,80", help="budgets, of the distinct networks' latency")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--resolution", type=int, default=32)
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--settings", default="{}", help="hyper-parameters of the methods, as JSON")
    parser.add_argument("--runtime", default="litert")
    parser.add_argument("--torch-device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", action="store_true", help="all runs, instead of a line for each contender")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    predictor = fit(measure(FULL, load_device("local"), options.runtime, CACHE / "tables", 30).table, FULL)
    networks = ground_truth(predictor)
    space = get_space("nas-bench-macro", options.resolution, width=options.width)
    bench = Bench(options, space, ProxySpacePredictor(predictor, FULL), networks)
    if options.budget_ms:
        budgets = [float(each) for each in options.budget_ms.split(",")]
    else:
        budgets = [at_percentile(networks, float(each)) for each in options.percentiles.split(",")]
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    contenders = options.method.split(",")
    rows = [bench.row(name, ms, seed) for seed in seeds for name in contenders for ms in budgets]
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        show(f"search quality on NAS-Bench-Macro, {len(networks):,} distinct networks", summary(rows), False)


if __name__ == "__main__":
    main()
