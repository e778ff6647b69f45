"""What is the rule worth by which a search takes its architecture? Regrets on NAS-Bench-Macro, all in one table.

    python benchmarks/derivation.py [--trained] [--seeds 4] [--first-seed 0] [--percentiles 10,30,50,70,90]

Every rule gets the same supernet, budget and latencies. Without `--trained` the supernet is simulated in a minute: a
path's accuracy is the published one with an error of 0.46 points, its loss in a step varies as measured ones do, and
the logits learn from these losses by `dsnas`'s estimator. With it, `dsnas` trains real supernets (`search_quality.py`),
of a quarter of the width and on images of 16 pixels by default. Runs that were stopped go on.

Regret: the published accuracy of the best network within the budget less that of the one that was taken, in points.
Share: predicted ms / budget. An architecture is within the budget if its 90 % interval is. Intervals are Student's t
over the runs; the last line is the paired difference between re-ranking and the most probable architecture. The
default of `dsnas`, a regression over evaluated networks, is not among these rules; `search_quality.py` runs it.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from common import CACHE, cifar10_subset, show
from published_macro import FULL, Network, at_percentile, ground_truth, published_accuracies
from scipy import stats
from search_quality import run_of, settings_of
from torch import nn

from hwnas.devices.device import load_device
from hwnas.latency.budget import Budget
from hwnas.latency.decoding import best_within, joint_gains
from hwnas.latency.fitting.fit import fit
from hwnas.latency.measuring.measure import measure
from hwnas.latency.multiplier import Multiplier
from hwnas.latency.proxy_space import ProxySpacePredictor
from hwnas.searches.contracts import Evaluation
from hwnas.searches.derivers import MostProbable
from hwnas.searches.dsnas import MEAN_LOSS_RATE, DSNASTrainer
from hwnas.searches.evaluators import RecordedEvaluator
from hwnas.searches.path_gradients import compare_with_mean, sample_path
from hwnas.searches.path_losses import PathLosses
from hwnas.searches.problem import SearchProblem
from hwnas.searches.proposers import RandomWithin
from hwnas.searches.reranked import Reranked, reranked
from hwnas.space import Architecture, SearchSpace
from hwnas.spaces import get_space
from hwnas.train.data import load_data
from hwnas.train.loop import train

SUPERNET_ERROR, STEPS, PRETRAIN = 0.46, 450, 1 / 3
"""Of the simulation: points, steps, and the share of them that trains weights alone."""
LOSS_PER_POINT, BATCH_ERROR, IMAGES_ERROR = 0.025, 0.12, 0.3
"""Loss for a point of accuracy; what batches add to a step's loss; points that all validation images are off by."""
SIMULATED_NETWORKS = 75
OLD, NEW = "most probable (`derive=probable`)", "reranked (`derive=reranked`)"


class SimulatedNet:
    """Logits that have learnt from losses made of published accuracies."""

    def __init__(self, budget: Budget, seed: int) -> None:
        self.space = budget.space
        self.rng = np.random.default_rng([seed, round(1e6 * budget.budget_ms)])
        self.errors: dict[str, float] = {}
        self.losses = PathLosses(self.space)
        generator = torch.Generator().manual_seed(seed)
        self.alphas = nn.ParameterList(
            1 + 0.01 * torch.randn(len(d.candidates), generator=generator) for d in self.space.decisions
        )
        optimizer = torch.optim.Adam(self.alphas, min(0.05, 10 / (STEPS * (1 - PRETRAIN))), (0.5, 0.999))
        multiplier, mean_loss = Multiplier(), torch.zeros(())
        for step in range(STEPS):
            choices, z = sample_path(self.alphas, generator)
            warm_up = 1.5 * np.exp(-5 * step / STEPS)
            loss = warm_up - LOSS_PER_POINT * self.accuracy(self.space.decode(choices))
            loss = torch.tensor(loss + BATCH_ERROR * self.rng.standard_normal(), dtype=torch.float32)
            self.losses.add(z, float(loss))
            if step >= PRETRAIN * STEPS:
                for alpha in self.alphas:
                    alpha.grad = torch.zeros_like(alpha)
                compare_with_mean(self.alphas, loss, mean_loss, z)
                penalty, expected_ms = multiplier.penalty(budget, self.probabilities())
                torch.autograd.backward(penalty)
                optimizer.step()
                multiplier.update(budget, expected_ms)
            mean_loss.lerp_(loss, MEAN_LOSS_RATE if step else 1.0)

    def probabilities(self) -> list[torch.Tensor]:
        return [torch.softmax(alpha, 0) for alpha in self.alphas]

    def accuracy(self, architecture: Architecture) -> float:
        """Inherited accuracy in percent."""
        if architecture.digest not in self.errors:
            self.errors[architecture.digest] = SUPERNET_ERROR * self.rng.standard_normal()
        return published_accuracies()[architecture.code] + self.errors[architecture.digest]


@dataclass(frozen=True)
class SimulatedEvaluator:
    """Inherited accuracy as so many points off as some images leave it."""

    net: SimulatedNet
    error: float
    kind = "inherited"

    def __call__(self, architecture: Architecture, epochs: int = 0) -> Evaluation:
        found = self.net.accuracy(architecture) + self.error * self.net.rng.standard_normal()
        return Evaluation(architecture, "inherited", accuracy=found / 100, loss=-LOSS_PER_POINT * found)


def simulated(budget: Budget, seed: int) -> tuple[SearchProblem, Reranked]:
    """A problem without images, and the deriver of its simulated supernet."""
    net = SimulatedNet(budget, seed)
    few, every = (RecordedEvaluator(SimulatedEvaluator(net, k * IMAGES_ERROR), None) for k in (2, 1))
    probable = MostProbable(net, "mean")  # type: ignore[arg-type]
    deriver = Reranked(probable, net.losses.effects(), few, every, 5000, SIMULATED_NETWORKS)
    return SearchProblem(None, budget, 1, seed), deriver  # type: ignore[arg-type]


