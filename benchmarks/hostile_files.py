"""Good files of every kind that hwnas reads, how each is read, and what must hold of whatever is accepted.

The oracles look at the values only, not at how they were read: latencies are finite, positive and in order, sizes are
those that a network can have, weights are finite.
"""

from __future__ import annotations

import csv
import io
import json
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from hwnas.campaign.journal import HEADER_START, Journal
from hwnas.campaign.repetitions import repetitions_by_key
from hwnas.child import build_child, load_child, read_architecture, save_child
from hwnas.cli.designing import _design_config
from hwnas.devices.device import load_device
from hwnas.latency.additive import AdditivePredictor
from hwnas.latency.fitting.fit import fit
from hwnas.latency.tables.imported.import_table import import_table
from hwnas.latency.tables.table import Latency, LatencyTable
from hwnas.pricing import price
from hwnas.report.recorded import design_report, run_config
from hwnas.run import Run
from hwnas.spaces import get_space

SPACE = get_space("tiny", resolution=16, width=0.25)
CODE = [0, 1, 2, 3, 4, 0, 1]
IDENTITY = {"system": "Linux", "cpu": "made up", "threads": 1}


@dataclass(frozen=True)
class Subject:
    """One kind of file.

    Attributes:
        file: which file of the good folder is damaged.
        write: writes the good files into a folder.
        read: reads them as a verb of hwnas does; returns what came of it.
        wrong: why that cannot be right; empty where it can.
    """

    file: str
    write: Callable[[Path], object]
    read: Callable[[Path], Any]
    wrong: Callable[[Any], str]


def is_latency(*ms: float) -> bool:
    return all(type(x) is float and math.isfinite(x) and x > 0 for x in ms)


def write_table(folder: Path, networks: int = 4) -> None:
    """A table; from five networks on it is fitted, which takes a second."""
    dice = random.Random(0)

    def row() -> Latency:
        ms = dice.uniform(0.1, 2.0)
        return Latency(ms, 0.9 * ms, 1.2 * ms, 40, 1.5, halves_percent=0.5, drift_percent=-0.3)

    measured = {SPACE.sample(random.Random(i)): row() for i in range(networks)}
    blocks = {block: row() for block in SPACE.distinct_blocks()}
    conditions = {"identity": IDENTITY, "circumstances": {"device": "made up"}, "summary": {"reference_us": 50.0}}
    block = next(iter(blocks))
    LatencyTable(blocks, measured, conditions, layers={(0, block): row()}).save(folder)


def read_table(folder: Path) -> Any:
    table = LatencyTable.load(folder)
    return table, price(SPACE, CODE, table).prediction


def wrong_table(found: Any) -> str:
    table, prediction = found
    for row in [*table.blocks.values(), *table.networks.values(), *table.layers.values()]:
        in_order = 0 <= row.p5_ms <= row.median_ms <= row.p95_ms
        if not (is_latency(row.median_ms, row.p95_ms) and in_order and row.runs >= 1):
            return f"row {row}"
    for spec, shape in table.blocks:
        if not all(1 <= size < 100_000 for size in (*shape, *spec.output_shape(shape))):
            return f"block {spec} on {shape}"
    return wrong_prediction(prediction)


def wrong_prediction(found: Any) -> str:
    low, high = found.interval_ms
    right = is_latency(found.ms) and math.isfinite(low) and math.isfinite(high) and low <= found.ms <= high
    return "" if right else f"prediction {found}"


def wrong_import(found: Any) -> str:
    if not found.table.blocks:
        return "no block"
    for row in [*found.table.blocks.values(), *found.table.layers.values()]:
        if not (is_latency(row.median_ms, row.p95_ms) and 0 <= row.p5_ms <= row.median_ms <= row.p95_ms):
            return f"row {row}"
    return ""


def architecture_of(folder: Path) -> Any:
    return read_architecture(folder / "architecture.json")


def wrong_architecture(architecture: Any) -> str:
    shape = architecture.input_shape
    for spec in architecture.blocks:
        if not all(type(size) is int and 1 <= size < 100_000 for size in shape):
            return f"{spec} on {shape}"
        shape = spec.output_shape(shape)
    return "" if architecture.params < 10**9 else f"{architecture.params} parameters"


