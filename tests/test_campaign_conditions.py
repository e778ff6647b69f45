"""Conditions: what is recorded here and now, and what counts as a difference."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from hwnas.campaign.conditions import Conditions, current_conditions, differences
from hwnas.devices.cores import usable_cores
from hwnas.devices.device import Device
from hwnas.devices.machine import cpu_quota_cores
from hwnas.errors import HwnasError, UsageError
from hwnas.runtimes import get_runtime
from hwnas.transports.base import Core, Facts
from hwnas.transports.facts import parse_facts

RUNTIME = get_runtime("litert")


def test_current_conditions_of_this_machine() -> None:
    conditions = current_conditions(Device(name="test", threads=2, cores=(0, 1)), RUNTIME, "float32")
    assert conditions.identity | {"cpu": None} == {
        "system": os.uname().sysname,
        "architecture": os.uname().machine,
        "cpu": None,
        "core_count": os.cpu_count(),
        "runtime": "litert",
        "runtime_version": RUNTIME.version(),
        "library_sha256": RUNTIME.library_sha256(),
        "threads": 2,
        "cores": [0, 1],
        "batch": 1,
        "precision": "float32",
    }
    age = datetime.now(UTC) - datetime.fromisoformat(conditions.circumstances["date"])
    assert conditions.circumstances["device"] == "test" and 0 <= age.total_seconds() < 60


def test_json_and_back() -> None:
    conditions = current_conditions(Device(name="test", cores=(0,)), RUNTIME)
    again = Conditions.from_json(json.loads(json.dumps(conditions.to_json())))
    assert again == conditions
    assert differences(again.identity, conditions.identity, "the table") == []
    with pytest.raises(HwnasError, match="'circumstances'"):
        Conditions.from_json({"identity": {}})


def test_differences_are_told_for_people() -> None:
    recorded = {"threads": 1, "cores": "any", "library_sha256": "a" * 64, "old": None}
    current = {"threads": 2, "cores": [0], "library_sha256": "b" * 64, "precision": "float32"}
    assert differences(recorded, current, "the table") == [
        "threads: 1 in the table, 2 now",
        "cores: any in the table, [0] now",
        "library_sha256: aaaaaaaaaaaa in the table, bbbbbbbbbbbb now",
        "old: unknown in the table, unknown now",
        "precision: unknown in the table, float32 now",
    ]


def test_circumstances_make_no_difference() -> None:
    one, other = (current_conditions(Device(name=name), RUNTIME) for name in ("one", "other"))
    assert one.circumstances != other.circumstances
    assert differences(one.identity, other.identity, "the table") == []


@pytest.fixture
def on_one_core() -> Iterator[int]:
    """This process on one core of the machine's, as under ``taskset``."""
    process = psutil.Process()
    before = process.cpu_affinity()
    if len(before) < 2:
        pytest.skip("this process may use one core only, and more threads than cores need two")
    process.cpu_affinity(before[:1])
    yield before[0]
    process.cpu_affinity(before)


@pytest.mark.parametrize("runtime", ["litert", "native"])
def test_threads_beyond_the_cores_that_may_be_used_are_refused(on_one_core, runtime) -> None:
    if runtime == "native" and shutil.which("cc") is None:
        pytest.skip("there is no C compiler to build hwbench with")
    with pytest.raises(UsageError, match="threads is 2, but test can run on 1 core only"):
        current_conditions(Device(name="test", threads=2), runtime)
    assert current_conditions(Device(name="test", threads=1), runtime).identity["cores"] == "any"


def facts_of(online: int, **more: Any) -> Facts:
    nothing = dict.fromkeys(field.name for field in fields(Facts))
    cores = tuple(Core(core, None, 512 if core < 2 else 1024, True) for core in range(online))
    return Facts(**nothing | {"cores": cores} | more)


def test_cores_are_any_as_long_as_there_is_one_for_each_thread_and_one_of_every_speed() -> None:
    four = facts_of(4)
    assert usable_cores(1, None, four) == usable_cores(4, (0, 1, 2, 3), four) == usable_cores(2, (0, 3), four) == "any"
    assert usable_cores(1, (3, 2), four) == [2, 3]  # the slow ones are withheld
    assert usable_cores(3, (0, 3), four) == [0, 3]


def test_the_cores_that_a_board_grants_are_among_its_facts() -> None:
    printed = "Linux\naarch64\n6.1\n/proc/self/status:Cpus_allowed_list:\t0,2-3\npresent:0-3\nonline:0-3\n"
    assert parse_facts(printed).allowed_cores == (0, 2, 3)
    assert parse_facts("Linux\naarch64\n6.1\n").allowed_cores is None


def test_less_time_than_the_threads_could_use_is_told_from_the_control_groups(tmp_path: Path) -> None:
    own = tmp_path / "cgroup"
    own.write_text("0::/containers/mine\n")
    inner = tmp_path / "containers" / "mine"
    inner.mkdir(parents=True)
    assert cpu_quota_cores(tmp_path, own) is None
    (inner / "cpu.max").write_text("max 100000\n")
    (tmp_path / "containers" / "cpu.max").write_text("150000 100000\n")
    assert cpu_quota_cores(tmp_path, own) == 1.5
    (tmp_path / "cpu").mkdir()  # version 1
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("50000\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert cpu_quota_cores(tmp_path, own) == 0.5
