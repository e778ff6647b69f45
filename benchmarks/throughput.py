"""How long until a latency is known to 1 %: hwnas against the plain loop "load, 10 warm-ups, 50 runs".

Both loops are made many times over the same models, in turns, so that both see the same machine. From these launches:

- stated: seconds until the 95 % confidence interval of the median, over all runs so far, is within 1 %. It takes runs
  for independent, which they are not, so it promises too much for either.
- repeatable: seconds until 95 % of the repetitions give a number within 1 % of what all launches of that loop give.
  That is what a table needs.

python benchmarks/throughput.py [--json] [--launches 24] [--models 12]
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import geometric_mean, median
from typing import Any

import numpy as np
from common import plain_runs_us, show

from hwnas.campaign.measurement import Measurement
from hwnas.devices.device import load_device
from hwnas.latency.measuring.measure import spread_sample
from hwnas.latency.measuring.model_files import block_model, network_model
from hwnas.runners.timing import median_precision_percent, open_session, time_session
from hwnas.runtimes import get_runtime
from hwnas.spaces import get_space

GOAL_PERCENT = 1.0
CONFIDENCE = 0.95
DRAWS = 400
"""Random choices of launches that a repetition's error is estimated from."""

RUNTIME = get_runtime("litert")
DEVICE = load_device("local")


@dataclass
class Launches:
    """What one loop gave for one model."""

    runs_us: list[list[float]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def add(self, launch: Callable[[bytes], list[float]], model: bytes) -> None:
        begin = time.perf_counter()
        runs_us = launch(model)
        self.seconds.append(time.perf_counter() - begin)
        self.runs_us.append(runs_us)

    def stated_s(self) -> float:
        """Seconds until the confidence interval over all runs so far is narrow enough; infinite if it never is."""
        pooled: list[float] = []
        for count, runs_us in enumerate(self.runs_us, start=1):
            pooled += runs_us
            if median_precision_percent(pooled) <= GOAL_PERCENT:
                return sum(self.seconds[:count])
        return float("inf")

    def repeatable_s(self, combine: Callable[[list[list[float]]], float]) -> float:
        """Seconds until repetitions agree with all launches; infinite if half of the launches are not enough."""
        rng, truth = random.Random(0), combine(self.runs_us)
        for count in range(1, len(self.runs_us) // 2 + 1):
            drawn = (combine(rng.sample(self.runs_us, count)) for _ in range(DRAWS))
            close = sum(abs(100 * (each / truth - 1)) <= GOAL_PERCENT for each in drawn)
            if close >= CONFIDENCE * DRAWS:
                return count * median(self.seconds)
        return float("inf")


def plain_launch(model: bytes) -> list[float]:
    """Load, 10 warm-ups, 50 runs."""
    return plain_runs_us(RUNTIME.load(model))


def hwnas_launch(model: bytes) -> list[float]:
    """One repetition."""
    return time_session(open_session(RUNTIME, model, DEVICE), DEVICE).runs_us


def pooled_median_ms(launches: list[list[float]]) -> float:
    """What scripts report of several launches: the median of all runs."""
    return float(np.median(np.concatenate(launches))) / 1000


def hwnas_ms(launches: list[list[float]]) -> float:
    """What hwnas reports of several repetitions."""
    return Measurement(tuple(map(tuple, launches))).median_ms


def subjects(count: int) -> dict[str, bytes]:
    """Blocks of the Single-Path space and, half as many, whole networks of it, as a table of it holds them."""
    space = get_space("single-path")
    blocks = random.Random(1).sample(space.distinct_blocks(), count - count // 3)
    models = {f"{spec} at {shape[1]}": block_model(spec, shape, "tflite") for spec, shape in blocks}
    networks = spread_sample(space, count // 3)
    return models | {f"network {each.code}": network_model(each, "tflite") for each in networks}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--launches", type=int, default=24)
    parser.add_argument("--models", type=int, default=12)
    arguments = parser.parse_args()
    models = subjects(arguments.models)
    plain = {name: Launches() for name in models}
    ours = {name: Launches() for name in models}
    for _ in range(arguments.launches):
        for name, model in models.items():
            plain[name].add(plain_launch, model)
            ours[name].add(hwnas_launch, model)
    rows: list[dict[str, Any]] = []
    for name in models:
        stated = plain[name].stated_s(), ours[name].stated_s()
        repeatable = plain[name].repeatable_s(pooled_median_ms), ours[name].repeatable_s(hwnas_ms)
        rows.append(
            {
                "model": name,
                "ms": hwnas_ms(ours[name].runs_us),
                "stated, plain s": stated[0],
                "hwnas s": stated[1],
                "ratio": stated[0] / stated[1],
                "repeatable, plain s": repeatable[0],
                "hwnas s ": repeatable[1],
                "ratio ": repeatable[0] / repeatable[1],
            }
        )
    facts: dict[str, float | int] = {}
    for kind in ("blocks", "networks"):
        group = [row for row in rows if row["model"].startswith("network") == (kind == "networks")]
        facts |= _facts(group, f"{kind}, stated", "stated, plain s", "hwnas s")
        facts |= _facts(group, f"{kind}, repeatable", "repeatable, plain s", "hwnas s ")
    facts |= _facts(rows, "all, stated", "stated, plain s", "hwnas s")
    show('Time to 1 % of a latency: "load, 10 warm-ups, 50 runs" against hwnas', rows, arguments.json, **facts)


def _facts(rows: list[dict[str, Any]], what: str, plain: str, ours: str) -> dict[str, float | int]:
    """The ratio over all models, the mean ratio of a model, and how many models only one of the loops came to know."""
    settled = [(row[plain], row[ours]) for row in rows if np.isfinite([row[plain], row[ours]]).all()]
    facts: dict[str, float | int] = {}
    if settled:
        facts[f"{what}, ratio of all seconds"] = sum(a for a, _ in settled) / sum(b for _, b in settled)
        facts[f"{what}, mean ratio"] = geometric_mean(a / b for a, b in settled)
    facts[f"{what}, settled by hwnas only"] = sum(row[ours] < np.inf == row[plain] for row in rows)
    facts[f"{what}, settled by the plain loop only"] = sum(row[plain] < np.inf == row[ours] for row in rows)
    return facts


if __name__ == "__main__":
    main()
