"""Budgets as people write them: ms, or a share of the space's networks."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from random import Random

import numpy as np
import pytest

from hwnas.cli.designing import _design_config
from hwnas.designer.config import DesignConfig, default_folder
from hwnas.errors import UsageError
from hwnas.files import read_json, write_json
from hwnas.latency.budget import Budget
from hwnas.latency.fitting.fit import fit
from hwnas.latency.wanted_budget import hint_above_slowest, largest, parse_budget, resolve_budget, told_in_ms
from hwnas.spaces import get_space
from hwnas.specs.conv import Conv
from tests.commands import run_command
from tests.latency_tables import CODES, SMALL, made_table
from tests.test_latency import latency
from tests.test_latency import made_table as table_of_tiny

PREDICTOR = fit(made_table(SMALL, networks=20, seed=0), SMALL)
ALL_MS = np.array([p.ms for p in PREDICTOR.predict_many([SMALL.decode(code) for code in CODES])])


@pytest.mark.parametrize("percent", [5, 20, 50, 60, 95])
def test_a_share_is_the_latency_that_so_many_networks_take_at_most(percent):
    """By brute force over all 625 networks, but for the sample that is drawn, and the least budget that can be met."""
    least_ms = resolve_budget("0%", SMALL, PREDICTOR)
    budget_ms = resolve_budget(f"{percent} %", SMALL, PREDICTOR)
    within = 100 * (budget_ms >= ALL_MS).mean()
    assert within == pytest.approx(percent, abs=2) or budget_ms == least_ms


def test_its_ends_are_the_least_budget_that_can_be_met_and_the_slowest_network():
    least_ms, most_ms = (resolve_budget(share, SMALL, PREDICTOR) for share in ("0%", "100%"))
    assert Budget(least_ms, SMALL, PREDICTOR).is_feasible
    assert not Budget(0.999 * least_ms, SMALL, PREDICTOR).is_feasible
    assert most_ms == pytest.approx(ALL_MS.max(), rel=1e-3) and most_ms >= ALL_MS.max()
    shares = [resolve_budget(f"{percent}%", SMALL, PREDICTOR) for percent in range(0, 101, 10)]
    assert shares == sorted(shares)


def test_a_space_of_cells_has_shares_too():
    space = get_space("nas-bench-201", 16, 10)
    predictor = fit(table_of_tiny(space), space)
    drawn = predictor.predict_many([space.sample(Random(i)) for i in range(400)])
    budget_ms = resolve_budget("70%", space, predictor)
    assert 100 * np.mean([network.ms <= budget_ms for network in drawn]) == pytest.approx(70, abs=8)


def test_any_share_can_be_met_however_wide_the_intervals_are():
    table = made_table(SMALL, networks=2, seed=0)  # an interval of 25 %
    first = next(block for block in table.blocks if isinstance(block[0], Conv))
    table.blocks[first] = latency(50.0)  # so every network takes nearly as long as the fastest
    unchecked = fit(table, SMALL)
    budgets = [Budget(resolve_budget(f"{percent}%", SMALL, unchecked), SMALL, unchecked) for percent in (0, 1, 50, 99)]
    assert all(budget.is_feasible for budget in budgets)


def test_a_share_is_the_same_ms_in_every_process_and_on_other_threads():
    space = get_space("tiny")
    predictor = fit(table_of_tiny(space, networks=12), space)
    budget_ms = resolve_budget("60%", space, predictor)
    last_digit = replace(predictor, weights={k: float(np.nextafter(w, 9)) for k, w in predictor.weights.items()})
    assert {resolve_budget("60%", space, last_digit) for _ in range(5)} == {budget_ms} == {float(f"{budget_ms:.4g}")}


def test_sums_of_round_numbers_stay_what_they_are():
    """Of a published table: 75.12 and not, for a last digit of their sum, 75.13."""
    space = get_space("tiny")
    table = table_of_tiny(space)
    for block, row in table.blocks.items():
        table.blocks[block] = replace(row, p5_ms=0.7, median_ms=0.7, p95_ms=0.7)
    predictor = fit(table, space)
    assert resolve_budget("100%", space, predictor) == 6.3  # of 9 blocks, whose sum is 6.300000000000001


def test_ms_are_taken_as_they_are():
    assert [resolve_budget(wanted, SMALL, PREDICTOR) for wanted in (0.51234567, "0.5", " 2e-1 ", 3, "5ms", "5 ms")] == [
        0.51234567,
        0.5,
        0.2,
        3.0,
        5.0,
        5.0,
    ]
    assert [parse_budget(text) for text in ("60%", "60.0 %", " 0% ", "12.5%", "100%")] == [
        "60%",
        "60%",
        "0%",
        "12.5%",
        "100%",
    ]
    assert told_in_ms("12.5%", 0.412) == "12.5 % of the space's networks: 0.412 ms"
    assert told_in_ms(0.412, 0.412) is None


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "%",
        "-1",
        "-1%",
        "101%",
        "x",
        "x%",
        "60%%",
        "6 0%",
        "nan",
        "nan%",
        "inf",
        "1e9",
        0,
        -1.0,
        True,
        "0",
        None,
        [],
        "ms",
        "5s",
    ],
)
def test_what_is_no_budget_is_refused(wrong):
    with pytest.raises(UsageError, match=r"greater than 0 .* from 0 to 100 %"):
        parse_budget(wrong)
    with pytest.raises(UsageError, match=r"with a point, not a comma"):
        parse_budget("0,5")


def test_ms_and_shares_are_compared_when_both_are_known():
    assert (largest([0.3, 0.5]), largest(["20%", "100%", "9%"])) == (0.5, "100%")
    with pytest.raises(UsageError, match="give the largest with --budget-ms"):
        largest([0.3, "20%"])
    DesignConfig(budget_ms="60%", frontier=[0.3, "20%"])
    with pytest.raises(ValueError, match="80 % is above the budget of 60 %"):
        DesignConfig(budget_ms="60%", frontier=["80%"])


def test_a_budget_above_the_slowest_network_is_said_to_be_one():
    most_ms = resolve_budget("100%", SMALL, PREDICTOR)
    assert hint_above_slowest(Budget(most_ms, SMALL, PREDICTOR)) is None
    end_ms = PREDICTOR.predict(PREDICTOR.extremes(SMALL)[1]).high_ms
    assert hint_above_slowest(Budget(0.999 * end_ms, SMALL, PREDICTOR)) is None  # a network is within by its interval
    hint = hint_above_slowest(Budget(1.01 * end_ms, SMALL, PREDICTOR))
    assert hint == f"the budget is above the slowest network of the space ({most_ms:g} ms)"


@pytest.fixture
def search(monkeypatch, capsys, tmp_path):
    """`hwnas search` in `tmp_path` for a made table that counts as published, so that nothing is measured."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("hwnas.designer.closing.PRECISIONS", ("float32",))  # int8 files take longer than the search
    monkeypatch.chdir(tmp_path)
    table_of_tiny(networks=2).save(tmp_path / "table")
    write_json(tmp_path / "table" / "conditions.json", {"imported": {"publication": "made up"}})
    options = 'space = "tiny"\nresolution = 16\nwidth = 0.25\nmethod = "random"\nepochs = 1\nlimit_train = 64\n'
    (tmp_path / "options.toml").write_text(f'{options}latency = "table"\n[settings]\nevaluations = 2\n')
    return partial(run_command, monkeypatch, capsys, "search", "--config", "options.toml")


