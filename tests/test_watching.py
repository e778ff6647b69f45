"""`hwnas watch`: how far a run is, read beside the process that writes it."""

import json
from functools import partial

import pytest

from hwnas.errors import HwnasError
from hwnas.report.console import CONSOLE
from hwnas.report.sparkline import BLOCKS, sparkline
from hwnas.report.watched_run import WatchedRun, write_events
from hwnas.run import METRICS_FILE, Run
from tests.commands import run_command

CONFIG = {"epochs": 3, "batch_size": 32, "images": {"train": 100}, "budget_ms": 0.5}


@pytest.fixture
def hwnas(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    return partial(run_command, monkeypatch, capsys)


@pytest.fixture
def run(tmp_path):
    """A run at work: no other process could open it, and it can be watched."""
    found = Run(tmp_path / "run", CONFIG)
    for step in range(1, 5):
        found.log({"step": step, "epoch": step // 4, "loss": 3.0 - step / 2, "expected_ms": 0.6 - step / 100})
    return found


def test_steps_are_counted_to_their_end_and_the_newest_figures_are_shown(run, hwnas):
    code, out, _ = hwnas("watch", run.folder, "--json")
    assert code == 0
    found = json.loads(out)
    search = found["trainings"][0]
    assert (search["step"], search["total_steps"]) == (4, 9)  # three epochs of three batches
    assert search["last"] == {"loss": 1.0, "expected_ms": pytest.approx(0.56)}
    assert not found["finished"]


def test_the_table_shows_every_training_and_the_way_of_its_loss(run, hwnas):
    other = Run(run.folder / "compared" / "plain-cnn-1-32px", {"epochs": 2, "images": "digest"})
    other.log({"step": 1, "epoch": 0, "loss": 2.0})
    code, _, shown = hwnas("watch", run.folder, "--once")
    assert code == 0
    for text in ("search", "4 of 9", "expected ms 0.56", "plain-cnn-1-32px", "1 of 6", sparkline([2.5, 2.0, 1.5, 1.0])):
        assert text in shown


def test_a_line_that_is_being_written_is_left_for_the_next_look(run):
    with (run.folder / METRICS_FILE).open("a") as file:
        file.write('{"step": 5, "epoch": 1, "lo')
    assert WatchedRun.of(run.folder).trainings[0].step == 4


def test_watching_ends_with_the_run(run, hwnas):
    (run.folder / "weights.safetensors").write_text("{}")
    code, _, shown = hwnas("watch", run.folder)
    assert code == 0
    assert "finished" in shown and "not finished" not in shown


def test_a_design_ends_with_its_report_and_not_before_its_files_are_measured(tmp_path):
    run = Run(tmp_path / "run", {"epochs": 1, "images": "digest", "device": "local"})
    (run.folder / "weights.safetensors").write_text("{}")
    assert not WatchedRun.of(run.folder).is_finished
    (run.folder / "report.json").write_text("{}")
    assert WatchedRun.of(run.folder).is_finished


def test_a_study_is_no_run(tmp_path, hwnas):
    folder = Run(tmp_path / "study", {"evaluates": "study"}).folder
    code, _, shown = hwnas("watch", folder, "--once")
    assert code == 1
    assert "hwnas evaluate" in " ".join(shown.split())


def test_what_is_no_run_and_no_time_is_refused(tmp_path, run, hwnas):
    code, _, shown = hwnas("watch", tmp_path)
    assert code == 1
    assert "is no run folder" in shown
    for seconds in ("0", "nan", "inf"):
        assert hwnas("watch", run.folder, "--every", seconds)[0] == 2
    (run.folder / "run.json").write_text('{"config": {"epochs": "many"}}')
    with pytest.raises(HwnasError, match="epochs"):
        WatchedRun.of(run.folder)


def test_tensorboard_reads_what_was_logged_once(run, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    written: dict[str, int] = {}
    write_events(WatchedRun.of(run.folder), tmp_path / "events", written)
    run.log({"step": 5, "epoch": 1, "loss": 0.25, "expected_ms": 0.5})
    write_events(WatchedRun.of(run.folder), tmp_path / "events", written)
    events = accumulator.EventAccumulator(str(tmp_path / "events" / "search")).Reload()
    losses = [(each.step, each.value) for each in events.Scalars("loss")]
    assert losses == [(1, 2.5), (2, 2.0), (3, 1.5), (4, 1.0), (5, 0.25)]
    assert events.Scalars("budget_ms")[-1].value == 0.5


def test_a_sparkline_goes_from_its_lowest_to_its_highest_value(monkeypatch):
    monkeypatch.setattr(type(CONSOLE), "encoding", "utf-8")
    assert sparkline([1.0, 2.0]) == BLOCKS[0] + BLOCKS[-1]
    assert sparkline([]) == ""
    assert sparkline([float("nan"), 1.0]) == BLOCKS[0]
    assert len(sparkline(list(range(1000)), width=20)) == 20
