"""Searches guided by predictors: nothing is asked twice, ranks alone decide, and chance needs more queries."""

import json
import runpy
from itertools import product

import numpy as np
import pytest

from hwnas.searches.guided.bayesian import BayesianStrategy, log_expected_improvement
from hwnas.searches.guided.features import CellOperators, CellPaths, CodeFeatures
from hwnas.searches.guided.pool import BudgetPool, TablePool
from hwnas.searches.guided.strategies import LocalSearch, RandomStrategy, RegularisedEvolution
from hwnas.searches.guided.weak_predictors import WeakNASStrategy, WeakSettings
from hwnas.train.data import load_data
from tests.conftest import ROOT
from tests.test_dsnas import SPACE, problem
from tests.weekly import weekly_except

CODES = np.array(list(product(range(3), repeat=6)))
"""729 codes."""
SCORES = (
    (CODES == 2).sum(1) + 0.5 * (CODES[:, 0] == CODES[:, 1]) + 0.01 * CODES @ np.arange(6) - 50.0 * (CODES[:, 5] == 0)
)
QUICK = WeakSettings(start=10, batch=10, top=30, predictor="boosting")


def made(name, pool, seed=0):
    if name == "bayesian":
        return BayesianStrategy(pool, CodeFeatures.of_sizes(pool.sizes), seed)
    if name == "weaknas":
        return WeakNASStrategy(pool, seed, QUICK)
    return {"random": RandomStrategy, "evolution": RegularisedEvolution, "local": LocalSearch}[name](pool, seed)


def asked_for(strategy, scores, count):
    """The rows in the order in which they are asked for."""
    rows = []
    while len(rows) < count and len(codes := strategy.ask(1)):
        rows.append(strategy.pool.row(codes[0]))
        strategy.tell(codes, scores[rows[-1:]])
    return rows


@pytest.mark.parametrize("name", ["bayesian", "weaknas", "evolution", "local", "random"])
def test_every_code_of_a_small_table_is_asked_for_once_and_then_none(name):
    pool = TablePool(CODES[:60])
    rows = asked_for(made(name, pool), SCORES[:60], 100)
    assert sorted(rows) == list(range(60))


@pytest.mark.parametrize("name", weekly_except(["bayesian"], ["bayesian", "weaknas", "evolution", "local"]))
def test_what_is_learnt_finds_the_best_in_fewer_queries_than_chance(name):
    """Chance takes 365 on average."""
    most = 60 if name in ("bayesian", "weaknas") else 729
    asked = [asked_for(made(name, TablePool(CODES), seed), SCORES, most) for seed in range(2)]
    assert np.mean([rows.index(SCORES.argmax()) for rows in asked]) < 200


def test_the_process_goes_by_ranks_alone():
    pool = TablePool(CODES)
    assert asked_for(made("bayesian", pool), SCORES, 40) == asked_for(made("bayesian", pool), np.exp(SCORES / 9), 40)


def test_a_prior_that_is_right_needs_fewer_queries_and_one_that_is_wrong_is_unlearnt():
    """The straight line that is expected is fitted to what was evaluated: also its sign."""

    def needed(prior) -> list[int]:
        pools = [TablePool(CODES) for _ in range(3)]
        made = [BayesianStrategy(p, CodeFeatures.of_sizes(p.sizes), seed, prior=prior) for seed, p in enumerate(pools)]
        return [asked_for(strategy, SCORES, 60).index(SCORES.argmax()) for strategy in made]

    right, backwards = needed(lambda codes: (codes == 2).sum(1) + 0.0), needed(lambda codes: -(codes == 2).sum(1) + 0.0)
    assert right == backwards
    assert np.mean(right) <= np.mean(needed(None))


def test_weaknas_draws_from_the_top_of_what_it_predicts_and_fits_to_all_that_is_known():
    pool = TablePool(CODES)
    rows = asked_for(made("weaknas", pool), SCORES, 40)
    assert len(set(rows)) == 40
    strategy = made("weaknas", pool)
    assert asked_for(strategy, 4 * SCORES, 40) == rows  # by 4, so that nothing rounds otherwise
    with pytest.raises(Exception, match="weak predictor"):
        WeakSettings(predictor="oracle")


def test_cells_that_differ_in_skips_alone_have_the_same_paths():
    paths = CellPaths(6, [5] * 6, CellOperators(none=0, skip=1))
    through_first, through_second, direct = [3, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, 3], [0, 0, 0, 3, 0, 0]
    found = paths(np.array([through_first, through_second, direct, [3, 0, 0, 0, 3, 0], [3, 0, 0, 0, 0, 0]]))
    assert (found[0] == found[1]).all() and (found[0] == found[2]).all()
    assert (found[3] != found[0]).any()
    assert found.sum(axis=1).tolist() == [1, 1, 1, 1, 0]


def test_expected_improvement_is_the_mean_gain_also_far_below_the_best():
    draws = np.random.default_rng(0).standard_normal(400_000)
    for mean in (-1.0, 0.0, 0.7):
        exact = np.log(np.maximum(mean + 0.5 * draws, 0).mean())
        assert log_expected_improvement(np.array([mean]), np.array([0.5]), 0.0)[0] == pytest.approx(exact, abs=0.06)
    far = log_expected_improvement(np.array([-5.0, -10.0, -50.0]), np.ones(3), 0.0)
    assert np.isfinite(far).all() and (np.diff(far) < 0).all()


