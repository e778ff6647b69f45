"""What a design keeps of its work: networks that are not derived anew, and all of its seconds."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from hwnas.designer import work_record
from hwnas.designer.work_record import DERIVED_FILE, SECONDS_FILE, Clock, as_derived_before
from hwnas.progress import silent
from hwnas.searches.derivation import Derivation
from hwnas.searches.result import SearchResult
from hwnas.train.data import load_data
from tests.test_dsnas import SPACE, problem


@pytest.fixture(scope="module")
def results() -> list[SearchResult]:
    data = load_data("digits", resolution=16, batch_size=64, limit_train=64, workers=0)
    task = problem(data)
    smaller = replace(task, budget=replace(task.budget, budget_ms=0.9 * task.budget.budget_ms))
    first = SearchResult(task, None, SPACE.decode([1] * 7), derivation=Derivation(0.95, 16, 0.5))
    return [first, SearchResult(smaller, None, SPACE.decode([2] * 7))]


def test_what_was_derived_is_taken_again_whatever_is_derived_now(results, tmp_path: Path) -> None:
    assert as_derived_before(tmp_path, results) == results
    others = [replace(each, architecture=SPACE.decode([0] * 7), derivation=None) for each in results]
    assert as_derived_before(tmp_path, others) == results


@pytest.mark.parametrize(
    "damaged", ["", "[]", '{"derived": [{}, {}]}', '{"derived": [{"budget_ms": 1, "code": [9]}]}', "codes"]
)
def test_a_damaged_record_is_written_again(results, tmp_path: Path, damaged: str) -> None:
    as_derived_before(tmp_path, results)
    if damaged == "codes":  # of no network of the space
        kept = json.loads((tmp_path / DERIVED_FILE).read_text())
        kept["derived"][0]["code"] = [99] * 7
        damaged = json.dumps(kept)
    (tmp_path / DERIVED_FILE).write_text(damaged)
    others = [replace(each, architecture=SPACE.decode([0] * 7)) for each in results]
    assert as_derived_before(tmp_path, others) == others
    assert as_derived_before(tmp_path, results) == others


def test_seconds_of_what_was_stopped_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_record, "WRITTEN_EVERY_S", 0.0)
    clock = Clock(tmp_path, time.perf_counter() - 100)
    clock.ticking(silent)("search", 1, 2, "")  # and then it is killed
    assert 100 <= Clock(tmp_path, time.perf_counter() - 20).seconds - 20 < 110
    (tmp_path / SECONDS_FILE).write_text("none")
    assert Clock(tmp_path, time.perf_counter() - 20).seconds < 30
