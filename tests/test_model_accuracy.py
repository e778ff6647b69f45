"""The accuracy of a file is what an app has that follows its card: with this file, these images, and nothing else."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hwnas
from hwnas.errors import HwnasError, UsageError
from hwnas.exporter.classification import arranged, grey
from hwnas.exporter.export import ExportOptions, export
from hwnas.exporter.model_input import ModelInput
from hwnas.inspection.inspect import inspect
from hwnas.inspection.network import NAME_LENGTH
from hwnas.preprocessing import ANTIALIASED_BILINEAR, LARGEST_CENTRED, WHOLE, Preprocessing, fitted
from hwnas.report.model_card import write_model_card
from hwnas.report.photograph import photograph_snippets
from hwnas.train.output_classes import output_classes
from tests.commands import answer, completed
from tests.export_digits import RESOLUTION, digits_child, digits_images
from tests.image_files import noise
from tests.small_models import IMAGE_SHAPE, classifier_net
from tests.weekly import weekly_except
from tests.wide_digits import loaded, make_photographs, photographs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_photographs(tmp_path_factory.mktemp("wide"))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Path:
    """Files of a network with its card: float32 and int8; in ``pixels`` int8 with uint8 inputs."""
    out = tmp_path_factory.mktemp("models")
    for place, precisions in ((out, ("float32", "int8")), (out / "pixels", ("int8",))):
        options = ExportOptions(uint8_input=place != out, max_loss=100)
        export(digits_child(), place, precisions=precisions, images=photographs(folder), options=options)
        write_model_card(place)
    return out


def stated(models: Path) -> dict[str, float]:
    """The accuracy of each file as its export, and so its card, says it."""
    exported = json.loads((models / "export.json").read_text())
    return {file["path"]: file["accuracy"]["accuracy"] for file in exported["files"]}


def python_of(card: str) -> dict[str, str]:
    """File -> the Python of the card for it."""
    return {
        name: re.findall(r"```python\n(.*?)\n```", section, re.DOTALL)[0]
        for name, section in re.findall(r"### (model\S*)\n(.*?)(?=\n### |\n## )", card, re.DOTALL)
    }


def share_right(code: str, folder: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> float:
    """What someone gets who takes the code of a card, and has it look at every test image."""
    files = sorted(path for path in (folder / "test").rglob("*") if path.is_file())
    shutil.copy(files[0], models / "photo.jpg")
    monkeypatch.chdir(models)
    names: dict[str, Any] = {}
    exec(code, names)
    right = [names["labels"][names["scores"](file).argmax()] == file.parent.name for file in files]
    return float(np.mean(right))


@pytest.mark.parametrize("inside", ["", "pixels"])
def test_who_follows_the_card_has_the_accuracy_that_it_states(models, folder, inside, monkeypatch) -> None:
    place = models / inside
    card = (place / "CARD.md").read_text()
    codes, told = python_of(card), stated(place)
    kind = ".int8" if inside else ""
    assert set(codes) == {f"model{kind}.tflite", f"model{kind}.onnx"}
    for name, code in codes.items():
        found = share_right(code, folder, place, monkeypatch)
        assert found == pytest.approx(told[name], abs=0.003)
        assert f"{told[name]:.1%} (" in card and found > 0.7
        if name != "model.tflite":
            continue
        for changed in (
            "image.resize((16, 16), Image.Resampling.BILINEAR)",  # stretched
            "ImageOps.fit(image, (16, 16), Image.Resampling.NEAREST)",
        ):  # passes over pixels
            other = re.sub(r"ImageOps.fit\(.*\)", changed, code)
            assert share_right(other, folder, place, monkeypatch) < found - 0.1  # so it is told for a reason


@pytest.mark.parametrize(
    ("inside", "names"),
    [
        ("", ["model.tflite", "model.int8.tflite", "model.onnx", "model.int8.onnx"]),
        pytest.param("pixels", ["model.int8.tflite", "model.int8.onnx"], marks=pytest.mark.weekly),
    ],
)
def test_the_command_measures_what_the_card_states(models, folder, inside, names) -> None:
    found, told = answer("accuracy", models / inside, "--data", folder), stated(models / inside)
    assert [Path(each["model"]).name for each in found["models"]] == names
    for each in found["models"]:
        name = Path(each["model"]).name
        assert each["accuracy"] == pytest.approx(told[name], abs=1e-9), name
        assert each["images"] == 100 and not each["notes"]
        assert each["runtime"] == {"tflite": "litert", "onnx": "onnxruntime"}[name.split(".")[-1]]
    assert found["accuracy"] == found["models"][0]["accuracy"]


def test_the_answer_says_what_stands_behind_it(models, folder) -> None:
    found = answer("accuracy", models / "model.tflite", "--data", folder, "--split", "train")
    assert set(found) >= {"accuracy", "images", "runtime", "split", "interval_95", "classes", "preprocessing", "notes"}
    assert "models" not in found
    low, high = found["interval_95"]
    assert low < found["accuracy"] < high
    assert found["notes"] == []
    assert found["images"] == sum(each["images"] for each in found["classes"].values()) == 20  # val has the others
    assert found["right"] == sum(each["right"] for each in found["classes"].values())
    seen = found["preprocessing"]
    assert (seen["crop"], seen["resize"], seen["size"]) == (LARGEST_CENTRED, ANTIALIASED_BILINEAR, [16, 16])
    told = completed("accuracy", models / "model.tflite", "--data", folder)
    assert (told.returncode, told.stdout) == (0, "")
    assert "model.tflite" in told.stderr and "100 test" in told.stderr


def test_the_embedded_digits_are_a_folder_like_others(tmp_path) -> None:
    (model,) = export(digits_child(), tmp_path, ["onnx"], images=digits_images())
    said: list[tuple[int, int]] = []
    found = hwnas.accuracy(model.path, "digits", workers=0, progress=lambda *now: said.append(now))
    assert (found.accuracy, said[-1]) == (model.accuracy.share, (324, 324))
    assert "there is no test/: these are the images that `hwnas design` sets aside" in found.notes[0]


def strip_metadata(model: Path, to: Path) -> Path:
    """The file as a stranger's tool would have written it: nothing but the network."""
    if model.suffix == ".onnx":
        import onnx

        file = onnx.load(model)
        del file.metadata_props[:]
        onnx.save(file, to)
    else:
        from hwnas.exporter.tflite.file import packed, unpacked

        file = unpacked(model.read_bytes())
        file.metadata = []
        to.write_bytes(packed(file))
    assert inspect(to).metadata.preprocessing is None
    return to


