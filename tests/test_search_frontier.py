"""Several budgets from one SuperNetwork: by decoding, by repeated search, and from the command line to the folders."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from hwnas.child import load_child
from hwnas.errors import HwnasError, UsageError
from hwnas.files import read_json
from hwnas.latency.fitting.fit import fit
from hwnas.latency.tables.table import LatencyTable
from hwnas.run import Run
from hwnas.searches.derivation import Derivation
from hwnas.searches.derivers import MostProbable
from hwnas.searches.frontier import frontier
from hwnas.searches.registry import get_search
from hwnas.searches.result import SearchResult
from hwnas.space import Architecture
from hwnas.supernet.sampled import SampledNet
from hwnas.train.data import load_data
from tests.commands import run_command
from tests.test_dsnas import SPACE, problem
from tests.test_latency import latency, made_table


@pytest.fixture(scope="module")
def digits():
    return load_data("digits", resolution=16, batch_size=64, limit_train=128, val_fraction=0.05, workers=0)


def between(predictor, shares) -> list[float]:
    """Limits that lie so far, from 0 to 1, between the fastest and the slowest network."""
    fastest, slowest = (predictor.predict(a).high_ms for a in predictor.extremes(SPACE))
    return [fastest + share * (slowest - fastest) for share in shares]


@pytest.mark.parametrize("seed", range(3))
def test_each_budget_gets_the_most_probable_architecture_within_it(digits, seed):
    """Against every one of the 40,000 architectures, at the final distribution of a DSNAS supernet."""
    task = problem(digits, budget_share=0.7)
    torch.manual_seed(seed)
    net = SampledNet(SPACE)
    with torch.no_grad():
        for alpha in net.alphas:
            alpha.copy_(torch.randn(len(alpha)))
    predictor = task.budget.predictor
    fixed_ms, costs = predictor.decision_costs(SPACE)
    logs = [torch.log_softmax(alpha.detach().double(), 0).numpy() for alpha in net.alphas]
    grids = [np.meshgrid(*vectors, indexing="ij") for vectors in (costs, logs)]
    ms, log_probability = fixed_ms + sum(grids[0]), sum(grids[1])
    budgets = between(predictor, (0.1, 0.3, 0.5))
    for result in frontier(SearchResult(task, net, MostProbable(net)(task)), budgets):
        index = SPACE.indices(result.architecture)
        within = ms <= result.problem.budget.target_ms * (1 + 1e-9)  # a plain sum's intervals are all equally wide
        assert within[index]
        assert log_probability[index] == pytest.approx(log_probability[within].max(), abs=1e-4)


def test_a_one_shot_search_is_repeated_with_each_budget_and_judges_nothing_twice(tmp_path, digits):
    task, method = problem(digits, budget_share=0.4), get_search("spos")
    run = Run(tmp_path / "run", {})
    result = method.search(task, run, None, method.resolve({"evaluations": 10, "population": 5}))
    predictor = task.budget.predictor
    budgets = between(predictor, (0.2, 0.8))  # also one above what was searched: the supernet knows of neither
    found = frontier(result, budgets)
    assert [r.problem.budget.budget_ms for r in found] == sorted(budgets, reverse=True)
    records = [json.loads(line) for line in next(run.folder.glob("evaluations-*.jsonl")).read_text().splitlines()]
    accuracies = {record["digest"]: record["accuracy"] for record in records}
    assert len(accuracies) == len(records)
    for point in found:
        assert predictor.predict(point.architecture).high_ms <= point.problem.budget.budget_ms * (1 + 1e-9)
        assert point.architecture.digest in accuracies


def test_a_larger_budget_than_the_one_that_was_searched_is_refused_for_dsnas(digits):
    task = problem(digits, budget_share=0.4)
    derivation = Derivation(0.5, evaluations=7)
    result = SearchResult(task, SampledNet(SPACE), SPACE.decode([0] * 7), derivation=derivation)
    with pytest.raises(UsageError, match="Search at the largest budget"):
        frontier(result, [2 * task.budget.budget_ms])
    with pytest.raises(HwnasError, match="cannot be met"):
        frontier(result, [1e-6])
    same = frontier(result, [task.budget.budget_ms])[0]
    assert (same.architecture, same.derivation) == (result.architecture, derivation)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A table of a machine 300 times slower than this one, so that a real network is within any of its budgets."""
    folder = tmp_path_factory.mktemp("tables") / "made"
    made = made_table(SPACE, networks=12)
    for entries in (made.blocks, made.networks):
        for key, known in entries.items():
            entries[key] = latency(300 * known.median_ms)
    made.save(folder)
    return folder


