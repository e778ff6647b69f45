"""Is it better to search for the int8 file than to search in float and round what is found, at the same int8 ms?

For each seed two searches of the same length with the same images: one with the latency table of int8 files (as `hwnas
search --precision int8`), one with that of float32 files. Both get the same budget on the int8 file: the float search's
own budget is the ms in float32 of which int8 takes that budget, by the ratio of the two predictors for random networks,
as somebody would set it who has no int8 table. Its network is rounded, and measured as an int8 file like the other; if
it takes more ms than the budget, its budget is lowered until it does not. Accuracies are of the int8 files on test
images. Nothing is fine-tuned with rounding.

python benchmarks/int8_search.py [--seeds 3] [--epochs 6] [--share 50%] [--json]
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

import torch
from common import CACHE, cifar10_subset, show
from scipy import stats

from hwnas.child import ChildNetwork
from hwnas.designer.judged import judged_network
from hwnas.designer.task_latencies import random_ms
from hwnas.devices.device import Device, load_device
from hwnas.latency.budget import Budget
from hwnas.latency.fitting.fit import fit
from hwnas.latency.measuring.measure import measure
from hwnas.latency.predictor import LatencyPredictor
from hwnas.latency.wanted_budget import parse_budget, resolve_budget
from hwnas.run import Run
from hwnas.searches.problem import SearchProblem
from hwnas.searches.registry import get_search
from hwnas.space import SearchSpace
from hwnas.spaces import get_space
from hwnas.train.data import ImageData, load_data
from hwnas.train.evaluate import accuracy

RESOLUTION, TRIES = 32, 4


@dataclass(frozen=True)
class Found:
    """A network of a search, judged as its int8 file."""

    ms: float
    accuracy: float
    float_accuracy: float


def predictors(space: SearchSpace, device: Device) -> dict[str, LatencyPredictor]:
    """By precision; measured tables are kept beside the benchmarks."""
    tables = CACHE / "int8_search"
    made = (measure(space, device, "litert", tables, precision=name) for name in ("float32", "int8"))
    return dict(zip(("float32", "int8"), (fit(each.table, space) for each in made), strict=True))


def searched(data: ImageData, budget: Budget, epochs: int, seed: int) -> ChildNetwork:
    method = get_search("dsnas")
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder) / "run", {"seed": seed})
        return method.search(SearchProblem(data, budget, epochs, seed), run, None, method.resolve({})).derive()


def judged(child: ChildNetwork, data: ImageData, device: Device) -> Found:
    ms = random_ms(device, "litert", "int8", child.architecture)
    file = judged_network(child, data, "tflite", "int8")
    return Found(ms, accuracy(file, data.test_batches()), accuracy(child, data.test_batches()))


def float_then_rounded(
    data: ImageData, both: dict[str, LatencyPredictor], int8: Budget, epochs: int, seed: int, device: Device
) -> Found:
    """The network of a float search whose int8 file is within the int8 budget."""
    space = int8.space
    sample = [space.decode(code) for code in space_codes(space, seed)]
    ratio = median(both["int8"].predict(each).ms / both["float32"].predict(each).ms for each in sample)
    budget_ms = int8.budget_ms / ratio
    for _ in range(TRIES):
        child = searched(data, Budget(budget_ms, space, both["float32"]), epochs, seed)
        if (found := judged(child, data, device)).ms <= int8.budget_ms:
            break
        budget_ms *= 0.99 * int8.budget_ms / found.ms
    return found


def space_codes(space: SearchSpace, seed: int, count: int = 200) -> list[list[int]]:
    generator = torch.Generator().manual_seed(seed)
    sizes = [len(decision.candidates) for decision in space.decisions]
    return [[int(torch.randint(size, (), generator=generator)) for size in sizes] for _ in range(count)]


def row(name: str, found: list[Found]) -> dict[str, Any]:
    return {
        "search": name,
        "int8 ms": ", ".join(f"{each.ms:.4f}" for each in found),
        "int8 accuracy, %": ", ".join(f"{100 * each.accuracy:.1f}" for each in found),
        "mean, %": 100 * mean(each.accuracy for each in found),
        "mean in float32, %": 100 * mean(each.float_accuracy for each in found),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--share", default="50%", help="of the networks that are within the int8 budget")
    parser.add_argument("--train", type=int, default=150, help="training images of each class")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    device, space = load_device("local"), get_space("tiny", RESOLUTION, 10)
    both = predictors(space, device)
    data = load_data(cifar10_subset(arguments.train, 100), RESOLUTION, batch_size=32, workers=0)
    budget = Budget(resolve_budget(parse_budget(arguments.share), space, both["int8"]), space, both["int8"])
    with_int8, with_float = [], []
    for seed in range(arguments.seeds):
        with_int8.append(judged(searched(data, budget, arguments.epochs, seed), data, device))
        with_float.append(float_then_rounded(data, both, budget, arguments.epochs, seed, device))
    differences = [100 * (a.accuracy - b.accuracy) for a, b in zip(with_int8, with_float, strict=True)]
    half = stats.t.ppf(0.975, len(differences) - 1) * stats.sem(differences) if len(differences) > 1 else float("nan")
    rows = [row("with int8 latencies", with_int8), row("in float, then rounded", with_float)]
    facts = {"int8_budget_ms": budget.budget_ms, "difference_points": mean(differences), "plus_or_minus": float(half)}
    show("Searched for int8, or searched in float and rounded", rows, arguments.json, **facts)


if __name__ == "__main__":
    main()