def trained(options: argparse.Namespace, budget: Budget, seed: int) -> tuple[SearchProblem, Reranked]:
    """A problem, and the deriver of the supernet that `dsnas` has trained for it."""
    folder = cifar10_subset(options.images // 10, test_per_class=1)
    data = load_data(folder, options.resolution, batch_size=options.batch_size, seed=seed, limit_train=options.images)
    problem = SearchProblem(data, budget, options.epochs, seed)
    settings = settings_of("dsnas", {})
    run = run_of("dsnas", settings, problem, options)
    trainer = DSNASTrainer(problem, settings)
    train(trainer, data, run)
    probable = MostProbable(trainer.net, "mean")
    deriver = reranked(problem, probable, trainer.path_losses.effects(), run, None)
    assert isinstance(deriver, Reranked)
    return problem, deriver


def random_reranked(problem: SearchProblem, deriver: Reranked, seed: int) -> Architecture:
    """The best of as many random architectures as the deriver evaluates, evaluated in the same two rounds."""
    draw, rng = RandomWithin(problem.budget), random.Random(seed)
    drawn = [draw(rng) for _ in range(deriver.most)]
    found = sorted((deriver.few(each) for each in drawn), key=lambda each: each.rank, reverse=True)
    on_all = [deriver.every(each.architecture) for each in found[: deriver.most // 2]]
    return max(on_all, key=lambda each: each.rank).architecture


def rules(problem: SearchProblem, deriver: Reranked) -> dict[str, Callable[[], Architecture]]:
    """How an architecture can be taken, by name."""
    budget = problem.budget
    _, costs = budget.predictor.decision_costs(budget.space)
    assert deriver.losses is not None
    gains = joint_gains([-loss for loss in deriver.losses], costs)
    return {
        OLD: lambda: deriver.probable(problem),
        "smallest loss by the regression": lambda: best_within(budget, gains),
        NEW: lambda: deriver(problem),
        # last: what it evaluates is known then, and the deriver changes a network into what is not
        "best of as many random ones, by inherited accuracy": lambda: random_reranked(problem, deriver, problem.seed),
    }


def trivial(space: SearchSpace, within: Sequence[Network]) -> dict[str, Network]:
    """What needs no supernet: the best by a rule of thumb."""

    def depth(network: Network) -> tuple[int, int]:
        return sum(digit != "0" for digit in network.code), FULL.decode(network.code).macs

    return {
        "slowest that fits": max(within, key=lambda network: network.ms),
        "most multiply-adds": max(within, key=lambda network: FULL.decode(network.code).macs),
        "most layers, then multiply-adds": max(within, key=depth),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trained", action="store_true", help="real supernets instead of simulated ones")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--percentiles", default="10,30,50,70,90", help="budgets, of the distinct networks' latency")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--resolution", type=int, default=16)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    predictor = fit(measure(FULL, load_device("local"), "litert", CACHE / "tables", 30).table, FULL)
    networks = ground_truth(predictor)
    space = get_space("nas-bench-macro", options.resolution, width=options.width) if options.trained else FULL
    priced = ProxySpacePredictor(predictor, FULL) if options.trained else predictor
    found: dict[str, list[tuple[float, float]]] = {}
    for percentile in map(int, options.percentiles.split(",")):
        budget = Budget(at_percentile(networks, percentile), space, priced)
        fits = Budget(budget.budget_ms, FULL, predictor).are_within
        flags = fits([FULL.decode(network.code) for network in networks.values()])
        within = [network for network, fit_ in zip(networks.values(), flags, strict=True) if fit_]
        best = max(network.accuracy for network in within)
        for seed in range(options.first_seed, options.first_seed + options.seeds):
            problem, deriver = trained(options, budget, seed) if options.trained else simulated(budget, seed)
            taken = trivial(space, within)
            for name, rule in rules(problem, deriver).items():
                taken[name] = networks[FULL.decode(rule().code).digest]
            for name, network in taken.items():
                found.setdefault(name, []).append((best - network.accuracy, network.ms / budget.budget_ms))
            now = {name: f"{rows[-1][0]:.2f}" for name, rows in found.items()}
            print(f"{percentile} % of the latencies, seed {seed}: {now}", flush=True)
    report(found, options.json)


def report(found: dict[str, list[tuple[float, float]]], as_json: bool) -> None:
    """One row per rule."""
    rows: list[dict[str, Any]] = []
    for name, pairs in found.items():
        regrets, shares = np.array(pairs).T
        mean, half = interval(regrets)
        rows.append(
            {"taken": name, "runs": len(pairs), "regret, points": f"{mean:.2f} ± {half:.2f}"}
            | {"worst": f"{regrets.max():.2f}", "share of the budget": f"{shares.mean():.3f}"}
            | {"least share": f"{shares.min():.3f}"}
        )
    mean, half = interval(np.subtract(*(np.array(found[name])[:, 0] for name in (NEW, OLD))))
    if as_json:
        print(json.dumps({"rows": rows, "difference": [mean, half]}, indent=2))
        return
    show("regret on NAS-Bench-Macro", rows, False, reranked_less_most_probable=f"{mean:+.2f} ± {half:.2f} points")


def interval(values: np.ndarray[Any, Any]) -> tuple[float, float]:
    """The mean and half of its 95 % interval."""
    error = float(stats.sem(values)) if len(values) > 1 else float("nan")
    return float(values.mean()), error * float(stats.t.ppf(0.975, max(1, len(values) - 1)))


if __name__ == "__main__":
    main()
