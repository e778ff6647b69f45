"""Good files of what the verbs write and read again: baselines, sustained speeds; shipped tables and weights.

As in hostile_files.py: how each is read, and what must hold of whatever is accepted. What is shown of them is made too,
on no terminal: tables and XML.
"""

from __future__ import annotations

import json
import math
import random
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import torch
from hostile_files import (
    IDENTITY,
    SPACE,
    Subject,
    is_latency,
    read_table,
    write_table,
    wrong_child,
    wrong_prediction,
    wrong_table,
)
from hostile_runs import json_file, shown

from hwnas.campaign.baseline import read_baseline
from hwnas.campaign.conditions import Conditions
from hwnas.campaign.gate import Gated
from hwnas.campaign.rounds import Round
from hwnas.child import build_child
from hwnas.designer.config import DesignConfig
from hwnas.designer.sustained_budget import in_first_runs
from hwnas.devices.device import load_device
from hwnas.files import json_text, write_json
from hwnas.latency.fitting.fit import published_predictor
from hwnas.latency.tables.precision import check_precision
from hwnas.latency.tables.shipped import ShippedTable
from hwnas.latency.tables.table import LatencyTable
from hwnas.pretrained import _names, load_pretrained
from hwnas.report.gate_report import gate_table, write_junit
from hwnas.spaces import get_space

SHIPPED = Path(__file__).parents[1] / "latency_models" / "pixel-1" / "single-path-nas"
SHIPPED_SPACE = get_space("single-path")
CONDITIONS: dict[str, Any] = {
    "identity": IDENTITY | {"runtime": "litert", "runtime_version": "2", "cores": "any", "precision": None},
    "circumstances": {"device": "made up"},
}
ROUNDS = [{"model_us": [100.0 + i, 101.0], "reference_us": [50.0 + i, 50.5]} for i in range(4)]
NOW = tuple(Round((103.0 + i, 104.0), (50.0, 51.0 + i)) for i in range(4))


def read_gate(folder: Path) -> Any:
    """A gate against the baseline, without the measurement of now."""
    path = folder / "baseline.json"
    limit = read_baseline(path).limit(path, "abc", 4.0, accept_conditions=True)
    found = limit.excess(NOW, load_device("local"))
    gated = Gated("within", limit, found, NOW, Conditions(**CONDITIONS), "m.tflite", "abc", 1.0)
    shown(gate_table(gated, Path("m.tflite")))
    write_junit(folder / "junit.xml", "m.tflite", "local", gated)
    ElementTree.parse(folder / "junit.xml")
    json_text(gated.to_json())
    return found, limit


def wrong_gate(found: Any) -> str:
    excess, limit = found
    right = all(math.isfinite(x) for x in (excess.low, excess.high)) and excess.low <= excess.value <= excess.high
    return "" if right and all(ratio > 0 for ratio in limit.than) else f"{excess}"


BENCH = {"median_ms": 0.1, "repetitions_us": [100.0, 101.0], "reference_us": [50.0, 50.5]}
SAMPLES = [{"at_s": 60.0 * i, "ms": 1.0 + i / 100, "temperature_celsius": 40.0 + i} for i in range(1, 11)]


def read_sustained_budget(folder: Path) -> Any:
    from hwnas.campaign.sustained import read_sustained

    path = folder / "sustained.json"
    found = read_sustained(path)
    return found, in_first_runs(DesignConfig(data="digits", budget_ms=1.0, sustained=str(path)))


def wrong_sustained(both: Any) -> str:
    found, first = both
    times = [each.at_s for each in found.samples]
    right = is_latency(found.first_ms, found.sustained_ms, first.config.budget_ms) and times == sorted(times)
    return "" if right and math.isfinite(found.slowdown) else f"{found}"


def copy_shipped(folder: Path) -> None:
    shutil.copytree(SHIPPED, folder, dirs_exist_ok=True)


def read_shipped(folder: Path) -> Any:
    ShippedTable.of(folder)
    return published_predictor(LatencyTable.load(folder), SHIPPED_SPACE).predict(SHIPPED_SPACE.sample(random.Random(0)))


def write_precise(folder: Path) -> None:
    write_table(folder)
    path = folder / "conditions.json"
    data = json.loads(path.read_text())
    data["identity"]["precision"] = "int8"
    del data["checksum"]
    write_json(path, data)


def read_precise(folder: Path) -> Any:
    table = LatencyTable.load(folder)
    check_precision(table, "int8")
    return read_table(folder)


def write_pretrained(folder: Path) -> None:
    torch.manual_seed(0)
    state = build_child(PRETRAINED).state_dict()
    torch.save({theirs: state[ours] for ours, theirs in _names(PRETRAINED)}, folder / "weights.pth")


GATE = {"reference": "abc", "rounds": ROUNDS, "conditions": CONDITIONS}
SUSTAINED = {"model": "m.tflite", "minutes": 10.0, "samples": SAMPLES, "conditions": CONDITIONS}

PRETRAINED = SPACE.decode([0] * len(SPACE.decisions))

RESULTS: dict[str, Subject] = {
    "pretrained weights": Subject(
        "weights.pth", write_pretrained, lambda f: load_pretrained(PRETRAINED, f / "weights.pth"), wrong_child
    ),
    "gate baseline": Subject("baseline.json", json_file("baseline.json", GATE), read_gate, wrong_gate),
    "bench baseline": Subject(
        "baseline.json",
        json_file("baseline.json", BENCH | {"reference": "abc", "conditions": CONDITIONS}),
        read_gate,
        wrong_gate,
    ),
    "sustained speed": Subject(
        "sustained.json", json_file("sustained.json", SUSTAINED), read_sustained_budget, wrong_sustained
    ),
    "shipped blocks": Subject("blocks.csv", copy_shipped, read_shipped, wrong_prediction),
    "shipped conditions": Subject("conditions.json", copy_shipped, read_shipped, wrong_prediction),
    "shipped regression": Subject("regression.json", copy_shipped, read_shipped, wrong_prediction),
    "table of a precision": Subject("conditions.json", write_precise, read_precise, wrong_table),
}