def wrong_child(child: Any) -> str:
    with torch.inference_mode():
        logits = child(torch.ones(1, *child.architecture.input_shape))
    return "" if logits.isfinite().all() else "logits that are not finite"


def write_child(folder: Path) -> None:
    torch.manual_seed(0)
    save_child(build_child(SPACE.decode(CODE)), folder)


def write_text(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


def lookup_yaml() -> str:
    keys = [
        f"expanded_conv-input:{s}x{s}x{c}-output:{s}x{s}x{c}-expand:{e}-kernel:{k}-stride:1-idskip:1"
        for s, c in ((56, 24), (28, 40))
        for e in (3, 6)
        for k in (3, 5, 7)
    ]
    return "".join(f"{key}:\n  mean: {1.5 + i / 7:.4f}\n  count: {100 + i}\n" for i, key in enumerate(keys))


def lookup_csv() -> str:
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["key", "mean_ms", "count", "std_ms"])
    for s, c, e in ((56, 24, 72), (28, 40, 240), (14, 80, 240)):
        key = f"expanded_conv-input:{s}x{s}x{c}-output:{s}x{s}x{c}-expand:{e}-kernel:3-stride:1-idskip:1-se:0-hs:1"
        rows.writerow([key, 0.5 + s / 10, 100, 0.02])
    return text.getvalue()


def read_config(folder: Path) -> Any:
    return _design_config({}, folder / "design.toml")


def wrong_config(config: Any) -> str:
    in_ms = [budget for budget in (config.budget_ms, *config.frontier) if not isinstance(budget, str)]
    right = is_latency(*in_ms) and (config.epochs is None or config.epochs >= 1) and config.batch_size >= 2
    return "" if right else f"{config}"


def wrong_device(device: Any) -> str:
    numbers = (device.warmup_ms, device.min_ms, device.max_ms, device.precision_percent, device.drift_limit_percent)
    right = all(math.isfinite(x) and x >= 0 for x in numbers) and 1 <= device.threads < 10**4 and device.name
    right = right and device.min_runs <= device.max_runs < 10**9 and all(type(x) is int for x in (device.visits,))
    return "" if right else f"{device}"


def write_journal(folder: Path) -> None:
    lines = [HEADER_START + json.dumps({"identity": IDENTITY}).encode()[1:]]
    for i in range(8):
        records: list[dict[str, Any]] = [
            {"start": {"device": "made up"}},
            {"reference": "abc", "runs_us": [50.0 + i, 51.0]},
            {"entry": f"block {i}", "label": "a block", "runs_us": [100.0 + i, 101.0, 99.5]},
            {"health": {"max_frequency_khz": 1_800_000, "thermal_status": 0}},
        ]
        lines += [json.dumps(record).encode() for record in records[0 if i == 0 else 1 :]]
    (folder / "journal.jsonl").write_bytes(b"\n".join(lines) + b"\n")


def read_journal(folder: Path) -> Any:
    with Journal(folder / "journal.jsonl", IDENTITY) as journal:
        return repetitions_by_key(journal.records)


def wrong_journal(made: Any) -> str:
    runs = [run for repetitions in made.values() for each in repetitions for run in each.runs_us]
    return "" if all(is_latency(run) for run in runs) else "runs"


