"""What does a step of a search cost, in time and in memory, against a training step of the child that it trains?

    python benchmarks/step_cost.py [--space tiny] [--batch-size 128] [--rounds 5] [--json]

Time: every method takes the same random paths and the same batch in turn, in one process; of each path the fastest of
several rounds counts, since whatever else the machine does only adds to it. DSNAS, with its default reward, runs a
second path at every third step of the search, and ProxylessNAS updates its logits at every fifth, as published: their
figures are the mean over so many steps.

Memory: the peak of resident memory that a fresh process adds on the path of the largest candidates, beyond what it had
before it built the network. The allocator gives every block above 64 KiB back as soon as it is free, so that the peak
is what was alive at once (torch's own profiler does not see what oneDNN allocates).

Growth: the same in chains of one shape with 2, 4 and 8 candidates per decision, whose largest candidate is the same.
Aims: DSNAS at most 1.15 times its child's step in both, the superkernel at most 1.2 times the largest child's.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

import psutil
import torch
from common import ROOT, machine, show
from torch import Tensor, nn

from hwnas.child import build_child
from hwnas.latency.budget import Budget
from hwnas.latency.fitting.fit import fit
from hwnas.latency.tables.table import Latency, LatencyTable
from hwnas.searches.dsnas import DSNASSettings, DSNASTrainer
from hwnas.searches.path_gradients import one_hot
from hwnas.searches.problem import SearchProblem
from hwnas.searches.proxyless import ProxylessSettings, ProxylessTrainer
from hwnas.searches.resource import decision_mflops
from hwnas.searches.single_path import SinglePathSettings, SinglePathTrainer
from hwnas.searches.snas import SNASSettings, SNASTrainer
from hwnas.space import OneOf, SearchSpace
from hwnas.spaces import get_space
from hwnas.specs.conv import Conv
from hwnas.specs.head import Head
from hwnas.specs.mbconv import MBConv
from hwnas.train.child import ChildTrainer
from hwnas.train.data import load_data
from hwnas.train.optim import exponential_moving_average, rmsprop_tf

Batch = tuple[Tensor, Tensor]
Step = Callable[[], object]

PATHS = 4
WIDTHS_AND_STRIDES = ((16, 24, 2), (24, 24, 1), (24, 40, 2), (40, 40, 1))
"""Input and output channels and stride of the blocks in the chains of `space_of`."""

KERNELS_AND_EXPANSIONS = {2: ((3, 5), (6,)), 4: ((3, 5), (3, 6)), 8: ((3, 5), (2, 3, 4, 6))}
"""By the number of candidates; every combination is one."""

MEMORY_METHODS = ("child", "dsnas", "snas", "proxyless", "largest-child", "superkernel")


def space_of(candidates: int) -> SearchSpace:
    """A chain with so many candidates per decision, of which the largest is always kernel 5, expansion 6."""
    kinds = list(product(*KERNELS_AND_EXPANSIONS[candidates]))
    decisions = [
        OneOf(f"block {i}", tuple(MBConv(c, out, k, e, stride) for k, e in kinds))
        for i, (c, out, stride) in enumerate(WIDTHS_AND_STRIDES)
    ]
    return SearchSpace(f"of {candidates}", (Conv(3, 16), *decisions, Head(40, 128, 10)), (3, 32, 32))


def named_space(name: str) -> SearchSpace:
    """A space of the registry, or ``of K``."""
    return space_of(int(name.removeprefix("of "))) if name.startswith("of ") else get_space(name)


def problem(space: SearchSpace, batch_size: int) -> SearchProblem:
    """With a latency table of MACs: what a step costs does not depend on the numbers in it."""
    ms = {block: 1e-6 + block[0].macs(block[1]) / 1e7 for block in space.distinct_blocks()}
    table = LatencyTable({block: Latency(each, each, each, 1, 0.0) for block, each in ms.items()})
    predictor = fit(table, space)
    limit_ms = predictor.predict(predictor.extremes(space)[1]).ms
    data = load_data("digits", space.input_shape[1], batch_size=batch_size, workers=0)
    return SearchProblem(data, Budget(limit_ms, space, predictor), epochs=100)


def largest(space: SearchSpace) -> list[int]:
    """The code of the network with the most multiply-adds."""
    return [int(mflops.argmax()) for mflops in decision_mflops(space)]


class Methods:
    """One trainer per method, and their steps on one batch. The path of a step is named; SNAS takes all of them."""

    def __init__(self, space: SearchSpace, batch_size: int) -> None:
        self.problem = problem(space, batch_size)
        self.batch = (torch.randn(batch_size, *space.input_shape), torch.randint(0, 10, (batch_size,)))
        self._dsnas: DSNASTrainer | None = None
        self._published: DSNASTrainer | None = None
        self._proxyless: ProxylessTrainer | None = None

    def child(self, code: list[int]) -> Step:
        """The sampled child alone, with the optimiser, schedule and loss that its search uses."""
        trainer = ChildTrainer(self.problem.budget.space.decode(code), self.problem.data, self.problem.epochs)
        trainer.net.train()
        return lambda: trainer.step(*self.batch)

    def dsnas(self, code: list[int], compares: bool) -> Step:
        if self._dsnas is None:
            self._dsnas = DSNASTrainer(self.problem, DSNASSettings(pretrain=0.0, search=1.0))
        return self._on_path(self._dsnas, code, int(not compares))

    def published_dsnas(self, code: list[int]) -> Step:
        """With the published reward."""
        if self._published is None:
            settings = DSNASSettings(pretrain=0.0, search=1.0, reward="gradient")
            self._published = DSNASTrainer(self.problem, settings)
        return self._on_path(self._published, code)

    def snas(self) -> Step:
        trainer = SNASTrainer(self.problem, SNASSettings(pretrain=0.0, search=1.0))
        return lambda: trainer.step(*self.batch)

    def proxyless(self, code: list[int], updates_logits: bool) -> Step:
        if self._proxyless is None:
            self._proxyless = ProxylessTrainer(self.problem, ProxylessSettings(pretrain=0.0, search=1.0))
            # validation batches as large as those of training, which the digits are too few for
            self._proxyless.validation_batch = lambda: self.batch  # type: ignore[method-assign]
        return self._on_path(self._proxyless, code, int(not updates_logits))

    def superkernel(self) -> Step:
        trainer = SinglePathTrainer(self.problem, SinglePathSettings(warmup=0.0, search=1.0))
        return lambda: trainer.step(*self.batch)

    def largest_child(self) -> Step:
        """The largest child alone, with the optimiser and the averages of Single-Path NAS."""
        settings = SinglePathSettings()
        space = self.problem.budget.space
        child = build_child(space.decode(largest(space))).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = rmsprop_tf(child, settings.lr, settings.weight_decay)
        average = exponential_moving_average(child, settings.ema)
        loss_function = nn.CrossEntropyLoss(label_smoothing=settings.label_smoothing)

        def step() -> float:
            images, labels = self.batch
            loss = loss_function(child(images.to(memory_format=torch.channels_last)), labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=False)
            average.update_parameters(child)
            return float(loss.detach())

        return step

    def _on_path(self, trainer: DSNASTrainer, code: list[int], step_count: int = 0) -> Step:
        """The step of that number, on one path; what is not done at every step is done at step 0 and not at step 1."""

        def step() -> None:
            trainer.step_count = step_count
            trainer.sample = lambda again=False: (code, one_hot(trainer.net.alphas, code))  # type: ignore[method-assign]
            trainer.step(*self.batch)

        return step


def seconds_of(step: Step) -> float:
    begin = time.perf_counter()
    step()
    return time.perf_counter() - begin


def time_ratios(space: SearchSpace, batch_size: int, rounds: int) -> dict[str, float]:
    """Seconds per step, the mean over some random paths, and their ratios."""
    methods, rng = Methods(space, batch_size), random.Random(0)
    codes = [[rng.randrange(len(d.candidates)) for d in space.decisions] for _ in range(PATHS)]
    whole = {"snas": methods.snas(), "superkernel": methods.superkernel(), "largest-child": methods.largest_child()}
    steps: dict[tuple[str, int], Step] = {(name, path): step for path in range(PATHS) for name, step in whole.items()}
    for path, code in enumerate(codes):
        steps["child", path] = methods.child(code)
        steps["dsnas-plain", path] = methods.dsnas(code, compares=False)
        steps["dsnas-compare", path] = methods.dsnas(code, compares=True)
        steps["dsnas-published", path] = methods.published_dsnas(code)
        steps["proxyless-plain", path] = methods.proxyless(code, updates_logits=False)
        steps["proxyless-update", path] = methods.proxyless(code, updates_logits=True)
    for step in steps.values():
        step()  # the first step of a network allocates its gradients and momenta
    fastest = dict.fromkeys(steps, float("inf"))
    for _ in range(rounds):
        for key in sorted(steps, key=lambda key: key[1]):  # all methods of a path in turn
            fastest[key] = min(fastest[key], seconds_of(steps[key]))
    mean = {name: statistics.mean(fastest[n, p] for n, p in fastest if n == name) for name, _ in fastest}
    for name, now_and_then, every in (
        ("dsnas", "compare", DSNASSettings().compare_every),
        ("proxyless", "update", ProxylessSettings().alpha_every),
    ):
        mean[name] = (mean[f"{name}-{now_and_then}"] + (every - 1) * mean[f"{name}-plain"]) / every
    return {
        "child_ms": 1000 * mean["child"],
        "largest_child_ms": 1000 * mean["largest-child"],
        "dsnas_over_child_time": mean["dsnas"] / mean["child"],
        "dsnas_compare_over_child_time": mean["dsnas-compare"] / mean["child"],
        "published_dsnas_over_child_time": mean["dsnas-published"] / mean["child"],
        "snas_over_dsnas_time": mean["snas"] / mean["dsnas"],
        "proxyless_over_dsnas_time": mean["proxyless"] / mean["dsnas"],
        "proxyless_update_over_dsnas_time": mean["proxyless-update"] / mean["dsnas"],
        "superkernel_over_largest_child_time": mean["superkernel"] / mean["largest-child"],
    }


def peak_bytes(space: SearchSpace, batch_size: int, method: str) -> int:
    """Run in a fresh process: what building a method and a few of its steps add to the peak."""
    small = Methods(space_of(2), 2)  # what torch loads and allocates once is not part of the comparison
    small.dsnas(largest(space_of(2)), compares=True)()
    small.superkernel()()
    methods = Methods(space, batch_size)
    Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak counts from here
    before = psutil.Process().memory_info().rss
    code = largest(space)
    step = {
        "child": lambda: methods.child(code),
        "dsnas": lambda: methods.dsnas(code, compares=True),
        "snas": methods.snas,
        "proxyless": lambda: methods.proxyless(code, updates_logits=True),
        "largest-child": methods.largest_child,
        "superkernel": methods.superkernel,
    }[method]()
    for _ in range(3):
        step()
    status = Path("/proc/self/status").read_text()
    match = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert match is not None
    return 1024 * int(match[1]) - before


def memory_ratios(name: str, batch_size: int) -> dict[str, float]:
    """Peak bytes of every method, each in a process of its own, and their ratios."""
    command = [sys.executable, __file__, "--space", name, "--batch-size", str(batch_size), "--peak-of"]
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(1 << 16), "MALLOC_ARENA_MAX": "1"}
    peak = {}
    for method in MEMORY_METHODS:
        ended = subprocess.run(
            [*command, method], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
        peak[method] = int(ended.stdout)
    return {
        "child_mib": peak["child"] / 2**20,
        "largest_child_mib": peak["largest-child"] / 2**20,
        "dsnas_over_child_memory": peak["dsnas"] / peak["child"],
        "snas_over_dsnas_memory": peak["snas"] / peak["dsnas"],
        "proxyless_over_dsnas_memory": peak["proxyless"] / peak["dsnas"],
        "superkernel_over_largest_child_memory": peak["superkernel"] / peak["largest-child"],
    }


def costs(name: str, batch_size: int, rounds: int) -> dict[str, float]:
    return time_ratios(named_space(name), batch_size, rounds) | memory_ratios(name, batch_size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="tiny", help="a space that superkernels can hold")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--peak-of", choices=MEMORY_METHODS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak_of:
        print(peak_bytes(named_space(options.space), options.batch_size, options.peak_of))
        return
    named = costs(options.space, options.batch_size, options.rounds)
    growth = {k: costs(f"of {k}", options.batch_size, options.rounds) for k in KERNELS_AND_EXPANSIONS}
    facts = {"space": options.space, "batch": options.batch_size, "torch_threads": torch.get_num_threads()}
    if options.json:
        print(json.dumps({"machine": machine(), **facts, **named, "growth": growth}, indent=2))
        return
    columns = {options.space: named} | {f"{k} candidates": found for k, found in growth.items()}
    rows = [{"figure": figure} | {name: found[figure] for name, found in columns.items()} for figure in named]
    show("what a step costs, against that of the child it trains", rows, False, **facts)


if __name__ == "__main__":
    main()
