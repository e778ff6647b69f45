"""Is what a table predicts what its networks measure later, and does it help to allow for the machine's speed?

    python benchmarks/design_prediction.py [TABLE...] [--seed 0] [--rounds 4] [--json]

For each measured table of `tiny`, networks are decoded from random probabilities at three budgets (a quarter, a half
and three quarters of the way from where the interval of the fastest network ends to where that of the slowest does),
exported with random weights, and measured in turns with each other as `hwnas design` does at its end. Nothing is
trained: half a minute per table. Give tables of both runtimes, measured hours apart, and leave the machine alone.
Without tables it takes those that it measured when it was first run without, in minutes, and keeps in `.bench`.

`off %` is the table's own prediction against what is measured now, `allowed %` the same times what the reference
model takes now over what it took for the table. Aim: `off %` within 3 in 9 of 9, and within the interval.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import CACHE, show

from hwnas.child import ChildNetwork
from hwnas.designer.final import FINAL_ROUNDS, measure_models, usual_us_of
from hwnas.devices.device import load_device
from hwnas.exporter.export import export
from hwnas.exporter.exported import ExportedModel
from hwnas.latency.additive import AdditivePredictor
from hwnas.latency.budget import Budget
from hwnas.latency.decoding import mean_per_ms, most_probable_within
from hwnas.latency.fitting.fit import fit
from hwnas.latency.measuring.measure import measure
from hwnas.latency.tables.table import LatencyTable
from hwnas.runners import runtime_format
from hwnas.space import Architecture
from hwnas.spaces import get_space

SHARES = (0.25, 0.5, 0.75)
SPACE = "tiny"
RUNTIMES = ("litert", "onnxruntime")


def kept_tables() -> list[Path]:
    """The folders of the tables of this machine in the cache, measured where they are not there."""
    found = []
    for runtime in RUNTIMES:
        folder = CACHE / "latency_models" / "local" / runtime
        if not (folder / "networks.csv").is_file():
            measure(get_space(SPACE), "local", runtime, CACHE / "latency_models")
        found.append(folder)
    return found


def decoded(predictor: AdditivePredictor, seed: int) -> list[tuple[float, Architecture]]:
    """A budget in ms and a network within it, for each of the shares."""
    space = get_space(SPACE)
    first_ms, last_ms = (predictor.predict(network).high_ms for network in predictor.extremes(space))
    rng = np.random.default_rng(seed)
    found = []
    for share in SHARES:
        budget = Budget(first_ms + share * (last_ms - first_ms), space, predictor)
        budget.check_feasible()
        log_p = [np.log(rng.dirichlet(np.ones(len(decision.candidates)))) for decision in space.decisions]
        found.append((budget.budget_ms, most_probable_within(budget, log_p, mean_per_ms(budget, log_p))))
    return found


def exported(network: Architecture, runtime: str, folder: Path) -> ExportedModel:
    """The network's file for a runtime, with random weights."""
    torch.manual_seed(0)
    format = runtime_format(runtime)
    return next(model for model in export(ChildNetwork(network).eval(), folder) if model.format == format)


def evaluate(path: Path, seed: int, rounds: int) -> list[dict[str, Any]]:
    """A row for each budget."""
    table = LatencyTable.load(path)
    identity = table.conditions["identity"]
    runtime = identity["runtime"]
    device = load_device("local").with_threads(identity["threads"])
    predictor = fit(table, get_space(SPACE))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        pairs = decoded(predictor, seed)
        models = [exported(network, runtime, Path(folder) / str(i)) for i, (_, network) in enumerate(pairs)]
        finals = [[] for _ in models]
        for _ in range(rounds):
            for k, model in enumerate(models):  # in turns
                finals[k].append(
                    measure_models(
                        [model], device, runtime, lambda *_: None, False, rounds=1, usual_us=usual_us_of(table)
                    )
                )
    for (budget_ms, network), measured in zip(pairs, finals, strict=True):
        prediction = predictor.predict(network)
        ms = float(np.median([final.measured_ms[runtime] for final in measured]))
        drift = [final.drift_percent(table, runtime) for final in measured]
        drift_percent = float(np.median([percent for percent in drift if percent is not None] or [0.0]))
        rows.append(
            {
                "table": path.name,
                "date": str(table.conditions.get("circumstances", {}).get("date", ""))[:16],
                "budget ms": budget_ms,
                "predicted ms": prediction.ms,
                "interval ms": f"{prediction.low_ms:.4f} to {prediction.high_ms:.4f}",
                "measured ms": ms,
                "off %": 100 * (prediction.ms / ms - 1),
                "drift %": drift_percent,
                "allowed %": 100 * (prediction.ms * (1 + drift_percent / 100) / ms - 1),
                "in interval": prediction.holds(ms),
                "within": ms <= budget_ms,
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", type=Path, metavar="TABLE", help="latency_models/local/RUNTIME")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=FINAL_ROUNDS, help="visits of each network")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = [row for path in options.tables or kept_tables() for row in evaluate(path, options.seed, options.rounds)]
    facts = {
        "designs": len(rows),
        "within_3_percent": sum(abs(row["off %"]) <= 3 for row in rows),
        "within_3_percent_allowed": sum(abs(row["allowed %"]) <= 3 for row in rows),
        "in_interval": sum(row["in interval"] for row in rows),
        "within_budget": sum(row["within"] for row in rows),
    }
    show("what the table predicted, and what is measured now", rows, options.json, **facts)


if __name__ == "__main__":
    main()