@pytest.mark.parametrize("share", weekly_except([0.6], [0.2, 0.6]))
def test_codes_within_a_latency_budget_alone_are_proposed(share, monkeypatch):
    monkeypatch.setattr("hwnas.searches.guided.bayesian.RANDOM_CODES", 100)  # 500 take long to draw
    data = load_data("digits", resolution=16, batch_size=64, limit_train=64, workers=0)
    budget = problem(data, budget_share=share).budget
    strategy = BayesianStrategy(BudgetPool(budget), CodeFeatures.of_space(SPACE), start=6)
    digests = []
    for _ in range(5):
        codes = strategy.ask(4)
        architectures = [SPACE.decode(code.tolist()) for code in codes]
        assert all(map(budget.is_within, architectures))
        digests += [architecture.digest for architecture in architectures]
        strategy.tell(codes, -codes.sum(axis=1).astype(float))
    assert len(digests) == len(set(digests)) == 20


def test_the_benchmark_reads_digits_numbers_and_cells_and_counts_what_is_missed(tmp_path, capsys):
    queries = runpy.run_path(str(ROOT / "benchmarks" / "queries.py"))
    main, codes_of = queries["main"], queries["codes_of"]
    for separator in ("", "-", ","):
        lines = [
            '"' + separator.join(map(str, code)) + f'",{score},{code.sum()}'
            for code, score in zip(CODES, SCORES, strict=True)
        ]
        (tmp_path / "table.csv").write_text("\n".join(["code,accuracy,ms", *lines]))
        given = ["--table", str(tmp_path / "table.csv"), "--code-column", "code", "--accuracy-column", "accuracy"]
        main([*given, "--seeds", "2", "--queries", "60", "--json"])
        found = json.loads(capsys.readouterr().out)
        assert found["method"] == "bayesian" and found["missed"] == 0 and found["median"] < 60
    main([*given, "--method", "random", "--seeds", "2", "--queries", "1", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (found["missed"], found["median"]) == (2, 2)
    main([*given, "--cost-column", "ms", "--budget-percentile", "20", "--seeds", "1", "--json"])
    assert json.loads(capsys.readouterr().out)["missed"] == 0
    main([*given, "--prior", "ms", "--seeds", "1", "--queries", "60", "--json"])
    assert json.loads(capsys.readouterr().out)["missed"] == 0
    lines[1] = lines[1].rsplit(",", 2)[0] + ",,1"  # no accuracy
    (tmp_path / "table.csv").write_text("\n".join(["code,accuracy,ms", *lines]))
    main([*given, "--seeds", "2", "--queries", "60", "--json"])
    out, err = capsys.readouterr()
    assert json.loads(out)["missed"] == 0 and err.startswith(f"1 of {len(lines)} rows have no code or no number")
    for wrong in (["--budget-percentile", "50"], ["--seeds", "0"], ["--cost-column", "watts"]):
        with pytest.raises(SystemExit, match=r"--cost-column|1 or more|no column 'watts'"):
            main([*given, *wrong])
    for wrong in (["--budget-percentile", "150"], ["--first-seed", "-1"], ["--prior", "watts"], ["--prior", "macs"],
                  ["--prior", "ms", "--method", "random"]):  # fmt: skip
        with pytest.raises(SystemExit, match=r"0 to 100|not negative|no column|of --method bayesian"):
            main([*given, "--cost-column", "ms", *wrong])
    capsys.readouterr()
    (tmp_path / "table.csv").write_text("\n".join(["code,accuracy,ms", *lines[2:], lines[2]]))
    main([*given, "--seeds", "1", "--queries", "60", "--json"])
    assert "of rows of one code the first counts: 1 are left out" in capsys.readouterr().err
    (tmp_path / "table.csv").write_text("code,accuracy\n0,1,2,93.1\n0,1,1,92.0\n")
    with pytest.raises(SystemExit, match="put codes with commas in quotation marks"):
        main(given)
    codes, _ = codes_of(["|none~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|none~2|"])
    assert codes.tolist() == [[0, 0, 3, 1, 0, 0]]


def test_layers_beyond_the_depth_of_a_stage_make_no_difference_to_a_code():
    """Two stages of at most two layers: what a table says of a layer that is not there has no effect."""
    queries = runpy.run_path(str(ROOT / "benchmarks" / "queries.py"))
    layers = queries["layers_of"](
        ["1-2", "1-2", "2-2"], ["3-5-7-3", "3-7-7-3", "3-5-7-3"], ["4-6-3-3", "4-3-3-3", "4-6-3-3"]
    )
    assert layers[0] == layers[1] == ["3 4", "", "7 3", "3 3"]
    assert layers[2] == ["3 4", "5 6", "7 3", "3 3"]
    codes, features = queries["codes_of_layers"](layers)
    assert codes.tolist() == [[0, 0, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0]]
    decisions, _ = features(codes)
    assert (decisions[0] == decisions[1]).all() and (decisions[0] != decisions[2]).any()
