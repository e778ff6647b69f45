"""Prices: the sum of their blocks, where each number is from, and errors for what cannot be priced."""

import json
from pathlib import Path

import pytest

from hwnas.errors import HwnasError, UsageError
from hwnas.latency.fitting.fit import fit
from hwnas.latency.tables.imported.import_table import import_table
from hwnas.latency.tables.table import LatencyTable
from hwnas.pricing import price
from hwnas.spaces import get_space
from tests.test_latency import made_table

PAPER = get_space("single-path")
PUBLISHED = "0,0,0,4,3,0,0,0,3,0,0,0,3,2,2,2,3,3,3,3"
TINY = get_space("tiny")


@pytest.fixture(scope="module")
def pixel1(shared_data, tmp_path_factory) -> Path:
    return import_table(shared_data / "latency" / "pixel1_single_path.json", tables=tmp_path_factory.mktemp("t")).folder


def test_the_published_network_block_by_block(pixel1):
    found = price(PAPER, PUBLISHED, LatencyTable.load(pixel1))
    assert found.prediction.ms == pytest.approx(80.4411, abs=1e-6)
    assert sum(block.ms for block in found.blocks) == pytest.approx(80.4411, abs=1e-6)
    assert found.shared_ms == pytest.approx(0, abs=1e-9)
    assert len(found.blocks) == 24 - 1  # one block is skipped
    assert {block.source for block in found.blocks} == {"imported"}
    assert [round(block.ms, 4) for block in found.blocks[2:5]] == [4.4905, 3.4111, 3.4223]
    low, high = found.prediction.interval_ms
    assert low < 79.48 < high  # as measured on the phone


def test_sources_tell_measured_from_calibrated():
    code = [0] * len(TINY.decisions)
    plain, calibrated = made_table(TINY), made_table(TINY, networks=20, scale=1.2, bias=0.3)
    assert {block.source for block in price(TINY, code, plain).blocks} == {"measured"}
    found = price(TINY, code, calibrated)
    assert {block.source for block in found.blocks} == {"calibrated"}
    assert found.prediction.ms == pytest.approx(fit(calibrated, TINY).predict(TINY.decode(code)).ms)
    assert found.shared_ms + sum(block.ms for block in found.blocks) == pytest.approx(found.prediction.ms)


def test_a_block_that_was_never_measured_is_said_to_be_an_estimate():
    table = made_table(TINY)
    node, shape = next(TINY.positions())
    del table.blocks[node, shape]
    found = price(TINY, [0] * len(TINY.decisions), table)
    assert found.blocks[0].source == "regression"
    assert {block.source for block in found.blocks[1:]} == {"measured"}
    assert found.prediction.estimated


def test_cells_are_priced_link_by_link():
    space = get_space("nas-bench-201")
    table = made_table(space)
    found = price(space, "|nor_conv_3x3~0|+|skip_connect~0|none~1|+|none~0|avg_pool_3x3~1|nor_conv_1x1~2|", table)
    assert sum(block.ms for block in found.blocks) == pytest.approx(found.prediction.ms)
    assert {block.source for block in found.blocks} == {"measured"}


def test_json_is_complete(pixel1):
    data = json.loads(json.dumps(price(PAPER, PUBLISHED, LatencyTable.load(pixel1)).to_json()))
    assert data["predicted_ms"] == pytest.approx(80.4411, abs=1e-6)
    assert data["interval_ms"][0] < data["predicted_ms"] < data["interval_ms"][1]
    assert data["code"] == PUBLISHED
    first = data["blocks"][0]
    assert first["spec"] == "Conv(k3 3->32 s2)"
    assert (first["input_shape"], first["source"]) == ([3, 224, 224], "imported")


@pytest.mark.parametrize("code", ["0,1", "9" * 20, "4" + "0" * 19, "x", ""])
def test_a_code_of_another_space_is_refused(pixel1, code):
    with pytest.raises(UsageError):
        price(PAPER, code, LatencyTable.load(pixel1))


def test_too_small_a_table_is_refused():
    with pytest.raises(HwnasError, match="nothing to fit"):
        price(TINY, [0] * len(TINY.decisions), LatencyTable())
