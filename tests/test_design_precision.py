"""A design whose budget is for the int8 file: its ms and its accuracy decide, and everything says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import hwnas
from hwnas.designer import int8_finetuning
from hwnas.designer.comparison import compared
from hwnas.designer.config import DesignConfig
from hwnas.designer.design_table import design_table
from hwnas.designer.final import _pairs
from hwnas.designer.int8_finetuning import suited_to_int8
from hwnas.designer.judged import hint_of_loss, judged_network
from hwnas.designer.result import DesignResult, Int8FineTuning
from hwnas.designer.task import Task
from hwnas.devices.device import load_device
from hwnas.errors import HwnasError
from hwnas.exporter.export import export
from hwnas.files import read_json
from hwnas.latency.measuring.measure import measure
from hwnas.progress import silent
from hwnas.report.page_facts import notes
from hwnas.spaces import get_space
from hwnas.train.evaluate import accuracy, accuracy_and_loss
from hwnas.train.export_images import export_images
from tests.commands import completed
from tests.export_digits import RESOLUTION, digits, digits_child, digits_images, hard_for_int8, low_bit_hard

pytestmark = pytest.mark.usefixtures("final_measurements_in_one_round", "few_evaluations")
SPACE = get_space("tiny", resolution=16, width=0.25)
QUICK = {"min_ms": 0.5, "warmup_ms": 0.0, "min_runs": 5, "visits": 1, "drift_limit_percent": 1e6}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> DesignConfig:
    """Of a design for int8 with a table that is measured."""
    folder = tmp_path_factory.mktemp("int8")
    table = measure(SPACE, load_device("local").model_copy(update=QUICK), tables=folder, networks=5, precision="int8")
    small = {"space": "tiny", "resolution": 16, "width": 0.25, "method": "dsnas", "epochs": 1, "limit_train": 64}
    return DesignConfig(**small, workers=0, latency=str(table.folder), budget_ms=1000.0, precision="int8")


@pytest.fixture(scope="module")
def designed(config: DesignConfig, tmp_path_factory: pytest.TempPathFactory) -> DesignResult:
    return hwnas.design(config, tmp_path_factory.mktemp("runs") / "run")


def test_the_int8_file_is_measured_and_judged(designed: DesignResult) -> None:
    first = designed.models[0]
    assert (first.precision, first.path.name) == ("int8", "model.int8.tflite")
    assert designed.measured_ms["litert"] == designed.files_ms["model.int8.tflite"]["litert"]
    assert designed.status == "within" and first.accuracy is not None
    assert designed.accuracy == pytest.approx(first.accuracy.share)
    assert {model.path.name for model in designed.models} >= {"model.tflite", "model.onnx", "model.int8.onnx"}


def test_the_report_the_card_and_the_page_say_which_file_the_budget_is_for(designed: DesignResult) -> None:
    report = read_json(designed.run / "report.json", "the report")
    assert report["precision"] == "int8" and report["accuracy"] == designed.accuracy
    assert report["float_accuracy"] == designed.float_accuracy is not None
    counts = report["confusion"]  # of the same file
    right = sum(row[label] for label, row in enumerate(counts))
    assert right / sum(map(sum, counts)) == pytest.approx(report["accuracy"])
    card = (designed.run / "models" / "CARD.md").read_text()
    assert "ms for the int8 file on litert" in card and "one inference, int8 file" in card
    page = (designed.run / "report.html").read_text()
    assert "by the int8 file, within the budget" in page and "this is of the int8 file, float32 gets" in page
    table = design_table(replace(designed, precision_hint="int8 loses too much"))
    rows = dict(zip(*(map(str, column.cells) for column in table.columns), strict=True))
    assert rows["budget"] == "1000 ms on local, litert, int8 file"
    assert "as the int8 file" in rows["accuracy"] and "in float32" in rows["accuracy"]
    assert rows["rounding"] == "int8 loses too much"


def test_a_table_of_another_precision_is_refused_whatever_conditions_are_accepted(
    config: DesignConfig, tmp_path: Path
) -> None:
    accepting = {"precision": "float16", "accept_conditions": True}
    with pytest.raises(HwnasError, match="is of int8 files, and float16 is asked for"):
        hwnas.design(config.model_copy(update=accepting), tmp_path / "run")


def test_the_run_of_one_precision_does_not_go_on_with_another(designed: DesignResult, config: DesignConfig) -> None:
    with pytest.raises(ValueError, match="'int4'"):
        DesignConfig(budget_ms=1, precision="int4")
    wrong = completed("design", "--data", "digits", "--budget-ms", 1, "--precision", "int4")
    assert wrong.returncode == 2 and "int4" in wrong.stderr and "float16" in wrong.stderr
    assert read_json(designed.run / "run.json", "the run")["config"]["precision"] == "int8"


@pytest.mark.weekly
def test_what_is_judged_is_the_file_that_is_exported(tmp_path: Path) -> None:
    child, data = digits_child(), digits()
    judged = judged_network(child, data, "tflite", "int8")
    (model,) = export(child, tmp_path, ("tflite",), precisions=("int8",), images=export_images(data))
    assert model.accuracy is not None
    assert accuracy(judged, data.test_batches()) == pytest.approx(model.accuracy.share)
    assert judged_network(child, data, "tflite", "float32") is child
    # and that is what known networks are compared by
    rival = compared(child, judged, "found", 1.0, data, tmp_path)
    assert (rival.val_accuracy, rival.val_loss) == accuracy_and_loss(judged, data.val_batches())
    assert rival.val_loss != accuracy_and_loss(child, data.val_batches())[1]


@pytest.mark.weekly
def test_a_network_that_int8_breaks_is_fine_tuned_and_others_are_left_alone(config, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(int8_finetuning, "LEAST_EPOCHS", 1)
    task, child, data = Task.of(config, silent, tmp_path), low_bit_hard(digits_child()), digits()
    tuned, found = suited_to_int8(task, child, data, tmp_path / "fine-tuned", silent)
    assert found is not None and found.float_accuracy - found.before > 0.01
    assert found.after > found.before and found.kept and tuned is not child
    assert accuracy(task.judged(tuned, data), data.val_batches()) == found.after
    assert "1 epochs of fine-tuning with fake quantisation brought the file from" in str(found)
    allowing = replace(task, config=config.model_copy(update={"int8_max_loss": 100.0}))
    for other in (allowing, replace(task, config=config.model_copy(update={"precision": "float32"}))):
        assert suited_to_int8(other, child, data, tmp_path / "other", silent) == (child, None)
    assert not (tmp_path / "other").exists()


def test_what_fine_tuning_brought_is_said(designed: DesignResult) -> None:
    found = Int8FineTuning(0.95, 0.9, 0.94, 4, kept=True)
    table = design_table(replace(designed, int8_fine_tuning=found))
    assert str(found) in [str(cell) for column in table.columns for cell in column.cells]
    told = [note["text"] for note in notes({**designed.to_json(), "int8_fine_tuning": found.to_json()}, {})]
    assert f"I{str(found)[1:]}." in told
    assert str(replace(found, after=0.9, kept=False)).endswith("so that the weights stay as they were")


@pytest.mark.weekly
def test_a_file_that_loses_too_much_is_said_to(tmp_path: Path) -> None:
    child = hard_for_int8(digits_child())
    models = export(child, tmp_path, ("tflite",), precisions=("int8", "float32"), images=digits_images())
    assert models[0].loss_points is not None and models[0].loss_points > 1
    hint = hint_of_loss(models, "int8")
    assert hint is not None and f"{models[0].loss_points:.1f} points fewer" in hint and "--int8-repair" in hint
    assert hint_of_loss(models, "float32") is None
    assert hint_of_loss([replace(models[0], loss_points=1.0)], "int8") is None


def test_int8_is_measured_on_the_wanted_runtime_and_one_of_the_other_format(tmp_path: Path) -> None:
    images, precisions = digits_images(), ("int8", "float32")
    models = export(digits_child(), tmp_path, ("tflite", "onnx"), precisions=precisions, images=images)
    pairs = [(runtime, model.path.name) for runtime, model in _pairs(models, "litert", everywhere=True)]
    int8 = [pair for pair in pairs if "int8" in pair[1]]
    assert int8 == [("litert", "model.int8.tflite"), ("onnxruntime", "model.int8.onnx")]


def test_a_file_takes_the_place_of_its_network() -> None:
    images = next(iter(digits().test_batches()))[0][:3]
    judged = judged_network(digits_child(), digits(), "tflite", "float16")
    with torch.inference_mode():
        expected = digits_child()(images)
    np.testing.assert_allclose(judged(images), expected, atol=0.05)
    assert images.shape[1:] == (3, RESOLUTION, RESOLUTION) and isinstance(judged(images), torch.Tensor)
