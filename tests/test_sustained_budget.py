"""A budget for sustained speed: what it is for the first runs, and where it is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hwnas.campaign.conditions import current_conditions
from hwnas.campaign.sustained import Sample, Sustained
from hwnas.designer.config import DesignConfig, default_folder
from hwnas.designer.sustained_budget import in_first_runs
from hwnas.designer.task import Task
from hwnas.errors import HwnasError, UsageError
from hwnas.files import read_json, write_json
from hwnas.progress import silent
from hwnas.spaces import get_space
from tests.latency_tables import made_table


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Of a device that takes 1 ms at first and 1.25 ms at last."""
    samples = tuple(Sample(at_s=60.0 * (place + 1), ms=ms) for place, ms in enumerate([1.0] * 3 + [1.25] * 6))
    conditions = current_conditions("local", "litert")
    path = tmp_path / "sustained.json"
    write_json(path, Sustained(model="m", minutes=9, samples=samples, conditions=conditions.to_json()).to_json())
    return path


def test_a_budget_in_ms_is_divided_by_the_slowdown_and_a_share_is_not(file: Path) -> None:
    found = in_first_runs(DesignConfig(budget_ms=20.0, frontier=(10.0, "40%"), sustained=str(file)))
    assert (found.config.budget_ms, found.config.frontier, found.slowdown) == (16.0, (8.0, "40%"), 1.25)
    assert "20 ms sustained are 16 ms at first" in found.said[0] and str(file) in found.said[0]
    with pytest.raises(UsageError, match="--sustained needs a budget in ms, not 60 %"):
        in_first_runs(DesignConfig(budget_ms="60%", sustained=str(file)))
    plain = DesignConfig(budget_ms=20.0)
    assert in_first_runs(plain).config == plain


def test_a_device_that_seems_faster_at_last_adds_nothing_to_a_budget(file: Path) -> None:
    data = read_json(file, "the samples")
    for sample in data["samples"]:
        sample["ms"] = 2.0 - sample["ms"]
    write_json(file, data)
    assert in_first_runs(DesignConfig(budget_ms=20.0, sustained=str(file))).config.budget_ms == 20.0


def test_the_slowdown_of_another_device_is_refused(file: Path) -> None:
    found = in_first_runs(DesignConfig(budget_ms=20.0, sustained=str(file)))
    now = current_conditions("local", "litert", "float32")
    found.check(now)
    with pytest.raises(HwnasError, match=r"cpu: .* in the file, Another CPU now.*--accept-conditions"):
        found.check(replace(now, identity=now.identity | {"cpu": "Another CPU"}))


def test_a_design_searches_under_the_budget_of_the_first_runs_and_records_why(file: Path, tmp_path: Path) -> None:
    table = made_table(get_space("tiny", 16, 10, 0.25), networks=8, seed=0)
    table.conditions = current_conditions("local", "litert", "float32").to_json()
    table.save(tmp_path / "table")
    wanted = {"space": "tiny", "resolution": 16, "width": 0.25, "latency": str(tmp_path / "table"), "budget_ms": 1000.0}
    task = Task.of(DesignConfig(**wanted, sustained=str(file)), silent, tmp_path / "run")
    assert task.budget_ms == task.budget.budget_ms == 800.0
    assert (task.resolved()["slowdown"], task.resolved()["sustained"]) == (1.25, str(file))
    assert task.chosen[0].startswith("1000 ms sustained are 800 ms at first")
    plain = DesignConfig(**wanted)
    assert Task.of(plain, silent, tmp_path / "run").resolved()["slowdown"] is None
    assert default_folder(plain) != default_folder(DesignConfig(**wanted, sustained=str(file)))
