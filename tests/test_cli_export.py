"""`hwnas export`, as a person types it: precisions from a run folder, the table, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hwnas.child import save_child
from hwnas.files import write_json
from hwnas.report.recorded import run_of
from tests.commands import completed
from tests.export_digits import digits, digits_child, hard_for_int8


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder, as far as an export reads it."""
    folder = tmp_path_factory.mktemp("run")
    save_child(digits_child(), folder)
    write_json(folder / "run.json", {"config": {"data": "digits", "batch_size": 32, "seed": 0, "workers": 0}})
    seen = {"mean": list(digits().mean), "std": list(digits().std)}
    write_json(folder / "report.json", {"classes": list(digits().classes), "preprocessing": seen})
    return folder


def test_int8_from_a_run_folder(run: Path) -> None:
    done = completed(
        "export", run, "--precision", "float32,int8", "--uint8-input", "--softmax", "--max-loss", 3, "--json"
    )
    assert done.returncode == 0, done.stderr
    models = json.loads(done.stdout)["models"]
    assert [Path(model["path"]).name for model in models] == [
        "model.tflite",
        "model.onnx",
        "model.int8.tflite",
        "model.int8.onnx",
    ]
    for model in models:
        assert Path(model["path"]).stat().st_size == model["bytes"]
        assert model["input"]["dtype"] == "uint8"
        assert model["accuracy"]["images"] == digits().counts["test"]
    about = json.loads((run / "models" / "export.json").read_text())
    assert about["normalisation"] == json.loads((run / "report.json").read_text())["preprocessing"]
    assert about["calibration"]["images"] == 128
    measured = completed("bench", run / "models" / "model.int8.tflite", "--json")
    assert measured.returncode == 0, measured.stderr
    assert json.loads(measured.stdout)["median_ms"] > 0


def test_the_table_names_every_file(run: Path, tmp_path: Path) -> None:
    done = completed("export", run, "--format", "tflite", "--precision", "float32,float16", "--out", tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    for words in ("model.tflite", "model.float16.tflite", "accuracy", "partitions"):
        assert words in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "CARD.md",
        "export.json",
        "model.float16.tflite",
        "model.tflite",
    ]


@pytest.mark.weekly
def test_a_loss_above_the_limit_is_an_error_that_says_what_helps(run: Path, tmp_path: Path) -> None:
    hard = tmp_path / "hard"
    save_child(hard_for_int8(digits_child()), hard)
    (hard / "run.json").write_text((run / "run.json").read_text())
    command = ("export", hard, "--format", "tflite", "--precision", "int8", "--max-loss", 2)
    done = completed(*command)
    assert done.returncode == 1
    message = " ".join(done.stderr.split())
    assert "model.int8.tflite: the layers that int8 hurts most" in message
    assert "Repeat with --int8-repair, or with --keep-float blocks.2." in message
    assert (hard / "models" / "model.int8.tflite").exists()
    done = completed(*command, "--int8-repair", "--json")
    (model,) = json.loads(done.stdout)["models"]
    assert model["kept_float"] and model["partitions"] == 1 and model["loss_points"] < 5


def test_wrong_usage(run: Path, tmp_path: Path) -> None:
    for options, words in (
        (("--precision", "dynamic"), "tflite-runtime 2.14"),
        (("--precision", "int3"), "unknown precision"),
        (("--precision", ","), "one of them is empty"),
        (("--format", ""), "one of them is empty"),
        (("--precision", "int8", "--data", "none"), "int8 and --uint8-input need images"),
        (("--precision", "int8", "--keep-float", "nowhere"), "no layer 'nowhere'"),
    ):
        done = completed("export", run, "--out", tmp_path / "out", *options)
        assert (done.returncode, words in " ".join(done.stderr.split())) == (2, True), done.stderr
    assert not (tmp_path / "out").exists()


def test_files_with_labels_are_not_replaced_by_files_without(run: Path, tmp_path: Path) -> None:
    """The images were named by a path that leads elsewhere by now."""
    for name in ("architecture.json", "weights.safetensors", "report.json"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    write_json(tmp_path / "run.json", {"config": {"data": "photographs", "batch_size": 32, "seed": 0}})
    (tmp_path / "models").mkdir()
    write_json(tmp_path / "models" / "export.json", {"classes": list(digits().classes), "files": []})
    (tmp_path / "models" / "model.onnx").write_bytes(b"")
    done = completed("export", tmp_path, "--format", "onnx")
    assert done.returncode == 1 and "--data none" in " ".join(done.stderr.split())
    assert (tmp_path / "models" / "model.onnx").read_bytes() == b""


def test_weights_without_a_run_are_exported_without_images(run: Path, tmp_path: Path) -> None:
    for name in ("architecture.json", "weights.safetensors"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    done = completed("export", tmp_path, "--format", "onnx", "--precision", "int8-weights", "--json")
    assert done.returncode == 0, done.stderr
    (model,) = json.loads(done.stdout)["models"]
    assert (model["accuracy"], model["precision"]) == (None, "int8-weights")


def test_a_network_in_a_run_is_told_from_a_run_of_such_a_name(tmp_path: Path) -> None:
    write_json(tmp_path / "run" / "run.json", {"config": {}})
    for part, run in (
        ("frontier/0.3ms", "run"),
        ("compared/mnasnet", "run"),
        ("searched", "run"),
        ("models", "run/models"),
    ):
        assert run_of(tmp_path / "run" / part) == tmp_path / run
    for own in ("searched", "frontier/demo", "compared/x"):
        assert run_of(tmp_path / own) == tmp_path / own
