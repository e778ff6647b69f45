"""What are the search and the teacher worth on photographs? Parts of `once-for-all` taken out, at one budget.

    python benchmarks/photo_search.py --data FOLDER --budget-ms 0.6 [--resolution 64] [--epochs 30] [--limit-train N]
                                      [--seeds 1] [--only "NAME; NAME"] [--json]

``lean`` is one whole block a stage of EfficientNet-Lite0, fine-tuned alone for twice the epochs, which takes about as
long as the others; ``taught`` learns from the fine-tuned largest network, too.
Nothing is measured but the table of latencies, which is kept in the benchmarks' cache.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import torch
from common import CACHE, show
from recipe import part

from hwnas.child import ChildNetwork
from hwnas.designer.choices import WHOLE_SPACE
from hwnas.devices.device import load_device
from hwnas.latency.budget import Budget
from hwnas.latency.fitting.fit import fit
from hwnas.latency.measuring.measure import measure
from hwnas.latency.predictor import LatencyPredictor
from hwnas.pretrained import IMAGENET_MEAN, IMAGENET_STD, load_pretrained
from hwnas.searches.once_for_all import OnceForAllSettings, OnceForAllTrainer
from hwnas.searches.problem import SearchProblem
from hwnas.space import SearchSpace
from hwnas.spaces import get_space
from hwnas.supernet.start import largest_architecture
from hwnas.train.data import ImageData, load_data
from hwnas.train.evaluate import accuracy


class LeanTaught(OnceForAllTrainer):
    """Trains the lean network after the largest one, whatever the losses say."""

    def derive(self) -> None:
        space = self.problem.budget.space
        self.derived = list(space.indices(part(space, 6, "one")))


Variant = tuple[type[OnceForAllTrainer], OnceForAllSettings, float]
"""What trains, its settings, and how many times the epochs."""

VARIANTS: dict[str, Variant] = {
    "search": (OnceForAllTrainer, OnceForAllSettings(), 1.0),
    "search without a teacher": (OnceForAllTrainer, OnceForAllSettings(largest=0.0, distillation=0.0), 1.0),
    "lean, taught": (LeanTaught, OnceForAllSettings(largest=0.15, search=0.16), 1.0),
    "lean": (LeanTaught, OnceForAllSettings(largest=0.0, search=1e-6, distillation=0.0), 2.0),
}


def trained(
    variant: Variant, data: ImageData, space: SearchSpace, predictor: LatencyPredictor, options: Any, seed: int
) -> dict[str, Any]:
    """One training, its accuracy on the test images, and CPU seconds."""
    trainer_of, settings, times = variant
    start = load_pretrained(largest_architecture(space), None, seed)
    epochs = round(times * options.epochs)
    problem = SearchProblem(data, Budget(options.budget_ms, space, predictor), epochs, seed, "cpu", None, start)
    begin = time.process_time()
    trainer = trainer_of(problem, settings)
    for epoch in range(epochs):
        for images, labels in data.train_batches(epoch):
            trainer.step(images, labels)
    result = trainer.result()
    child: ChildNetwork = result.derive()
    return {
        "accuracy": accuracy(child, data.test_batches()),
        "predicted_ms": predictor.predict(child.architecture).ms,
        "cpu_s": time.process_time() - begin,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--budget-ms", type=float, required=True)
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--limit-train", type=int, help="use only so many training images")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--only", help=", ".join(VARIANTS))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    names = list(VARIANTS) if options.only is None else options.only.split("; ")
    if unknown := [name for name in names if name not in VARIANTS]:
        parser.error(f"unknown: {', '.join(unknown)}; known are {', '.join(VARIANTS)} (by '; ')")
    device, rows = load_device("local"), []
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        data = load_data(
            options.data,
            options.resolution,
            batch_size=32,
            seed=seed,
            augment="photo",
            limit_train=options.limit_train,
            normalisation=(IMAGENET_MEAN, IMAGENET_STD),
        )
        space = get_space(WHOLE_SPACE, options.resolution, len(data.classes))
        predictor = fit(measure(space, device, device.runtime, CACHE / "photos" / "tables").table, space)
        for name in names:
            rows.append(
                {"trained": name, "seed": seed} | trained(VARIANTS[name], data, space, predictor, options, seed)
            )
            print(name, f"{rows[-1]['accuracy']:.4f}", file=sys.stderr, flush=True)
    show(f"parts of once-for-all: {options.data.name}, {options.budget_ms} ms", rows, options.json)


if __name__ == "__main__":
    main()
