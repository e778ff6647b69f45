"""Conformance: everything that a format, or a kind of operator, must have is there for each of them."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from torch import nn
from typer.testing import CliRunner

from hwnas.cli.app import app
from hwnas.errors import UsageError
from hwnas.exporter.accuracy import Accuracy
from hwnas.exporter.export import export
from hwnas.exporter.formats import FORMATS, get_format
from hwnas.exporter.graph.graph import Activation, Kind
from hwnas.exporter.graph.lower import lower
from hwnas.exporter.onnx import writer as onnx_writer
from hwnas.exporter.precision import PRECISIONS
from hwnas.exporter.tflite import writer as tflite_writer
from hwnas.inspection.examine import READERS
from hwnas.inspection.inspect import SUFFIXES
from hwnas.report.snippets import SNIPPETS
from hwnas.runtimes import RUNTIMES
from tests.export_digits import digits_images

ROOT = Path(__file__).resolve().parent.parent


def test_every_package_with_a_format_is_in_the_registry():
    packages = {path.parent.name for path in (ROOT / "hwnas" / "exporter").glob("*/format.py")} - {"model_file"}
    assert packages == set(FORMATS)


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_checked_in_a_runtime_that_takes_its_files(name):
    format = get_format(name)
    assert format.name == name
    for runtime in filter(None, (format.runtime, format.second_runtime)):
        assert RUNTIMES[runtime].suffix == f".{name}"


def test_every_format_is_read_by_inspect_and_has_snippets_for_apps():
    assert set(READERS) == set(SNIPPETS) == set(FORMATS)
    assert set(SUFFIXES) == {f".{name}" for name in FORMATS}


@pytest.mark.parametrize("writers", [tflite_writer.WRITERS, onnx_writer.WRITERS], ids=["tflite", "onnx"])
def test_every_kind_of_operator_has_a_writer_in_each_format(writers):
    assert set(writers) == set(get_args(Kind)) - {"affine"}


def test_every_activation_has_a_writer_in_each_format():
    activations = set(get_args(Activation))
    assert set(onnx_writer.ACTIVATIONS) == activations
    assert set(tflite_writer.ACTIVATIONS) | set(tflite_writer.DECOMPOSED) == activations


def test_every_format_and_precision_is_in_the_help_and_in_the_docs():
    help_text = " ".join(CliRunner().invoke(app, ["export", "--help"], env={"COLUMNS": "200"}).stdout.split())
    docs = (ROOT / "docs" / "exporting.md").read_text()
    assert ", ".join(FORMATS) in help_text
    assert ", ".join(PRECISIONS) in help_text
    for name in FORMATS:
        assert f".{name}" in docs
    for name in PRECISIONS:
        assert name in docs, name


def test_what_people_print_is_one_short_line(tmp_path):
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
    (model, _onnx) = export(network, tmp_path, input_shape=(1, 3, 32, 32))
    graph = lower(network, (1, 3, 32, 32))
    info = model.info
    printed = [model, info, info.metadata, info.execution, *info.operators, graph, *graph.operators, digits_images()]
    for each in (*printed, Accuracy(9, 10, 10), get_format("tflite")):
        assert len(repr(each)) < 120
        assert "\n" not in repr(each)
    assert "model.tflite" in repr(model)


def test_an_unknown_format_is_refused_with_the_known_ones():
    with pytest.raises(UsageError, match="tflite"):
        get_format("tflit")
