"""Beside a load that moves from core to core: how often does `hwnas gate` fail a model that is as fast as before, and
how often does it find one that is 8 % slower? And a script that compares one median with one median, by a rule of 5 %?

The slower model is one: the same network with one more block. How much slower it really is, is measured before and
printed: both in turns in one process, in 20 rounds, without the load. Its baselines are taken without the load, too.

The larger the images (--side), the longer a single run, and the more of the load is in it.

python benchmarks/gate.py [--runs 30] [--side 64] [--json]
"""

from __future__ import annotations

import argparse
import math
import tempfile
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import torch
from common import plain_runs_us, show
from interleaved import interleaved_ms
from noise import load
from torch import nn

from hwnas.blocks import build_block
from hwnas.campaign.baseline import Baseline
from hwnas.campaign.gate import digest_of, gate
from hwnas.devices.device import load_device
from hwnas.exporter.export import convert
from hwnas.latency.measuring.model_files import reference_model
from hwnas.runtimes import get_runtime
from hwnas.specs.mbconv import MBConv

BLOCKS = ((16, 24, 2), (24, 24, 1), (24, 32, 2), (32, 32, 1), (32, 32, 1))
"""Channels in and out, and stride."""
ALLOWED_PERCENT = 4.0
RULE_PERCENT = 5.0
ROUNDS = 20


def network(slower: bool, side: int) -> bytes:
    """A small network as a .tflite; the slower one has one more block."""
    torch.manual_seed(0)
    blocks = [build_block(MBConv(c_in, c_out, kernel=3, expand=4, stride=stride)) for c_in, c_out, stride in BLOCKS]
    if slower:
        blocks.append(build_block(MBConv(32, 32, kernel=3, expand=3)))
    layers = [nn.Conv2d(3, 16, 3, 2, 1), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)]
    return convert(nn.Sequential(*layers).eval(), (1, 3, side, side), "tflite")


def slower_percent(models: dict[str, Path], side: int) -> float:
    """How much slower the second model is: the mean over rounds of both in turns."""
    runtime, x = get_runtime("litert"), np.random.default_rng(0).standard_normal((1, 3, side, side)).astype(np.float32)
    found = interleaved_ms({name: lambda path=path: runtime.load(path) for name, path in models.items()}, x, ROUNDS)
    first, second = found.values()
    return 100 * (math.exp(mean(math.log(b / a) for a, b in zip(first, second, strict=True))) - 1)


def plain_median_us(model: Path) -> float:
    return median(plain_runs_us(get_runtime("litert").load(model)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--side", type=int, default=64)
    arguments = parser.parse_args()
    device, reference = load_device("local"), reference_model("tflite")
    with tempfile.TemporaryDirectory() as folder:
        models = {name: Path(folder) / f"{name}.tflite" for name in ("unchanged", "slower")}
        for name, path in models.items():
            path.write_bytes(network(name == "slower", arguments.side))
        really = slower_percent(models, arguments.side)
        saved = gate(models["unchanged"], device, "litert", reference, None).to_json()
        baseline = Baseline(**{key: saved[key] for key in Baseline.model_fields})
        limit = baseline.limit(Path("baseline"), digest_of(reference), ALLOWED_PERCENT, accept_conditions=False)
        plain_us = plain_median_us(models["unchanged"])
        runs: dict[str, list[dict[str, Any]]] = {name: [] for name in models}
        with load("moving"):
            for _ in range(arguments.runs):
                for name, path in models.items():
                    off_percent = 100 * (plain_median_us(path) / plain_us - 1)
                    found = gate(path, device, "litert", reference, limit)
                    runs[name].append(
                        {
                            "status": found.status,
                            "off": found.excess.percent(ALLOWED_PERCENT)[0],
                            "rounds": len(found.rounds),
                            "seconds": found.seconds,
                            "plain": off_percent,
                        }
                    )
    rows = []
    for name, found in runs.items():
        plain = [run["plain"] for run in found]
        rows.append(
            {
                "model": name,
                "runs": len(found),
                "gate: too slow": sum(run["status"] == "too slow" for run in found),
                "undecided": sum(run["status"] == "undecided" for run in found),
                "found, %": mean(run["off"] for run in found),
                "rounds": mean(run["rounds"] for run in found),
                "seconds": mean(run["seconds"] for run in found),
                "rule of 5 %: too slow": sum(each > RULE_PERCENT for each in plain),
                "its median, %": f"{min(plain):.1f} to {max(plain):.1f}",
            }
        )
    show("A gate beside a moving load", rows, arguments.json, side=arguments.side, really_slower_percent=really)


if __name__ == "__main__":
    main()
