"""`hwnas measure` and `hwnas fit`, as a person types them, on real runtimes with a device of very short visits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hwnas.files import read_json
from hwnas.latency.additive import AdditivePredictor
from hwnas.latency.tables.table import LatencyTable
from tests.commands import answer, completed

SPACE = ("--space", "tiny", "--resolution", "16", "--width", "0.25")
DEVICE = """
name = "quick"
warmup_runs = 1
warmup_ms = 0
min_ms = 0.5
min_runs = 5
max_runs = 20
visits = 2
extra_visits = 0
reference_every = 10
drift_limit_percent = 1e6
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds a device file and, under `tables`, the table of the space on ONNX Runtime: the known device."""
    folder = tmp_path_factory.mktemp("measuring")
    (folder / "quick.toml").write_text(DEVICE)
    options = ("--runtime", "onnxruntime", "--networks", "12", "--tables", folder / "tables")
    result = answer("measure", *SPACE, "--device", folder / "quick.toml", *options)
    assert (result["entries"], result["measured"]) == (26 + 12, 26 + 12)
    assert 0 <= result["summary"]["drift"]["coefficient"] <= 1
    return folder


def test_fit_writes_the_card_and_its_pictures_beside_the_table(folder: Path) -> None:
    pytest.importorskip("matplotlib", reason="pictures need matplotlib")
    table = folder / "tables" / "quick" / "onnxruntime"
    card = answer("fit", table)
    assert card["n_networks"] == 12 and card["mape"] > 0 and card["noise_floor"] > 0
    assert len(card["judged"]) == 12 and card["learning_curve"] and card["measured_on"]["runtime"] == "onnxruntime"
    assert read_json(table / "card.json", "the card") == card
    assert AdditivePredictor.load(table / "predictor.json").half_width * 100 == pytest.approx(card["interval_percent"])
    assert f"{card['mape']:.2f} %" in (table / "CARD.md").read_text()
    assert (table / "predictions.png").exists() and (table / "learning_curve.png").exists()


def test_measure_until_an_error_is_reached(folder: Path) -> None:
    device = ("--device", folder / "quick.toml", "--tables", folder / "until")
    result = answer("measure", *SPACE, *device, "--until-mape", 500)
    assert result["reached"] and result["mape"] <= 500
    assert (result["used_entries"], result["full_entries"]) == (12 + 10, 26 + 30)
    assert 0 < result["fastest_ms"] < result["slowest_ms"]
    done = completed("measure", *SPACE, *device, "--until-mape", 500)
    assert done.returncode == 0 and "of 56" in " ".join(done.stderr.split())


@pytest.mark.weekly
def test_a_few_networks_of_a_known_table_make_a_predictor_for_another_runtime(folder: Path) -> None:
    known = folder / "tables" / "quick" / "onnxruntime"
    device = ("--device", folder / "quick.toml", "--tables", folder / "tables")
    result = answer("measure", "--from", known, *device, "--networks", 8)
    assert result["entries"] == result["measured"] == 8
    table = LatencyTable.load(Path(result["table"]))
    assert len(table.networks) == 8 and not table.blocks
    card = answer("fit", result["table"], "--from", known)
    assert card["n_networks"] == 8 and card["mape"] > 0 and card["own_mape"] > 0
    assert card["predictor"].startswith("transferred from 1 known device")
    predictor = AdditivePredictor.load(Path(result["table"]) / "predictor.json")
    assert all(predictor.predict(network).ms > 0 for network in LatencyTable.load(known).networks)


def test_options_that_contradict_are_refused(folder: Path) -> None:
    done = completed("measure", "--from", folder, "--until-mape", 3)
    assert done.returncode == 2 and "give one of them" in " ".join(done.stderr.split())
    done = completed("fit", folder / "nowhere")
    assert done.returncode == 1 and "there is no latency table" in " ".join(done.stderr.split())


def test_several_devices_at_once_and_one_that_fails(folder: Path) -> None:
    (folder / "batch.toml").write_text(DEVICE.replace('"quick"', '"batch"') + "batch = 2\n")
    devices = ("--device", folder / "quick.toml", "--device", folder / "batch.toml")
    options = ("--runtime", "onnxruntime", "--networks", "12", "--tables", folder / "tables")
    done = completed("measure", *SPACE, *devices, *options, "--json")
    assert done.returncode == 1
    said = " ".join(done.stderr.split())
    assert "1 of 2 devices were not measured completely. batch: " in said and "batch = 2" in said
    result = json.loads(done.stdout)
    assert list(result["devices"]) == ["quick"] and list(result["failed"]) == ["batch"]
    assert result["devices"]["quick"]["entries"] == 26 + 12


def test_a_file_is_benched_with_the_runtime_that_takes_it(folder: Path) -> None:
    from tests.small_models import feature_net, model_bytes

    (folder / "model.onnx").write_bytes(model_bytes(feature_net(), ".onnx"))
    result = answer("bench", folder / "model.onnx", "--device", folder / "quick.toml")
    assert result["conditions"]["identity"]["runtime"] == "onnxruntime" and result["median_ms"] > 0
    done = completed("bench", folder / "model.onnx", "--device", folder / "quick.toml", "--runtime", "tensorrt")
    assert (
        done.returncode == 2
        and "known: benchmark-model, benchmark-model-gpu, benchmark-model-none, litert" in " ".join(done.stderr.split())
    )
