"""This machine's own table: whole networks predicted that were measured in the same campaign but never fitted to.

    python benchmarks/accuracy/local.py [--runtime litert|onnxruntime] [--json]

The blocks of `single-path` and 150 of its networks are measured at 96x96 with many short repetitions in random order,
so that each model meets the machine in all its moods; 50 networks are fitted to, 100 are judged. The campaign goes on
where it was stopped. Wants a machine that does nothing else; about 10 minutes per runtime on two cores.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, for `common`
from common import ROOT, show

from hwnas.campaign.progress import CampaignProgress
from hwnas.devices.device import load_device
from hwnas.latency.card import errors, noise_floor
from hwnas.latency.fitting.fit import fit
from hwnas.latency.measuring.measure import spread_sample
from hwnas.latency.measuring.table_campaign import TableCampaign
from hwnas.latency.tables.table import LatencyTable
from hwnas.space import Architecture, SearchSpace
from hwnas.spaces import get_space

FOLDER = ROOT / "runs" / "accuracy-local"
CURVE = (0, 5, 20, 50)
GOALS = {"litert": {"mape": 1.0}, "onnxruntime": {"mape": 1.5}}
COMMON_GOALS = {"hit5": 99.0, "hit10": 100.0, "spearman": 0.995, "error_per_noise": 1.2}
SECONDS_BETWEEN_LINES = 20

SHORT_REPETITIONS = {
    "visits": 20,
    "extra_visits": 2,
    "reference_every": 3,
    "warmup_ms": 15.0,
    "min_ms": 30.0,
    "max_ms": 120.0,
    "min_runs": 10,
}
"""Many short repetitions rather than few long ones: the machine changes far more between two repetitions than one of
them is unsure of. A repetition takes about a third of a second with its conversion."""


def evaluate_local(
    runtime: str,
    resolution: int = 96,
    used: int = 50,
    held_out: int = 100,
    folder: Path = FOLDER,
    limits: dict[str, Any] = SHORT_REPETITIONS,
) -> dict[str, Any]:
    """Errors in percent on `held_out` networks of a fit to `used` others and all blocks.

    `noise_floor` is how far half of the repetitions to a held-out network is off the other half; a table that is there
    already is not measured again. `learning_curve` has the error for fewer networks.
    """
    space = get_space("single-path", resolution)
    sample = spread_sample(space, used + held_out)
    order = Random(0).sample(sample, len(sample))
    device = load_device("local").model_copy(update=limits)
    entries = len(space.distinct_blocks()) + len(sample)
    print(f"{runtime}: {entries} models, {device.visits} repetitions each; an estimate follows", file=sys.stderr)
    with TableCampaign.begin(device, runtime, folder / str(resolution), _Lines()) as campaign:
        campaign.measure(space.distinct_blocks(), sample)
    table, summary = campaign.result.table, campaign.result.summary
    unseen = {network: table.networks[network] for network in order[used:]}
    curve = {
        count: _judge(table, space, order[:count], list(unseen))
        for count in sorted({*CURVE, used} & {*range(used + 1)})
    }
    floor = noise_floor(unseen.values())
    error = curve[used]["mape"]
    return curve[used] | {
        "noise_floor": floor,
        "error_per_noise": error / floor if floor else None,
        "n_train": used,
        "n_test": held_out,
        "learning_curve": {count: scores["mape"] for count, scores in curve.items()},
        "noisy_networks": sum(row.noisy for row in unseen.values()),
        "minutes": summary.seconds / 60,
        "inference_share": summary.inference_share,
        **summary.drift.to_json(),
    }


def _judge(
    table: LatencyTable, space: SearchSpace, seen: list[Architecture], unseen: list[Architecture]
) -> dict[str, Any]:
    """The scores on `unseen` of a fit to the blocks and the networks `seen`."""
    predictor = fit(replace(table, networks={network: table.networks[network] for network in seen}), space)
    predictions = predictor.predict_many(unseen)
    measured_ms = np.array([table.networks[network].median_ms for network in unseen])
    covered = [p.low_ms <= ms <= p.high_ms for p, ms in zip(predictions, measured_ms, strict=True)]
    scores = errors(measured_ms, np.array([prediction.ms for prediction in predictions]))
    return scores | {"coverage90": 100 * float(np.mean(covered))}


class _Lines:
    """How far a campaign is, a line now and then."""

    def __init__(self) -> None:
        self._last_eta_s = np.inf

    def __call__(self, progress: CampaignProgress) -> None:
        if self._last_eta_s - progress.eta_s >= SECONDS_BETWEEN_LINES or progress.done == progress.total:
            self._last_eta_s = progress.eta_s
            left = f"about {progress.eta_s / 60:.1f} minutes left"
            print(f"  {progress.done} of {progress.total} repetitions, {left}, {progress.text}", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runtime", choices=sorted(GOALS), action="append", help="may be repeated [both]")
    parser.add_argument("--resolution", type=int, default=96)
    parser.add_argument("--used", type=int, default=50)
    parser.add_argument("--held-out", type=int, default=100)
    parser.add_argument("--visits", type=int, default=SHORT_REPETITIONS["visits"])
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    limits = SHORT_REPETITIONS | {"visits": options.visits}
    rows, facts = [], {}
    for runtime in options.runtime or sorted(GOALS):
        found = evaluate_local(runtime, options.resolution, options.used, options.held_out, options.folder, limits)
        goals = COMMON_GOALS | GOALS[runtime]
        rows += [
            {"runtime": runtime, "figure": name, "here": found[name], "goal": goals.get(name, "")}
            for name in ("mape", "hit5", "hit10", "spearman", "coverage90", "noise_floor", "error_per_noise")
        ]
        facts[runtime] = {name: value for name, value in found.items() if name not in goals}
    show(f"single-path at {options.resolution}x{options.resolution} on this machine", rows, options.json, **facts)


if __name__ == "__main__":
    main()
