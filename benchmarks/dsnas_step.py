"""What does searching cost? One DSNAS step against one training step of the sampled child alone.

    python benchmarks/dsnas_step.py [--steps 30] [--json]

Both take the same path and the same batch in turn, in one process; peak memory is what a fresh process adds to what it
had before it built the network. Aim: time and memory at most 1.2 times the child's.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import torch
from common import ROOT, show
from torch import nn
from torch.nn.utils import clip_grad_norm_

from hwnas.child import build_child
from hwnas.latency import Budget, Latency, LatencyTable, fit
from hwnas.search import SearchProblem
from hwnas.search.dsnas import DSNASSettings, DSNASTrainer, one_hot
from hwnas.space import SearchSpace
from hwnas.spaces import get_space
from hwnas.train.data import load_data
from hwnas.train.optim import sgd

SETTINGS = DSNASSettings(pretrain=0.0)


def dsnas_trainer(space: SearchSpace, batch_size: int) -> DSNASTrainer:
    """A trainer with a latency table of MACs: what a step costs does not depend on the numbers in it."""
    table = LatencyTable({b: Latency(1e-6 + b[0].macs(b[1]) / 1e7, 1, 1, 1, 0.0) for b in space.distinct_blocks()})
    predictor = fit(table, space)
    limit_ms = predictor.predict(predictor.extremes(space)[1]).ms
    data = load_data("digits", space.input_shape[1], batch_size=batch_size)
    return DSNASTrainer(SearchProblem(data, Budget(limit_ms, space, predictor), epochs=100), SETTINGS)


def dsnas_step(space: SearchSpace, batch_size: int) -> Callable[..., None]:
    trainer = dsnas_trainer(space, batch_size)

    def step(code: list[int], images: torch.Tensor, labels: torch.Tensor) -> None:
        trainer.sample = lambda: (code, one_hot(trainer.net.alphas, code))  # type: ignore[method-assign]
        trainer.step(images, labels)

    return step


def child_step(space: SearchSpace, code: list[int]) -> Callable[..., None]:
    """The same training step for a plain network: loss, gradient, clipping, SGD."""
    child = build_child(space.decode(code)).to(memory_format=torch.channels_last).train()
    optimizer = sgd(child.named_parameters(), 0.05, SETTINGS.momentum, SETTINGS.weight_decay)
    loss_function = nn.CrossEntropyLoss(label_smoothing=SETTINGS.label_smoothing)

    def step(images: torch.Tensor, labels: torch.Tensor) -> None:
        loss = loss_function(child(images.to(memory_format=torch.channels_last)), labels)
        loss.backward()
        clip_grad_norm_(child.parameters(), 5.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)

    return step


def batch_of(space: SearchSpace, batch_size: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(batch_size, *space.input_shape), torch.randint(0, 10, (batch_size,))


def seconds_of(step: Callable[..., None], *arguments: object) -> float:
    begin = time.perf_counter()
    step(*arguments)
    return time.perf_counter() - begin


def compare_time(space: SearchSpace, batch_size: int, steps: int) -> tuple[float, float]:
    """Median seconds of a DSNAS step and of the child's, over random paths, taken in turn."""
    rng = random.Random(0)
    searching = dsnas_step(space, batch_size)
    images, labels = batch_of(space, batch_size)
    pairs = []
    for _ in range(steps):
        code = [rng.randrange(len(d.candidates)) for d in space.decisions]
        alone = child_step(space, code)
        alone(images, labels)  # the first step of a network allocates its gradients and momenta
        pairs.append([seconds_of(searching, code, images, labels), seconds_of(alone, images, labels)])
    return tuple(statistics.median(column) for column in zip(*pairs[2:], strict=True))


def peak_bytes(space: SearchSpace, batch_size: int, which: str) -> int:
    """Run in a fresh process: what building the network and a few steps on its largest path add to the peak."""
    images, labels = batch_of(space, batch_size)
    largest = [len(d.candidates) - 1 if len(d.candidates) < 5 else 3 for d in space.decisions]
    load_data("digits", space.input_shape[1], batch_size=batch_size)  # the data is not part of the comparison
    child_step(get_space("tiny", resolution=8, width=0.25), [0] * 7)(torch.randn(2, 3, 8, 8), labels[:2])
    Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak counts from here
    before = psutil.Process().memory_info().rss
    if which == "dsnas":
        step = dsnas_step(space, batch_size)
        for _ in range(3):
            step(largest, images, labels)
    else:
        alone = child_step(space, largest)
        for _ in range(3):
            alone(images, labels)
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) - before


def compare_memory(name: str, batch_size: int) -> tuple[int, int]:
    """Peak bytes of both, each in a process of its own."""
    command = [sys.executable, __file__, "--peak-of", name, "--batch-size", str(batch_size), "--which"]
    results = [
        subprocess.run([*command, w], cwd=ROOT, capture_output=True, text=True, check=True) for w in ("dsnas", "child")
    ]
    return tuple(json.loads(result.stdout) for result in results)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--peak-of", help=argparse.SUPPRESS)
    parser.add_argument("--which", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak_of:
        print(peak_bytes(get_space(options.peak_of), options.batch_size, options.which))
        return
    rows = []
    for name in ("tiny", "nas-bench-macro"):
        search_s, child_s = compare_time(get_space(name), options.batch_size, options.steps)
        search_bytes, child_bytes = compare_memory(name, options.batch_size)
        rows.append(
            {
                "space": name,
                "batch": options.batch_size,
                "dsnas_ms": 1000 * search_s,
                "child_ms": 1000 * child_s,
                "time_ratio": search_s / child_s,
                "dsnas_peak_mib": search_bytes / 2**20,
                "child_peak_mib": child_bytes / 2**20,
                "memory_ratio": search_bytes / child_bytes,
            }
        )
    show("a DSNAS step against a step of its child alone", rows, options.json)


if __name__ == "__main__":
    main()
