"""Searches over children that are trained by themselves: no supernet, resumed behind a real kill, one process alone."""

import dataclasses
import json
import os
import signal
from pathlib import Path

import pytest
import torch

from hwnas.child import load_child
from hwnas.errors import HwnasError, UsageError
from hwnas.evaluation.config import StudyConfig
from hwnas.evaluation.study import evaluate
from hwnas.report.watched_run import WatchedRun
from hwnas.run import Run
from hwnas.searches.evaluators import EVALUATIONS_FILE
from hwnas.searches.frontier import frontier
from hwnas.searches.registry import get_search
from hwnas.searches.result import SearchResult
from hwnas.searches.trained_children import CHILDREN_FOLDER, TRAINED_ON_FOLDER
from hwnas.train import distributed
from hwnas.train.child import train_child
from hwnas.train.data import load_data
from hwnas.train.loop import CHECKPOINT_FILE
from hwnas.train.weights import WeightSettings
from tests.commands import completed
from tests.processes import started
from tests.test_dsnas import SPACE, problem
from tests.test_latency import made_table

CHILDREN, EPOCHS, CHILD_EPOCHS = 5, 3, 2
TRAINED = {"evaluate": "trained", "child_epochs": CHILD_EPOCHS, "evaluations": CHILDREN}


def search(folder: Path, method: str = "weaknas", progress=None, **settings) -> SearchResult:
    """On one thread, so that all processes round alike."""
    torch.set_num_threads(1)
    data = load_data("digits", resolution=16, batch_size=32, limit_train=96, val_fraction=0.05, workers=0)
    chosen = get_search(method)
    task = problem(data, epochs=EPOCHS)
    return chosen.search(task, Run(folder, {}), progress, chosen.resolve(TRAINED | settings))


@pytest.fixture(scope="module", autouse=True)
def threads_as_they_were():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def told() -> list[tuple[int, int, dict]]:
    return []


@pytest.fixture(scope="module")
def whole(tmp_path_factory, told) -> SearchResult:
    """A search that nobody stopped."""
    return search(tmp_path_factory.mktemp("whole") / "run", progress=lambda *now: told.append(now))


def folder_of(result: SearchResult) -> Path:
    return result.deriver.run.folder


def checkpoints(folder: Path) -> dict[str, int]:
    """When each child's last checkpoint was written, by the child."""
    found = (folder / CHILDREN_FOLDER).glob(f"*/{CHECKPOINT_FILE}")
    return {path.parent.name: path.stat().st_mtime_ns for path in found}


def equal(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    one, other = first.state_dict(), second.state_dict()
    return one.keys() == other.keys() and all(bool((one[name] == other[name]).all()) for name in one)


def test_the_best_of_the_trained_children_is_taken_and_trained_on_to_the_usual_end(whole, tmp_path):
    found = whole.deriver.evaluations
    assert len(found) == CHILDREN
    assert {(each.kind, each.epochs) for each in found.values()} == {("trained", CHILD_EPOCHS)}
    budget = whole.problem.budget
    assert all(budget.is_within(each) for each in found)
    assert found[whole.architecture].rank == max(each.rank for each in found.values())
    data, settings = whole.problem.data, WeightSettings()
    child = train_child(whole.architecture, data, Run(tmp_path / "a", {}), CHILD_EPOCHS, settings=settings)
    after = train_child(whole.architecture, data, Run(tmp_path / "b", {}), 1, settings=settings, start=child)
    assert equal(whole.derive(), after) and not equal(child, after)
    assert whole.derivation.val_accuracy == found[whole.architecture].accuracy


def test_progress_and_the_log_have_a_line_for_each_child(whole, told):
    logged = Run.of_another_process(folder_of(whole), {}).metrics()
    assert [each["step"] for each in logged] == list(range(1, CHILDREN + 1))
    best = [each["best_val_accuracy"] for each in logged]
    assert best == sorted(best)
    steps = whole.problem.data.steps_per_epoch
    assert [done for done, _, figures in told if "best_val_accuracy" in figures] == [
        number * CHILD_EPOCHS * steps for number in range(1, CHILDREN + 1)
    ]
    totals = {total for _, total, _ in told}
    assert totals == {told[-1][0]} == {(CHILDREN * CHILD_EPOCHS + EPOCHS - CHILD_EPOCHS) * steps}


def killed_in_the_third_child(folder: Path) -> None:
    """A search that is killed with SIGKILL some steps into its third child."""
    steps: list[int] = []

    def progress(done: int, total: int, figures: dict[str, float]) -> None:
        known = (folder / EVALUATIONS_FILE).read_text().count("\n") if (folder / EVALUATIONS_FILE).exists() else 0
        steps.extend([done] * (known == 2))
        if len(steps) == 4:
            os.kill(os.getpid(), signal.SIGKILL)

    search(folder, progress=progress)


def test_a_killed_search_loses_no_more_than_the_child_that_it_was_training(whole, tmp_path):
    folder = tmp_path / "run"
    process = started(killed_in_the_third_child, folder)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    known = [json.loads(line)["digest"][:12] for line in (folder / EVALUATIONS_FILE).read_text().splitlines()]
    assert len(known) == 2 and len(list((folder / CHILDREN_FOLDER).iterdir())) == 3
    before = checkpoints(folder)
    again = search(folder)
    assert again.architecture == whole.architecture
    after, taken = checkpoints(folder), again.architecture.digest[:12]
    assert {name: before[f"{name}-{CHILD_EPOCHS}"] for name in known} == {
        name: after[f"{name}-{CHILD_EPOCHS}"] for name in known
    }
    assert equal(again.derive(), whole.derive())
    for name in (EVALUATIONS_FILE, "metrics.jsonl", f"{TRAINED_ON_FOLDER}/{taken}/metrics.jsonl"):
        assert (folder / name).read_text() == (folder_of(whole) / name).read_text()


@pytest.mark.weekly
def test_children_of_smaller_budgets_have_weights_of_their_own(whole):
    budget_ms = 0.8 * whole.problem.budget.budget_ms
    small = frontier(whole, [budget_ms])[0]
    assert small.problem.budget.is_within(small.architecture)
    assert small.derive().architecture == small.architecture != whole.architecture


def test_children_of_as_many_epochs_as_the_search_are_not_trained_on(tmp_path):
    result = search(tmp_path / "run", "random", child_epochs=None, evaluations=2)
    assert {each.epochs for each in result.deriver.evaluations.values()} == {EPOCHS}
    assert not (tmp_path / "run" / TRAINED_ON_FOLDER).exists()
    assert result.val_accuracy(result.derive()) == result.derivation.val_accuracy


def test_what_children_start_from_is_pretrained_where_the_search_is(tmp_path, whole):
    """With a rate of 0 their weights stay what the largest network's were."""
    from hwnas.child import ChildNetwork
    from hwnas.supernet.start import largest_architecture

    task = dataclasses.replace(whole.problem, start=ChildNetwork(largest_architecture(SPACE)))
    method = get_search("random")
    settings = method.resolve(TRAINED | {"lr": 0.0, "evaluations": 1})
    child = method.search(task, Run(tmp_path / "run", {}), None, settings).derive()
    first = next(name for name, value in child.named_parameters() if value.dim() == 4)
    assert (child.state_dict()[first] == task.start.state_dict()[first]).all()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"evaluate": "guessed"}, "inherited or trained"),
        ({"child_epochs": 0}, "1 or more"),
        ({"evaluate": "inherited"}, "evaluate = 'trained'"),
        ({"child_epochs": EPOCHS + 1}, "raise --epochs"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path, wrong, said):
    with pytest.raises(UsageError, match=said):
        search(tmp_path / "run", **wrong)


