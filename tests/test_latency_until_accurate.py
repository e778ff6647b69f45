"""Measuring in rounds until predictions are good enough, and for a device like one that is known. On real LiteRT."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwnas.devices.device import load_device
from hwnas.errors import HwnasError, UsageError
from hwnas.latency.measuring.measure import measure, measure_like
from hwnas.latency.measuring.until_accurate import FIRST_BLOCKS, FIRST_NETWORKS, Round, measure_until
from hwnas.latency.tables.table import LatencyTable
from hwnas.spaces import get_space

SPACE = get_space("tiny", resolution=16, width=0.25)
QUICK = load_device("local").model_copy(
    update={"warmup_runs": 1, "warmup_ms": 0, "min_ms": 0.5, "min_runs": 5, "max_runs": 20, "visits": 1}
    | {"extra_visits": 0, "reference_every": 20, "drift_limit_percent": 1e6}
)


def test_it_stops_as_soon_as_the_goal_is_reached(tmp_path: Path) -> None:
    rounds: list[Round] = []
    found = measure_until(SPACE, 1000.0, QUICK, tables=tmp_path, on_round=rounds.append)
    assert found.reached and found.rounds == rounds
    assert [(each.blocks, each.networks) for each in rounds] == [(FIRST_BLOCKS, FIRST_NETWORKS)]
    assert (found.used, found.full_entries) == (FIRST_BLOCKS + FIRST_NETWORKS, 26 + 30)
    assert len(found.measured.table.missing(SPACE)) == 26 - FIRST_BLOCKS
    table = LatencyTable.load(found.measured.folder)
    assert table.conditions["summary"]["drift"].keys() >= {"coefficient", "spread_percent"}
    again = measure_until(SPACE, 1000.0, QUICK, tables=tmp_path)
    assert again.measured.measured == 0 and again.rounds == rounds


def test_it_says_when_everything_is_measured_and_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    def stop(now: Round) -> None:
        if now.blocks > FIRST_BLOCKS:
            raise Stopped

    with pytest.raises(Stopped):
        measure_until(SPACE, 1e-6, QUICK, tables=tmp_path, networks=15, on_round=stop)
    journal = tmp_path / "local" / "litert" / "journal.jsonl"
    before = journal.read_text().count('"entry"')
    found = measure_until(SPACE, 1e-6, QUICK, tables=tmp_path, networks=15)
    assert not found.reached
    assert (found.rounds[-1].blocks, found.rounds[-1].networks) == (26, 15)
    assert found.used == found.full_entries == 41
    assert journal.read_text().count('"entry"') - before == found.measured.measured < 41


def test_a_goal_that_cannot_be_told_is_refused(tmp_path: Path) -> None:
    for mape, networks in ((0.0, 30), (3.0, 5)):
        with pytest.raises(UsageError, match="takes a goal above 0 %"):
            measure_until(SPACE, mape, QUICK, tables=tmp_path, networks=networks)


def test_networks_of_a_known_table_are_measured_and_no_blocks(tmp_path: Path) -> None:
    known = measure(SPACE, QUICK, "onnxruntime", tmp_path, networks=12).table
    found = measure_like([known], QUICK, "litert", tmp_path, networks=4)
    assert len(found.table.networks) == found.measured == 4 and not found.table.blocks
    assert set(found.table.networks) <= set(known.networks)
    with pytest.raises(HwnasError, match="holds no whole networks"):
        measure_like([LatencyTable(known.blocks)], QUICK, "litert", tmp_path)
    reloaded = LatencyTable.load(found.folder)
    assert reloaded.networks == found.table.networks