def quick_search(table, out, *more: object) -> list[object]:
    quick = ["--space", "tiny", "--resolution", 16, "--width", 0.25, "--epochs", 1, "--limit-train", 64]
    return ["search", *quick, "--latency", table, "--accept-conditions", "--out", out, "--json", *more]


@pytest.mark.weekly
@pytest.mark.usefixtures("final_measurements_in_one_round", "few_evaluations")
def test_the_command_line_gives_a_child_for_each_budget_trained_from_scratch_if_wanted(
    monkeypatch, capsys, tmp_path, table
):
    budgets = between(fit(LatencyTable.load(table), SPACE), (0.3, 0.8))
    text = ",".join(f"{budget:.4f}" for budget in budgets)
    code, out, _ = run_command(
        monkeypatch, capsys, *quick_search(table, tmp_path / "run", "--frontier", text, "--retrain")
    )
    assert code == 0
    result = json.loads(out)
    assert result["budget_ms"] == pytest.approx(max(budgets), abs=1e-4)
    derivation = result["derivation"]
    assert derivation["budget_share"] == pytest.approx(result["predicted_ms"] / result["budget_ms"])
    assert derivation["evaluations"] > 0 and (derivation["reason"] is None) == (derivation["budget_share"] >= 0.93)
    points = result["frontier"]
    assert [p["budget_ms"] for p in points] == sorted((round(b, 4) for b in budgets), reverse=True)
    assert points[0]["architecture"] == result["architecture"]
    for point in points:
        assert point["interval_ms"][1] <= point["budget_ms"] * (1 + 1e-9)
        assert point["measured_ms"] <= point["budget_ms"]
        assert point["status"] == "within"
        assert 0 <= point["accuracy"] <= 1
        assert load_child(point["folder"]).architecture.to_json() == point["architecture"]
    assert (tmp_path / "run" / "budget_following.png").stat().st_size > 10_000
    trained = {folder.name for folder in (tmp_path / "run" / "retrained").iterdir()}
    assert trained == {Architecture.from_json(point["architecture"]).digest[:12] for point in points}
    code, _, err = run_command(monkeypatch, capsys, "export", points[-1]["folder"], "--format", "onnx")
    assert code == 0, err
    exported = read_json(Path(points[-1]["folder"]) / "models" / "export.json", "the export")
    report = read_json(tmp_path / "run" / "report.json", "the report")
    seen = report["preprocessing"]
    assert exported["normalisation"] == {name: seen[name] for name in ("mean", "std")}
    assert exported["classes"] == report["classes"] and exported["pytorch"]["images"] == report["images"]["test"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--frontier", "3,x"], "separated by commas"),
        (["--frontier", "3,4", "--budget-ms", "3.5"], "above the budget"),
        (["--frontier", "-1,4"], "greater than 0"),
        (["--frontier", "0.0001,400"], "cannot be met"),
    ],
)
def test_a_frontier_that_cannot_be_is_refused_before_training(monkeypatch, capsys, tmp_path, table, arguments, reason):
    code, out, err = run_command(monkeypatch, capsys, *quick_search(table, tmp_path / "run", *arguments))
    assert code in (1, 2)
    assert out == ""
    assert reason in err
    assert not (tmp_path / "run" / "checkpoint.pt").exists()
