"""What files say of themselves: labels, normalisation, input and output, for TFLite's tools and in ONNX properties."""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path

import pytest
from torch import nn

from hwnas.errors import HwnasError
from hwnas.exporter.export import convert
from hwnas.exporter.formats import FORMATS, get_format
from hwnas.exporter.model_file.metadata import ModelMetadata
from hwnas.exporter.tflite.file import packed, unpacked
from hwnas.inspection.examine import examine
from hwnas.preprocessing import Preprocessing
from hwnas.runtimes import get_runtime
from tests.small_models import IMAGE_SHAPE, classifier_net, example_output

PREPROCESSING = Preprocessing((0.5, 0.25, 0.75), (0.25, 0.5, 0.125))
CLASSES = ("cat", "Dackel äöü", "犬", "a, b", "e")
METADATA = ModelMetadata((20, 12), PREPROCESSING, False, CLASSES, True)


def described(format: str, metadata: ModelMetadata = METADATA) -> bytes:
    return get_format(format).with_metadata(convert(classifier_net(), IMAGE_SHAPE, format), metadata)


@pytest.mark.parametrize("format", FORMATS)
def test_metadata_changes_no_result_and_equal_metadata_no_byte(format: str) -> None:
    model = described(format)
    assert model == described(format)
    x, expected = example_output(classifier_net())
    output = get_runtime(get_format(format).runtime).load(model).run(x.numpy())
    assert abs(output - expected.numpy()).max() < 1e-5


def test_a_tflite_file_carries_labels_and_normalisation(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(described("tflite"))
    found = examine(path).metadata
    assert found.labels == CLASSES
    assert (found.mean, found.std) == ((127.5, 63.75, 191.25), (63.75, 127.5, 31.875))
    assert found.signatures == {"serving_default": {"inputs": ["input"], "outputs": ["output"]}}


def test_the_labels_are_a_file_in_an_archive_behind_the_model() -> None:
    """As https://ai.google.dev/edge/litert/models/metadata says: the file can be opened as a zip archive."""
    with zipfile.ZipFile(io.BytesIO(described("tflite"))) as archive:
        (entry,) = archive.infolist()
        assert (entry.filename, entry.date_time) == ("labels.txt", (1980, 1, 1, 0, 0, 0))
        assert archive.read(entry).decode() == "".join(f"{name}\n" for name in CLASSES)


def test_the_oldest_interpreter_reads_it_too() -> None:
    runtime = get_runtime("tflite-runtime")
    try:
        runtime.version()
    except HwnasError as error:
        pytest.skip(str(error))
    x, expected = example_output(classifier_net())
    assert abs(runtime.load(described("tflite")).run(x.numpy()) - expected.numpy()).max() < 1e-5


def test_an_onnx_file_says_the_same_in_its_properties() -> None:
    import onnx

    found = {e.key: e.value for e in onnx.load_model_from_string(described("onnx")).metadata_props}
    assert found["labels"].splitlines() == list(CLASSES)
    assert json.loads(found["mean"]) == [127.5, 63.75, 191.25]
    assert json.loads(found["std"]) == [63.75, 127.5, 31.875]
    assert (found["color_order"], found["output"]) == ("RGB", "probabilities")


def test_pixels_as_they_are_need_no_normalisation(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(described("tflite", ModelMetadata((20, 12), PREPROCESSING, True)))
    found = examine(path).metadata
    assert (found.mean, found.std, found.labels) == ((0.0,), (1.0,), ())


@pytest.mark.parametrize("name", ["a\nb", "a\x00", "caf\udce9", "a\u2028b", "", "  "], ids=ascii)
def test_a_class_that_is_not_one_line_of_text_is_refused(name: str) -> None:
    with pytest.raises(HwnasError, match=rf"stored one per line, and the class {re.escape(ascii(name))} is not one"):
        ModelMetadata((1, 1), None, classes=("cat", name))


@pytest.mark.parametrize("format", FORMATS)
def test_any_other_name_of_a_class_arrives_as_it_is(format: str, tmp_path: Path) -> None:
    names = ('"quoted"', "a,b;c", "[bold]", "```", " x", "x", "x", "\u3000 wide", "e" * 150, "🦊", "%s {0} \\n")
    path = tmp_path / f"model.{format}"
    path.write_bytes(described(format, ModelMetadata((20, 12), PREPROCESSING, False, names)))
    if format == "onnx":
        import onnx

        found = {e.key: e.value for e in onnx.load(path).metadata_props}["labels"].splitlines()
    else:
        with zipfile.ZipFile(path) as archive:
            found = archive.read("labels.txt").decode().splitlines()
    assert found == list(names)


def test_a_file_taken_apart_and_put_together_computes_the_same() -> None:
    layers = nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)
    net = nn.Sequential(*layers).eval()
    model = convert(net, IMAGE_SHAPE, "tflite")
    again = packed(unpacked(model))
    assert packed(unpacked(again)) == again
    x, _ = example_output(classifier_net())
    first, second = (get_runtime("litert").load(file).run(x.numpy()).copy() for file in (model, again))
    assert (first == second).all()