REPORT: dict[str, Any] = {
    "device": "made-up", "runtime": "litert", "status": "within", "budget_ms": 1.0, "predicted_ms": 0.8,
    "interval_ms": [0.7, 0.9], "measured_ms": {"litert": 0.82}, "accuracy": 0.9, "macs": 10, "params": 20,
    "conditions": {"litert": {"identity": IDENTITY, "circumstances": {"date": "today"}}}, "classes": ["a", "b"],
    "preprocessing": {"resolution": 16, "mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2]}, "images": {"train": 5},
}  # fmt: skip


def write_run(folder: Path) -> None:
    run = Run(folder, {"data": "digits", "batch_size": 32, "seed": 0})
    for step in range(5):
        run.log({"step": step, "loss": 1.0 / (step + 1)})
    (folder / "report.json").write_text(json.dumps(REPORT, indent=1))


def read_run(folder: Path) -> Any:
    config, report = run_config(folder), design_report(folder / "report.json")
    run = Run(folder, config)
    run.rewind(3)
    return config, report, run.metrics()


def wrong_run(found: Any) -> str:
    config, report, metrics = found
    seen = (report or {}).get("preprocessing") or {"mean": [0.0], "std": [1.0]}
    right = all(math.isfinite(x) for x in seen["mean"]) and all(x > 0 for x in seen["std"])
    right = right and all(is_latency(float(ms)) for ms in (report or {}).get("measured_ms", {}).values())
    right = right and type(config.get("batch_size", 1)) is int and all(isinstance(r, dict) for r in metrics)
    return "" if right else f"{config} {report}"


LAYERS = json.dumps(
    {"layers_ms": [[1.0 + i, 2.0, 3.0, 4.0] if 0 < i < 21 else [1.0, 1.5, 2.0, 2.5] for i in range(22)]}
)
NN_METER = json.dumps({f"conv_{s}_{c}_{c}_6_1_relu_{k}_nose": 1.0 + k for s, c in ((56, 24), (28, 40)) for k in (3, 5)})
DEVICE = 'name = "mine"\nthreads = 2\ncores = [0, 1]\nmax_ms = 500.0\nmin_runs = 5\nhardware = ["Pi*"]\nvisits = 3\n'
CONFIG = 'space = "tiny"\ndata = "digits"\nbudget_ms = 0.5\nfrontier = [0.3, 0.4]\nepochs = 3\n[settings]\nlr = 0.1\n'


def imported(name: str, device: str | None = None) -> Callable[[Path], Any]:
    return lambda folder: import_table(folder / name, device, folder / "tables")


def read_predictor(folder: Path) -> Any:
    return AdditivePredictor.load(folder / "predictor.json").predict(SPACE.decode(CODE))


def write_predictor(folder: Path) -> None:
    write_table(folder / "table", networks=10)
    table = LatencyTable.load(folder / "table")
    fit(table, SPACE).save(folder / "predictor.json")


FILES: dict[str, Subject] = {
    "table blocks": Subject("blocks.csv", write_table, read_table, wrong_table),
    "table networks": Subject("networks.csv", partial(write_table, networks=10), read_table, wrong_table),
    "table layers": Subject("layers.csv", write_table, read_table, wrong_table),
    "table conditions": Subject("conditions.json", write_table, read_table, wrong_table),
    "single-path JSON": Subject("t.json", write_text("t.json", LAYERS), imported("t.json"), wrong_import),
    "lookup YAML": Subject("t.yaml", write_text("t.yaml", lookup_yaml()), imported("t.yaml"), wrong_import),
    "lookup CSV": Subject("t.csv", write_text("t.csv", lookup_csv()), imported("t.csv"), wrong_import),
    "nn-Meter JSON": Subject("n.json", write_text("n.json", NN_METER), imported("n.json", "pixel-4"), wrong_import),
    "predictor": Subject("predictor.json", write_predictor, read_predictor, wrong_prediction),
    "architecture": Subject("architecture.json", write_child, architecture_of, wrong_architecture),
    "child architecture": Subject("architecture.json", write_child, load_child, wrong_child),
    "child weights": Subject("weights.safetensors", write_child, load_child, wrong_child),
    "device": Subject("d.toml", write_text("d.toml", DEVICE), lambda f: load_device(f / "d.toml"), wrong_device),
    "configuration": Subject("design.toml", write_text("design.toml", CONFIG), read_config, wrong_config),
    "run": Subject("run.json", write_run, read_run, wrong_run),
    "run metrics": Subject("metrics.jsonl", write_run, read_run, wrong_run),
    "report": Subject("report.json", write_run, read_run, wrong_run),
    "journal": Subject("journal.jsonl", write_journal, read_journal, wrong_journal),
}
