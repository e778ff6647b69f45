"""The page of a search: everything in one file, nothing from elsewhere, and no text of a person becomes markup."""

import re
from pathlib import Path

import pytest

from hwnas.latency.fitting.fit import fit
from hwnas.pricing import price_of
from hwnas.report.layers import GAUGE_PX
from hwnas.report.search_page import search_page, write_search_page
from hwnas.searches.indicator_record import indicator_record
from hwnas.spaces import get_space
from hwnas.supernet.superkernel_net import SuperKernelNet
from tests.test_latency import made_table

TINY = get_space("tiny")


def report(code: list[int], **changes: object) -> dict:
    """What a run's report.json says of an architecture of the tiny space."""
    table = made_table(TINY)
    price = price_of(TINY.decode(code), table, fit(table, TINY))
    architecture = price.architecture.to_json()
    told = {
        "budget_ms": 2.0,
        "device": "my phone",
        "runtime": "litert",
        "status": "predicted",
        "predicted_ms": price.prediction.ms,
        "interval_ms": list(price.prediction.interval_ms),
        "measured_ms": {},
        "accuracy": 0.5,
        "macs": 1e6,
        "params": 2000,
        "images": {"train": 10, "test": 5},
        "method": "single-path",
        "epochs": 3,
        "publication": None,
        "architecture": architecture,
        "price": price.to_json() | {"architecture": architecture},
    }
    return told | changes


def last(decision: int) -> int:
    return len(TINY.decisions[decision].candidates) - 1


LARGEST = [0] * len(TINY.decisions)


def test_every_layer_stands_there_with_its_ms_and_the_total():
    told = report(LARGEST)
    page = search_page(told, TINY)
    for block in told["price"]["blocks"]:
        assert block["spec"].replace(">", "&gt;") in page
        assert f"{block['ms']:.3f}" in page
    assert f"{told['price']['predicted_ms']:.3f}" in page
    assert "shared by the network" not in page  # blocks alone were measured
    told["price"]["shared_ms"] = 0.02
    assert '<td class="number">+0.020</td>' in search_page(told, TINY)
    for decision in TINY.decisions:
        assert f"<td>{decision.name}</td>" in page


def test_a_skipped_block_is_shown_as_skipped():
    skips = [i for i, decision in enumerate(TINY.decisions) if decision.candidates[-1].is_identity]
    code = [last(i) if i in skips else 0 for i in range(len(TINY.decisions))]
    page = search_page(report(code), TINY)
    assert page.count('<tr class="skipped">') == len(skips) > 0
    assert page.count('<tr class="fixed">') == len(TINY.nodes) - len(TINY.decisions)


def test_indicators_are_drawn_against_their_thresholds():
    name = TINY.decisions[0].name
    on = {"decision": name, "axis": "kernel", "choice": "5x5", "size": 0.4, "threshold": 0.1, "slack": 0.3}
    off = {"decision": name, "axis": "width", "choice": "e6", "size": 0.2, "threshold": 0.8, "slack": -0.6}
    page = search_page(report(LARGEST), TINY, [on, off])
    assert re.search(rf'class="on"[^>]* width="{GAUGE_PX}.0"', page)
    assert f'x1="{GAUGE_PX / 4 + 1}"' in page
    assert re.search(rf'class="off"[^>]* width="{GAUGE_PX / 4}"', page)
    assert "5x5 0.4 ≥ 0.1" in page
    assert "e6 0.2 &lt; 0.8" in page or "e6 0.2 < 0.8" in page
    assert '<th scope="col">kernel</th><th scope="col">width</th>' in page


def test_the_indicators_of_a_supernet_are_its_own():
    net = SuperKernelNet(get_space("single-path", resolution=32, num_classes=4, width=0.25))
    record = indicator_record(net)
    assert len(record) == 20 + 20 + 15  # the first blocks of the five stages cannot be dropped
    assert all(each["threshold"] == 0 and each["slack"] == each["size"] > 0 for each in record)
    node = net.superkernels()[1]
    node.width_thresholds.data.fill_(9.0)
    changed = [each for each in indicator_record(net) if each["slack"] < 0]
    assert [(each["decision"], each["axis"], each["choice"]) for each in changed] == [("block 2", "width", "e6")]
    before = next(each for each in record if each["decision"] == "block 2" and each["axis"] == "width")
    assert changed[0]["size"] == pytest.approx(before["size"], rel=1e-5)


def test_the_indicators_of_a_space_with_squeeze_and_tied_widths_are_named():
    squeezed = SuperKernelNet(get_space("single-path-se", resolution=32, num_classes=4, width=0.25))
    assert {each["choice"] for each in indicator_record(squeezed)} == {"5x5", "e6", "se0.25", "se0.5", "block"}
    tied = SuperKernelNet(get_space("nas-bench-macro", resolution=32))
    assert {each["axis"] for each in indicator_record(tied)} == {"kernel", "keep"}
    assert {each["choice"] for each in indicator_record(tied)} == {"5x5 e6", "block"}


def test_nothing_of_a_person_becomes_markup(tmp_path: Path):
    evil = "<script>alert(1)</script>"
    told = report(LARGEST, device=evil, method=evil, publication=evil, status=evil, images={evil: 3})
    page = search_page(told, TINY)
    assert page.count("<script") == 1  # the page's own, which reads charts
    assert "alert(1)</script" not in page
    assert "&lt;script&gt;" in page


def test_the_file_needs_nothing_else(tmp_path: Path):
    path = write_search_page(tmp_path, report(LARGEST), TINY)
    page = path.read_text()
    assert path.name == "report.html"
    assert not re.search(r"https?:|<script \w|<link|@import|url\(|<img", page)


def test_the_loss_is_never_called_a_latency():
    losses = [{"step": step, "loss": 2 / step} for step in range(1, 9)]
    page = search_page(report(LARGEST), TINY, metrics=losses)
    assert "<h3>Loss of the training images</h3>" in page
    assert "Expected latency" not in page
    followed = [record | {"expected_ms": 3.0, "multiplier": 0.1} for record in losses]
    page = search_page(report(LARGEST), TINY, metrics=followed)
    assert "Expected latency, from 3 ms at first to 3 ms at last; the budget is 2 ms" in page
    assert "<h3>Multiplier of the latency</h3>" in page


def test_a_loss_that_is_no_number_and_a_run_of_one_step_are_left_out():
    page = search_page(report(LARGEST), TINY, metrics=[{"step": 1, "loss": None}, {"step": 2, "loss": 1.0}])
    assert "Loss of the training images" not in page
    assert "Nothing was recorded over its steps" in page


def test_a_measured_network_says_how_it_did():
    page = search_page(report(LARGEST, status="within", measured_ms={"litert": 1.5}), TINY)
    assert "measured 1.5 ms, within the budget" in page
    assert "never measured" in search_page(report(LARGEST), TINY)