@pytest.mark.parametrize("name", weekly_except(["model.tflite"], ["model.tflite", "model.onnx", "model.int8.tflite"]))
def test_a_strangers_file_is_evaluated_and_what_was_assumed_is_said(models, folder, name, tmp_path) -> None:
    file = strip_metadata(models / name, tmp_path / name)
    numbers = {"mean": loaded(folder).mean, "std": loaded(folder).std}
    found = hwnas.accuracy(file, folder, workers=0, **numbers)
    assert found.accuracy == pytest.approx(stated(models)[name], abs=1e-9)
    said = " ".join(found.notes)
    for words in ("largest centred part", "antialiased bilinear", "the file has no labels", "in the order of their"):
        assert words in said
    if name == "model.tflite":
        stretched = hwnas.accuracy(file, folder, workers=0, crop=False)
        assert stretched.accuracy < found.accuracy - 0.1 and stretched.input.preprocessing.crop == WHOLE
        assert "scaled to 0 to 1" in stretched.notes[0] and "centred" not in stretched.notes[1]


@pytest.mark.parametrize("name", weekly_except(["model.int8.tflite"], ["model.int8.tflite", "model.int8.onnx"]))
def test_a_file_of_integers_is_given_pixels_as_they_are(models, folder, name, tmp_path) -> None:
    file = strip_metadata(models / "pixels" / name, tmp_path / name)
    found = hwnas.accuracy(file, folder, workers=0)
    assert found.accuracy == pytest.approx(stated(models / "pixels")[name], abs=1e-9)
    assert "pixels were put into the input as they are" in " ".join(found.notes)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of five outputs without any metadata, for pictures of 20 x 12."""
    out = tmp_path_factory.mktemp("plain")
    export(classifier_net(), out, input_shape=IMAGE_SHAPE)
    return out


@pytest.mark.parametrize("format", ["tflite", "onnx"])
@pytest.mark.parametrize("crop", weekly_except([True], [True, False]))
def test_an_input_that_is_no_square_gets_what_has_its_shape(plain, tmp_path, format, crop) -> None:
    """Against NumPy and PyTorch, of the same pixels."""
    import torch

    images = [noise(number, (60, 30 + number)) for number in range(6)]
    for number, image in enumerate(images):
        path = tmp_path / "photos" / "abcde"[number % 5] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
    found = hwnas.accuracy(plain / f"model.{format}", tmp_path / "photos", "all", [0.5], [0.25], crop, workers=0)
    way = LARGEST_CENTRED if crop else WHOLE
    pixels = np.stack([np.asarray(fitted(image, (20, 12), way)) for image in images]).transpose(0, 3, 1, 2)
    with torch.no_grad():
        classes = classifier_net()(torch.from_numpy((pixels / 255 - 0.5) / 0.25).float()).argmax(1).tolist()
    assert sum(found.right.values()) == sum(answer == number % 5 for number, answer in enumerate(classes))
    assert sum(found.images.values()) == 6


def test_the_layout_of_the_file_decides_how_values_lie() -> None:
    values = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    for channels_first in (True, False):
        in_file = values if channels_first else values.transpose(0, 2, 3, 1)
        assert (arranged(values, channels_first, turned=False) == in_file).all()
        # a session of TensorFlow Lite turns whatever it is given
        assert (arranged(values, channels_first, turned=True).transpose(0, 2, 3, 1) == in_file).all()


def test_grey_is_that_of_pillow() -> None:
    image = noise(1)
    expected = np.asarray(image.convert("L"))
    assert (grey(np.asarray(image).transpose(2, 0, 1)[None])[0, 0] == expected).all()


def test_classes_are_matched_by_their_names_and_not_by_their_order(models, folder, tmp_path) -> None:
    few = tmp_path / "few"
    for digit in (7, 2):
        shutil.copytree(folder / "test" / f"digit {digit}", few / "test" / f"digit {digit}")
    found = hwnas.accuracy(models / "model.tflite", few, workers=0)
    assert found.accuracy > 0.7 and set(found.images) == {"digit 2", "digit 7"}
    assert "no images of 8 of its classes: 'digit 0'" in " ".join(found.notes)
    shutil.copytree(folder / "test" / "digit 1", few / "test" / "one")
    with pytest.raises(HwnasError, match="the folder has 'one', which it does not know"):
        hwnas.accuracy(models / "model.tflite", few, workers=0)


def test_labels_that_are_cut_off_or_replaced_where_they_are_read_still_match() -> None:
    seen = Preprocessing((0.5,), (0.5,), LARGEST_CENTRED, ANTIALIASED_BILINEAR, (16, 16))
    names = ("e" * 250, "\u3000 wide", "caf\u00e9")
    read = ("e" * NAME_LENGTH + "...", "? wide", "cafe\u0301")
    model = ModelInput(Path("m.onnx"), "onnxruntime", seen, 3, False, 3, (read[1], read[2], read[0]), ())
    positions, notes = output_classes(model, names)
    assert (positions.tolist(), notes) == ([1, 2, 0], ())
    alike = ("e" * 250 + "1", "e" * 250 + "2", "other")
    positions, notes = output_classes(replace(model, labels=(read[0], read[0], "other")), alike)
    assert positions.tolist() == [0, 1, 2] and "do not tell its outputs apart" in notes[0]


def test_what_cannot_be_evaluated_is_said(models, folder, plain, tmp_path) -> None:
    with pytest.raises(HwnasError, match=r"gives 5 outputs, and the folder has 10 classes \('digit 0'"):
        hwnas.accuracy(plain / "model.onnx", folder, workers=0)
    shutil.copytree(folder / "test", tmp_path / "half" / "test")
    with pytest.raises(HwnasError, match="has test/ but no val/"):
        hwnas.accuracy(models / "model.tflite", tmp_path / "half", "val", workers=0)
    for options, words in (
        ({"split": "tset"}, "unknown split"),
        ({"mean": [0.5]}, "give both --mean and --std"),
        ({"mean": [127.5], "std": [127.5]}, "divide both by 255"),
        ({"mean": [0.5] * 2, "std": [0.5] * 2}, "one for each of the 3 channels"),
        ({"mean": [0.5], "std": [0.0]}, "one positive deviation per channel"),
        ({"workers": -1}, "workers must be 0"),
    ):
        with pytest.raises(UsageError, match=words):
            hwnas.accuracy(models / "model.tflite", folder, **options)
    for arguments, code, words in (
        ((models / "model.tflite", "--data", tmp_path / "none"), 1, "is not there"),
        ((tmp_path / "half", "--data", folder), 1, "holds no .tflite or .onnx file"),
        ((models / "CARD.md", "--data", folder), 2, "the suffix"),
        ((models / "none.onnx", "--data", folder), 1, "there is no model file"),
        ((models / "model.tflite", "--data", folder, "--mean", "x"), 2, "one number, or one per channel"),
        ((models / "model.tflite", "--data", folder, "--split", "tset"), 2, "unknown split"),
    ):
        done = completed("accuracy", *arguments)
        assert (done.returncode, words in " ".join(done.stderr.split())) == (code, True), done.stderr


def test_broken_images_are_left_out_and_said(models, folder, tmp_path) -> None:
    shutil.copytree(folder / "test", tmp_path / "photos" / "test")
    broken = next((tmp_path / "photos" / "test" / "digit 3").glob("*.jpg"))
    broken.write_bytes(broken.read_bytes()[:300])
    (tmp_path / "photos" / "test" / "digit 3" / "notes.txt").write_text("not an image")
    found = hwnas.accuracy(models / "model.tflite", tmp_path / "photos", workers=0)
    assert sum(found.images.values()) == 99
    assert "1 images cannot be decoded" in " ".join(found.notes) and "1 files of the folder" in " ".join(found.notes)
    for path in (tmp_path / "photos" / "test" / "digit 4").iterdir():
        path.write_bytes(b"")
    with pytest.raises(HwnasError, match="of 100 images cannot be decoded"):
        hwnas.accuracy(models / "model.tflite", tmp_path / "photos", workers=0)


def test_a_file_that_crashes_or_hangs_is_one_error(models, folder, tmp_path) -> None:
    with pytest.raises(HwnasError, match=r"within 0\.01 s"):
        hwnas.accuracy(models / "model.tflite", folder, workers=0, timeout_s=0.01)
    (tmp_path / "cut.tflite").write_bytes((models / "model.tflite").read_bytes()[:5000])
    with pytest.raises(HwnasError, match="its parts do not hold together"):
        hwnas.accuracy(tmp_path / "cut.tflite", folder, workers=0)


@pytest.mark.parametrize("crop", [LARGEST_CENTRED, WHOLE])
def test_the_cards_c_plus_plus_resizes_as_pillow_does(crop, tmp_path) -> None:
    if shutil.which("g++") is None:
        pytest.skip("there is no g++ to compile it with")
    height, width = 48, 40
    seen = Preprocessing((0.5,), (0.5,), crop, ANTIALIASED_BILINEAR, (height, width))
    code = (
        photograph_snippets(seen)["C++"][1]
        + """
