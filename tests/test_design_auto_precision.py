"""`--precision auto`: a design in float32 and one in int8, and the better file of the two."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

import hwnas
from hwnas.child import load_child
from hwnas.designer.auto_precision import _publish_models, better_file
from hwnas.designer.config import DesignConfig
from hwnas.designer.design_table import design_table
from hwnas.designer.result import DesignResult, PrecisionChoice
from hwnas.errors import HwnasError, UsageError
from hwnas.files import read_json, write_json
from hwnas.latency.budget import InfeasibleBudget
from hwnas.report.recorded import run_config
from hwnas.report.watched_run import WatchedRun
from tests.commands import completed, run_command

pytestmark = pytest.mark.usefixtures("final_measurements_in_one_round", "few_evaluations")
QUICK = "min_ms = 0.5\nwarmup_ms = 0.0\nmin_runs = 5\nvisits = 1\ndrift_limit_percent = 1e6\n"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> DesignConfig:
    folder = tmp_path_factory.mktemp("auto")
    (folder / "quick.toml").write_text(f'name = "quick"\n{QUICK}')
    small = {"space": "tiny", "resolution": 16, "width": 0.25, "method": "dsnas", "epochs": 1, "limit_train": 64}
    where = {"device": str(folder / "quick.toml"), "tables": str(folder / "tables"), "networks": 5}
    return DesignConfig(**small, **where, workers=0, budget_ms=1000.0, precision="auto")


SAID: list[str] = []


class _Notes(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        SAID.append(record.getMessage())


@pytest.fixture(scope="module")
def designed(config: DesignConfig, tmp_path_factory: pytest.TempPathFactory) -> DesignResult:
    log, notes = logging.getLogger("hwnas.designer.auto_precision"), _Notes()
    log.addHandler(notes)
    log.setLevel(logging.INFO)
    try:
        return hwnas.design(config, tmp_path_factory.mktemp("runs") / "run")
    finally:
        log.removeHandler(notes)
        log.setLevel(logging.NOTSET)


def test_the_better_file_is_taken_by_validation_images_then_ms_and_within_the_budget() -> None:
    def choice(name: str, val_accuracy: float, ms: float, status: str = "within") -> PrecisionChoice:
        return PrecisionChoice(name, False, val_accuracy, 0.5, ms, status, Path(name))

    assert better_file([choice("float32", 0.9, 2.0), choice("int8", 0.8, 1.0)]).precision == "float32"
    assert better_file([choice("float32", 0.9, 2.0), choice("int8", 0.9, 1.0)]).precision == "int8"
    assert better_file([choice("float32", 0.9, 2.0, "over"), choice("int8", 0.8, 1.0)]).precision == "int8"
    assert better_file([choice("float32", 0.9, 2.0, "over"), choice("int8", 0.8, 3.0, "over")]).precision == "float32"


@pytest.mark.weekly
def test_each_precision_has_a_run_and_the_better_one_is_what_the_run_holds(designed: DesignResult) -> None:
    one, other = designed.precisions
    assert (one.precision, other.precision) == ("float32", "int8")
    taken = better_file(designed.precisions)
    assert [each.taken for each in designed.precisions] == [each is taken for each in designed.precisions]
    assert designed.precision == taken.precision and designed.accuracy == taken.accuracy
    assert load_child(designed.run).architecture == designed.architecture == load_child(taken.folder).architecture
    for model in designed.models:
        assert model.path.parent == designed.run / "models"
        assert model.path.read_bytes() == (taken.folder / "models" / model.path.name).read_bytes()
    for each in designed.precisions:
        report = read_json(each.folder / "report.json", "the report")
        assert report["precision"] == each.precision and report["accuracy"] == each.accuracy
    # an export of the run is one of what it holds: on the same images, which are checked
    config = run_config(designed.run)
    assert config == run_config(taken.folder) and config["precision"] == taken.precision and config["images"]["sha256"]


@pytest.mark.weekly
def test_the_table_the_report_and_the_page_say_what_was_chosen_between(designed: DesignResult) -> None:
    report = read_json(designed.run / "report.json", "the report")
    assert [each["taken"] for each in report["precisions"]].count(True) == 1
    said = f"{designed.precision} of float32 and int8: the {designed.precision} file gets"
    assert said in report["chosen"][-1] and said in (designed.run / "report.html").read_text()
    table = design_table(designed)
    rows = dict(zip(*(map(str, column.cells) for column in table.columns), strict=True))
    assert said in rows["chosen"] and str(designed.run) in rows["run"]
    names = [training.name for training in WatchedRun.of(designed.run).trainings]
    assert names == ["float32: search", "int8: search"]


@pytest.mark.weekly  # as each of its two designs is repeated: test_cli.py
def test_repeated_it_trains_nothing_and_takes_the_same(config: DesignConfig, designed: DesignResult) -> None:
    before = {path: path.stat().st_mtime_ns for path in designed.run.rglob("checkpoint.pt")}
    (designed.run / "models" / "mine.txt").write_text("kept")
    again = hwnas.design(config, designed.run)
    assert again.precision == designed.precision and again.accuracy == designed.accuracy
    assert (designed.run / "models" / "mine.txt").read_text() == "kept" and again.seconds > designed.seconds
    assert {path: path.stat().st_mtime_ns for path in designed.run.rglob("checkpoint.pt")} == before and len(
        before
    ) == 2
    with pytest.raises(HwnasError, match="precision: 'auto' there, 'int8' now"):
        hwnas.design(config.model_copy(update={"precision": "int8"}), designed.run)


@pytest.mark.weekly
def test_how_long_it_takes_is_said_before(designed: DesignResult) -> None:
    (said,) = [text for text in SAID if "about twice as long as one" in text]
    assert said.startswith("float32 and int8 are designed one after the other")


def test_a_budget_that_one_precision_cannot_meet_leaves_it_out(config: DesignConfig, tmp_path: Path) -> None:
    with pytest.raises(InfeasibleBudget, match=r"float32: a budget of 0\.0001 ms cannot be met.*int8: a budget"):
        hwnas.design(config.model_copy(update={"budget_ms": 1e-4}), tmp_path / "none")
    assert not (tmp_path / "none" / "report.json").exists()
    assert str(PrecisionChoice("float32", reason="too slow")) == "float32 was left out: too slow"


def test_one_table_cannot_serve_both(config: DesignConfig, tmp_path: Path) -> None:
    named = config.model_copy(update={"latency": str(tmp_path)})
    with pytest.raises(UsageError, match="--precision auto needs a latency table for each of float32, int8"):
        hwnas.design(named, tmp_path / "run")
    published = config.model_copy(update={"device": "pixel-4", "resolution": None, "width": None, "tables": "none"})
    with pytest.raises(HwnasError, match="--precision auto needs a device that is measured"):
        hwnas.design(published.model_copy(update={"space": "single-path"}), tmp_path / "pixel")
    tables = ("--tables", tmp_path / "tables", "--data", "digits", "--budget-ms", 1, "--precision", "auto")
    missing = completed("search", "--space", "tiny", *tables)
    assert missing.returncode == 1 and "holds no table litert" in missing.stderr


def test_what_a_person_exported_of_the_same_network_stays(tmp_path: Path) -> None:
    def exported(folder: Path, weights: str, *names: str) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            (folder / name).write_text(weights)
        write_json(folder / "export.json", {"weights_sha256": weights, "files": [{"path": name} for name in names]})
        return folder

    def listed() -> list[str]:
        return [file["path"] for file in read_json(tmp_path / "models" / "export.json", "")["files"]]

    first = exported(tmp_path / "first", "one", "model.tflite")
    _publish_models(first, tmp_path / "models")
    exported(tmp_path / "models", "one", "model.tflite", "model.float16.tflite")
    (tmp_path / "models" / "notes.txt").write_text("mine")
    _publish_models(first, tmp_path / "models")
    assert listed() == ["model.tflite", "model.float16.tflite"]
    _publish_models(exported(tmp_path / "second", "two", "model.tflite"), tmp_path / "models")
    assert listed() == ["model.tflite"] and (tmp_path / "models" / "model.tflite").read_text() == "two"
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == ["export.json", "model.tflite", "notes.txt"]


def test_an_export_json_from_elsewhere_removes_nothing_outside_the_folder(tmp_path: Path) -> None:
    (tmp_path / "victim.txt").write_text("mine")
    for folder, weights, path in (("source", "one", "model.tflite"), ("models", "two", "../victim.txt")):
        (tmp_path / folder).mkdir()
        write_json(tmp_path / folder / "export.json", {"weights_sha256": weights, "files": [{"path": path}]})
    (tmp_path / "source" / "model.tflite").write_text("one")
    _publish_models(tmp_path / "source", tmp_path / "models")
    assert (tmp_path / "victim.txt").read_text() == "mine" and (tmp_path / "models" / "model.tflite").is_file()


def test_a_search_for_both_chooses_nothing_by_the_images(tmp_path: Path, monkeypatch, capsys) -> None:
    """It has tables that exist, as with one precision."""
    asked: list[DesignConfig] = []

    def designed(config: DesignConfig, *_: object) -> None:
        asked.append(config)
        raise HwnasError("enough")

    monkeypatch.setattr("hwnas.designer.design.design", designed)
    monkeypatch.setattr("hwnas.latency.tables.known.find_table", lambda *_, **__: tmp_path)
    options = ("--data", tmp_path, "--budget-ms", 1, "--precision", "auto")
    assert run_command(monkeypatch, capsys, "search", *options)[0] == 1
    ((space, method),) = {(each.space, each.method) for each in asked}
    assert (space, method) == ("tiny", "dsnas")
