"""Conditions: what is recorded here and now, and what counts as a difference."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hwnas.errors import HwnasError
from hwnas.measure.conditions import Conditions, check_same, current_conditions, differences
from hwnas.measure.device import Device
from hwnas.runtimes import get_runtime

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
    assert differences(again.identity, conditions.identity) == []
    with pytest.raises(HwnasError, match="'circumstances'"):
        Conditions.from_json({"identity": {}})


def test_differences_are_told_for_people() -> None:
    recorded = {"threads": 1, "cores": "any", "library_sha256": "a" * 64, "old": None}
    current = {"threads": 2, "cores": [0], "library_sha256": "b" * 64, "precision": "float32"}
    assert differences(recorded, current) == [
        "threads: 1 in the table, 2 now",
        "cores: any in the table, [0] now",
        "library_sha256: aaaaaaaaaaaa in the table, bbbbbbbbbbbb now",
        "old: unknown in the table, unknown now",
        "precision: unknown in the table, float32 now",
    ]


def test_numbers_of_other_conditions_are_refused_with_the_place_and_the_cure() -> None:
    recorded = current_conditions(Device(name="test"), RUNTIME, "float32")
    check_same(recorded.to_json() | {"summary": {}}, recorded, Path("tables/test"))
    other = current_conditions(Device(name="test", threads=2), RUNTIME, "float32")
    with pytest.raises(HwnasError, match=r"tables/test .*other conditions \(threads: 1 in the table, 2 now\)"):
        check_same(recorded.to_json(), other, Path("tables/test"))


def test_circumstances_make_no_difference() -> None:
    one, other = (current_conditions(Device(name=name), RUNTIME) for name in ("one", "other"))
    assert one.circumstances != other.circumstances
    assert differences(one.identity, other.identity) == []
