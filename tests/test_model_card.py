"""The model card: what it says is what the files and the measurements say, its Python runs as it stands and has the
accuracy that is stated, and its C++ resizes as Pillow does."""

from __future__ import annotations

import getpass
import json
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hwnas.errors import HwnasError
from hwnas.exporter.export import export
from hwnas.files import read_json, write_json
from hwnas.report.model_card import model_card, write_model_card
from hwnas.spaces import get_space
from tests.image_files import save_noise
from tests.small_models import IMAGE_SHAPE, classifier_net

CLASSES = ("cat", "d\u00f6g | [x](y)", "`owl`", "it's", '"eel"')
CONDITIONS = {
    "identity": {"cpu": "Fast CPU", "system": "Linux", "architecture": "aarch64", "runtime_version": "2.3.0"}
    | {"threads": 1, "cores": [2, 3], "batch": 1},
    "circumstances": {"date": "2026-01-02T03:04:05+00:00"},
}
REPORT: dict[str, Any] = {
    "status": "within",
    "budget_ms": 1.5,
    "device": "/home/someone/devices/pixel_8.toml",
    "runtime": "litert",
    "predicted_ms": 1.3,
    "interval_ms": [1.2, 1.4],
    "measured_ms": {"litert": 1.25, "onnxruntime": 1.75},
    "conditions": {"litert": CONDITIONS},
    "accuracy": 0.875,
    "macs": 13_000,
    "params": 269,
    "classes": list(CLASSES),
    "preprocessing": {"mean": [0.5, 0.25, 0.125], "std": [0.25, 0.5, 1.0]}
    | {"crop": "largest-centred", "resize": "antialiased-bilinear"},
    "images": {"train": 1000, "test": 100},
    "run": "/home/someone/runs/secret",
    "models": [{"path": "/home/someone/runs/secret/models/model.tflite"}],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Exported files of both formats."""
    folder = tmp_path_factory.mktemp("models")
    export(classifier_net(), folder, input_shape=IMAGE_SHAPE, precisions=["float32", "float16"])
    save_noise(folder / "photo.jpg", size=(50, 40))
    return folder


def python_of(card: str) -> list[str]:
    return re.findall(r"```python\n(.*?)\n```", card, re.DOTALL)


def run_python(code: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_designed_network(folder: Path) -> None:
    card = write_model_card(folder, REPORT, "CC-BY-4.0").read_text(encoding="utf-8")
    assert "for pixel\\_8" in card.splitlines()[0]
    assert "Budget 1.5 ms for the float32 file on litert: measured **1.25 ms, within the budget**" in card
    assert "Predicted before: 1.3 ms (+4.0 %), 90 % interval 1.2 to 1.4 ms" in card
    assert "| litert | 1.25 ms | Fast CPU; Linux aarch64; version 2.3.0; threads: 1; cores: \\[2, 3\\]" in card
    assert "| onnxruntime | 1.75 ms | not recorded |" in card
    assert "mean [0.5, 0.25, 0.125] and std [0.25, 0.5, 1.0]" in card
    assert "- Classes: 0 cat, 1 d\u00f6g \\| \\[x\\](y), 2 \\`owl\\`" in card
    assert "87.5% of the test images" in card and "- train: 1000 images" in card
    assert "0.01 M multiply-accumulates, 269 parameters" in card and "CC-BY-4.0" in card
    assert "input `input` float32 [1, 20, 12, 3] NHWC" in card and "float32 [1, 3, 20, 12] NCHW" in card
    for file in json.loads((folder / "export.json").read_text())["files"]:
        assert f"`{file['path']}`" in card and file["sha256"] in card
    assert "XNNPACK takes it in 1 piece." in card


def test_nothing_in_it_names_a_folder_a_user_or_a_machine(folder: Path) -> None:
    card = write_model_card(folder, REPORT).read_text(encoding="utf-8")
    for private in ("/home", "someone", "secret", str(folder), str(Path.home()), socket.gethostname()):
        assert private not in card, private
    assert getpass.getuser() == "root" or getpass.getuser() not in card


def test_its_python_runs_as_it_stands(folder: Path) -> None:
    codes = python_of(write_model_card(folder, REPORT).read_text(encoding="utf-8"))
    assert len(codes) == 2
    answers = {run_python(code, folder) for code in codes}
    assert len(answers) == 1 and answers <= set(CLASSES)  # both formats say the same of the same image


def test_a_network_that_was_not_designed_here(folder: Path) -> None:
    card = write_model_card(folder).read_text(encoding="utf-8")
    assert card.startswith("# A network\n")
    for said in ("Not measured.", "Normalisation of the pixels: not recorded", "## Licence\n\nNot stated.", "## Data"):
        assert said in card
    assert {run_python(code, folder) for code in python_of(card)} <= {str(i) for i in range(5)}


def test_pixels_may_go_in_as_they_are(folder: Path, tmp_path: Path) -> None:
    """Over a network that takes uint8 the snippets of all languages say so, and the Python still runs."""
    import numpy as np

    from hwnas.exporter.export import ExportOptions
    from hwnas.exporter.images import Calibration, ExportImages
    from hwnas.preprocessing import Preprocessing

    pixels = np.random.default_rng(0).integers(0, 256, (4, *IMAGE_SHAPE[1:]), np.uint8)
    labelled = [(pixels, np.arange(4))]
    preprocessing = Preprocessing((0.5, 0.25, 0.125), (0.25, 0.5, 1.0))
    images = ExportImages(preprocessing, CLASSES, Calibration(pixels, 0), labelled, labelled)
    save_noise(tmp_path / "photo.jpg", size=(50, 40))
    export(
        classifier_net(), tmp_path, ("tflite", "onnx"), IMAGE_SHAPE, ["float32", "int8"], images, ExportOptions(True)
    )
    card = write_model_card(tmp_path).read_text(encoding="utf-8")
    assert "RGB, 0 to 255, as they are" in card and "Calibration of int8: 4 training images, seed 0" in card
    for code in ("writeInt8(image)", "OnnxJavaType.UINT8", "elementType: .uInt8", "typed_input_tensor<uint8_t>(0)"):
        assert code in card
    assert re.search(r"`model.int8.tflite` \| int8 \| .* of 4 images\)", card)
    assert {run_python(code, tmp_path) for code in python_of(card)} <= set(CLASSES)


def test_every_language_shows_both_formats(folder: Path) -> None:
    card = write_model_card(folder, REPORT).read_text(encoding="utf-8")
    for code in ("kotlin", "swift", "python", "cpp"):
        blocks = re.findall(rf"```{code}\n(.*?)\n```", card, re.DOTALL)
        functions = [] if code == "python" else [blocks.pop(0)]
        assert all("Axis(" in each or "_axis(" in each for each in functions)
        assert len(blocks) == 2 and all(len(block.splitlines()) <= 32 for block in blocks)
        assert all("prepared(" in block for block in blocks)
    assert "720 floats, normalised, row by row" in card
    assert "longArrayOf(1, 3, 20, 12)" in card and "std::array<int64_t, 4> shape{1, 3, 20, 12}" in card


def test_a_file_has_the_ms_that_were_measured_on_it_and_not_on_another_of_its_name(folder: Path) -> None:
    first, second, *_ = json.loads((folder / "export.json").read_text())["files"]
    models = [
        {"path": f"/home/someone/{first['path']}", "sha256": first["sha256"], "ms": {"litert": 1.25, "native": 1.5}},
        {"path": f"/home/someone/{second['path']}", "sha256": "another", "ms": {"onnxruntime": 1.75}},
    ]
    card = write_model_card(folder, REPORT | {"models": models}).read_text(encoding="utf-8")
    rows = {line.split("`")[1]: line for line in card.splitlines() if line.startswith("| `")}
    assert "| 1.25 ms on litert, 1.5 ms on native |" in rows[first["path"]]
    assert "| not measured |" in rows[second["path"]] and "not among these any more" not in card
    card = write_model_card(folder, REPORT | {"models": [models[0] | {"sha256": "of the run"}]}).read_text()
    assert "Of the file that the run made, which is not among these any more: Budget 1.5 ms" in card


def test_a_known_network_is_called_one(folder: Path, tmp_path: Path) -> None:
    exported = read_json(folder / "export.json", "the export")
    whole = get_space("tiny").decode([0] * 7).to_json()
    for space, title in (("plain-cnn", "# The known network plain-cnn for"), ("lite", "# A network of the space lite")):
        write_json(tmp_path / "export.json", exported | {"architecture": whole | {"space": space}})
        assert title in write_model_card(tmp_path, REPORT).read_text()


def test_a_card_needs_an_export(tmp_path: Path) -> None:
    with pytest.raises(HwnasError, match=r"the model card: there is no file .*export.json"):
        write_model_card(tmp_path)
    (tmp_path / "export.json").write_text('{"files": [{}]}')
    with pytest.raises(HwnasError, match=r"lacks data that a card needs \(KeyError\('path'\)\)"):
        write_model_card(tmp_path)
    assert not (tmp_path / "CARD.md").exists()


def test_equal_input_gives_equal_cards(folder: Path) -> None:
    exported = json.loads((folder / "export.json").read_text())
    assert model_card(exported, REPORT) == model_card(exported, REPORT)


def test_its_python_sees_grey_of_16_bits_as_training_does(folder: Path, tmp_path: Path) -> None:
    import numpy as np
    from PIL import Image

    grey = np.arange(256, dtype=np.uint16).reshape(16, 16)
    Image.fromarray(grey * 257).save(folder / "sixteen.png")
    Image.fromarray(grey.astype(np.uint8)).save(folder / "eight.png")
    (code, *_) = python_of(write_model_card(folder, REPORT).read_text(encoding="utf-8"))
    compared = f"{code}\nprint((prepared('sixteen.png') == prepared('eight.png')).all())"
    assert run_python(compared, folder).splitlines()[-1] == "True"