#include <cstdio>
#include <cstdlib>
int main(int, char** sizes) {
  const int width = atoi(sizes[1]), height = atoi(sizes[2]);
  std::vector<uint8_t> photo(3 * width * height);
  if (fread(photo.data(), 1, photo.size(), stdin) != photo.size()) return 1;
  const auto pixels = prepared(photo, width, height);
  fwrite(pixels.data(), 1, pixels.size(), stdout);
}
"""
    )
    (tmp_path / "p.cpp").write_text(code)
    subprocess.run(["g++", "-Wall", "-Wextra", "-Werror", "-o", "p", "p.cpp"], check=True, cwd=tmp_path)
    for size in ((301, 127), (97, 333), (20, 30), (width, height)):
        photo = noise(0, size)
        command = [str(tmp_path / "p"), *map(str, size)]
        done = subprocess.run(command, input=photo.tobytes(), capture_output=True, check=True)
        pixels = np.frombuffer(done.stdout, np.uint8).reshape(height, width, 3).astype(int)
        assert abs(pixels - np.asarray(fitted(photo, (height, width), crop))).max() <= 1


def test_the_steps_are_said_and_read_back() -> None:
    seen = Preprocessing((0.5, 0.25, 0.75), (0.25, 0.5, 0.125), LARGEST_CENTRED, ANTIALIASED_BILINEAR)
    for inside, layout, words in ((False, "NCHW", "mean [0.5, 0.25, 0.75]"), (True, "NHWC", "the normalisation is in")):
        of_file = seen.of_file((20, 12), inside, layout)
        assert Preprocessing.of_text(of_file.text()) == of_file
        steps = " ".join(of_file.steps)
        for said in ("largest centred", "12x20 pixels", "antialiased bilinear", words):
            assert said.casefold() in steps.casefold()
    for text in ("", "{}", "[1]", '{"mean": [1], "std": [0]}', '{"mean": [NaN], "std": [1]}', '{"mean": 1, "std": [1]}',
                 '{"mean": [0.5], "std": [0.5], "crop": "left"}', "[" * 10_000):  # fmt: skip
        assert Preprocessing.of_text(text) is None


@pytest.mark.parametrize("name", weekly_except(["model.int8.onnx"], ["model.int8.tflite", "model.int8.onnx"]))
def test_the_files_themselves_say_how_a_photograph_becomes_their_input(models, folder, name) -> None:
    for place, inside, layout in ((models, False, "NCHW" if "onnx" in name else "NHWC"),
                                  (models / "pixels", True, "NHWC")):  # fmt: skip
        seen = inspect(place / name).metadata.preprocessing
        assert (seen.crop, seen.resize, seen.size) == (LARGEST_CENTRED, ANTIALIASED_BILINEAR, (RESOLUTION,) * 2)
        assert (seen.inside, seen.layout, seen.dtype) == (inside, layout, "uint8" if inside else "float32")
        assert (seen.mean, seen.std) == (loaded(folder).mean, loaded(folder).std)
    assert "Cut out the largest centred square" in " ".join(
        completed("inspect", place / name).stderr.replace("│", " ").split()
    )