def test_several_processes_are_refused_before_any_child_is_trained(tmp_path, monkeypatch):
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    with pytest.raises(UsageError, match="Leave out torchrun"):
        search(tmp_path / "run")
    assert not (tmp_path / "run" / CHILDREN_FOLDER).exists()


@pytest.mark.weekly  # each part has a test of its own
def test_the_verbs_search_with_trained_children_and_have_no_gap_of_a_supernet(tmp_path):
    table = made_table(SPACE, networks=12)
    table.conditions["imported"] = {"publication": "a test"}
    table.save(tmp_path / "table")
    settings = {"evaluate": "trained", "child_epochs": 1, "evaluations": 3}
    (tmp_path / "search.toml").write_text('settings = {evaluate = "trained", child_epochs = 1, evaluations = 3}\n')
    small = ["--space", "tiny", "--resolution", "16", "--width", "0.25", "--limit-train", "64", "--epochs", "2"]
    small += ["--data", "digits", "--latency", tmp_path / "table", "--budget-ms", "60%", "--train-threads", "1"]
    out = tmp_path / "search"
    shown = completed("search", *small, "--method", "weaknas", "--config", tmp_path / "search.toml", "--out", out)
    assert shown.returncode == 0, shown.stderr
    assert "child 3 of 3" in " ".join(shown.stderr.split())
    assert load_child(out).architecture.digest in {
        json.loads(line)["digest"] for line in (out / EVALUATIONS_FILE).read_text().splitlines()
    }
    first, *others = WatchedRun.of(out).trainings
    assert (first.name, first.step, first.total_steps) == ("search", 3, 3) and len(others) == 1
    study = StudyConfig(
        methods=("weaknas",),
        settings={"weaknas": settings},
        seeds=1,
        resolution=16,
        width=0.25,
        limit_train=64,
        epochs=1,
        latency=str(tmp_path / "table"),
        budget_ms=("60%",),
    )
    rows = {row["method"]: row for row in evaluate(study, tmp_path / "study").rows()}
    assert rows["weaknas"]["gap"] is None and rows["weaknas"]["search_seconds"] > 0


def test_children_are_trained_in_the_precision_of_the_search(tmp_path, monkeypatch):
    def trained(*arguments):
        raise HwnasError("bf16" if "bf16" in arguments else "float32")  # training itself in 16 bits takes a CPU long

    monkeypatch.setattr("hwnas.searches.evaluators.train_child", trained)
    data = load_data("digits", resolution=16, batch_size=32, limit_train=64, val_fraction=0.05, workers=0)
    chosen = get_search("random")
    for amp, told in (("bf16", "bf16"), ("off", "float32")):
        task, settings = dataclasses.replace(problem(data, epochs=1), amp=amp), TRAINED | {"child_epochs": 1}
        with pytest.raises(HwnasError, match=told):
            chosen.search(task, Run(tmp_path / amp, {}), None, chosen.resolve(settings))