def test_the_same_command_goes_on_with_the_same_run(search, tmp_path):
    code, out, err = search("--budget-ms", "60%", "--frontier", "30 %,60%", "--json")
    first = json.loads(out)
    assert code == 0
    assert f"60 % of the space's networks: {first['budget_ms']:g} ms" in err
    assert first["wanted_budget"] == "60%" and first["budget_hint"] is None
    assert first["interval_ms"][1] <= first["budget_ms"]
    assert first["frontier"][0]["budget_ms"] == first["budget_ms"] > first["frontier"][1]["budget_ms"]
    assert first["run"].startswith("runs/tiny-digits-60percent-")
    code, out, err = search("--budget-ms", "60 %", "--frontier", "30%,60%", "--json")
    again = json.loads(out)
    assert code == 0
    assert {k: v for k, v in again.items() if k != "seconds"} == {k: v for k, v in first.items() if k != "seconds"}
    # the ms that it is are the same run; another share is not
    code, _, err = search("--budget-ms", first["budget_ms"], "--frontier", "30%,60%", "--out", first["run"])
    assert code == 0 and f"{first['budget_ms']:g} ms on local" in err and "asked for" not in err
    code, _, err = search("--budget-ms", "61%", "--frontier", "30%,60%", "--out", first["run"])
    assert code == 1 and "budget_ms:" in err
    assert read_json(tmp_path / first["run"] / "run.json", "the run")["config"]["budget_ms"] == first["budget_ms"]


def test_the_table_says_what_a_share_is_and_that_a_budget_limits_nothing(search):
    code, _, err = search("--budget-ms", "80%")
    assert code == 0 and "asked for" in err and err.count("80 % of the space's networks: ") == 2  # before and after
    assert "above the slowest" not in err
    code, _, err = search("--budget-ms", 5000)
    assert code == 0 and err.count("the budget is above the slowest network of the space (") == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--budget-ms", "160%"], "budget_ms: must be a number of ms greater than 0"),
        (["--frontier", "20%,0.5"], "give the largest with --budget-ms"),
        (["--frontier", "20%,5000", "--budget-ms", "60%"], "5000 ms is above the budget of"),
        (["--frontier", "20%,70%", "--budget-ms", "60%"], "70 % is above the budget of 60 %"),
    ],
)
def test_budgets_that_cannot_be_are_refused(search, arguments, says):
    code, out, err = search(*arguments, "--json")
    assert (code, out) == (2, "") and says in err


def test_a_config_takes_what_the_options_take(tmp_path):
    (tmp_path / "options.toml").write_text('budget_ms = "60 %"\nfrontier = ["20%", 0.3]\n')
    read = _design_config({}, tmp_path / "options.toml")
    assert (read.budget_ms, read.frontier) == ("60%", ("20%", 0.3))
    assert _design_config({"budget_ms": "70%"}, tmp_path / "options.toml").budget_ms == "70%"
    (tmp_path / "alone.toml").write_text("frontier = [0.3, 0.4]\n")
    assert _design_config({}, tmp_path / "alone.toml").budget_ms == 0.4
    assert DesignConfig(budget_ms=" 60 % ", frontier=["0.2", 0.3]).frontier == (0.2, 0.3)
    assert default_folder(DesignConfig(budget_ms="60%")) == default_folder(DesignConfig(budget_ms="60.0 %"))
    assert default_folder(DesignConfig(budget_ms=0.5)).name.startswith("design-digits-0.5ms-local-")


def test_a_word_of_a_sentence_is_not_told_as_an_option():
    with pytest.raises(UsageError, match=r"^--budget-ms: must be .* a share of the space's networks") as refused:
        _design_config({"budget_ms": "0"}, None)
    assert "--space" not in str(refused.value)
