"""The precision of the files is a condition of a latency: int8 blocks and networks, tables of their own, no mixing."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from hwnas.devices.device import load_device
from hwnas.errors import HwnasError, UsageError
from hwnas.exporter.tflite.file import unpacked
from hwnas.latency.fitting.held_out import measured_on
from hwnas.latency.measuring.latency_range import latency_range
from hwnas.latency.measuring.measure import measure
from hwnas.latency.measuring.model_files import ModelFiles, block_model, network_model
from hwnas.latency.tables.known import find_table
from hwnas.latency.tables.precision import check_precision, precision_of
from hwnas.latency.tables.table import LatencyTable
from hwnas.pricing import price
from hwnas.report.latency_tables import price_table
from hwnas.runtimes import get_runtime
from hwnas.spaces import get_space
from hwnas.specs.mbconv import MBConv
from hwnas.specs.pool import MaxPool
from hwnas.specs.spec import known_specs
from tests.commands import answer, completed

SPACE = get_space("tiny", resolution=16, width=0.25)
QUICK = load_device("local").model_copy(
    update={"min_ms": 0.5, "warmup_ms": 0.0, "min_runs": 5, "visits": 1, "drift_limit_percent": 1e6}
)
FLOAT32, INT8 = schema.TensorType.FLOAT32, schema.TensorType.INT8


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> LatencyTable:
    """Of int8 files in LiteRT."""
    tables = tmp_path_factory.mktemp("tables")
    return measure(SPACE, QUICK, tables=tables, networks=5, precision="int8").table


@pytest.mark.parametrize("kind", sorted(known_specs()))
def test_every_block_computes_in_int8_from_end_to_end_and_runs(kind: str) -> None:
    for spec, shape in known_specs()[kind].examples():
        if spec.is_identity:
            continue
        model = block_model(spec, shape, "tflite", "int8")
        tensors = unpacked(model).subgraphs[0].tensors
        assert not [tensor.name for tensor in tensors if tensor.type == FLOAT32], spec
        output = get_runtime("litert").load(model).run(np.zeros((1, *shape), np.float32))
        assert output.size == np.prod(spec.output_shape(shape)), spec


@pytest.mark.parametrize(
    ("spec", "shape"), [(MaxPool(4, 3, 1), (4, 9, 9)), (MBConv(16, 16, 3, 4, se_ratio=0.25), (16, 9, 8))]
)
def test_an_onnx_block_has_integers_at_both_ends(spec: Any, shape: tuple[int, ...]) -> None:
    onnx = pytest.importorskip("onnx")
    model = block_model(spec, shape, "onnx", "int8")
    graph = onnx.load_model_from_string(model).graph
    ends = [end.type.tensor_type.elem_type for end in (*graph.input, *graph.output)]
    assert ends == [onnx.TensorProto.UINT8] * 2
    assert not [node for node in graph.node if node.op_type == "QuantizeLinear" and graph.input[0].name in node.input]
    assert get_runtime("onnxruntime").load(model).run(np.ones((1, *shape), np.float32)).shape == (1, *shape)


def test_a_whole_network_takes_floats_as_an_exported_one_does() -> None:
    """The conversion at its input is part of what an app waits for."""
    architecture = SPACE.decode([0] * 7)
    graph = unpacked(network_model(architecture, "tflite", "int8")).subgraphs[0]
    assert [graph.tensors[end].type for end in (*graph.inputs, *graph.outputs)] == [FLOAT32, FLOAT32]
    assert sum(tensor.type == INT8 for tensor in graph.tensors) > 20
    sizes = {name: len(network_model(architecture, "tflite", name)) for name in ("float32", "float16", "int8")}
    assert sizes["int8"] < sizes["float32"] and sizes["float16"] < sizes["float32"]


@pytest.mark.parametrize("precision", ["int8", "float32"])
def test_a_file_is_made_once_for_all_its_repetitions(tmp_path: Path, precision: str) -> None:
    first, second = SPACE.distinct_blocks()[:2]
    files = ModelFiles("tflite", precision, tmp_path)
    made = files.of_block("a block", first)
    shutil.copy(tmp_path / "a block", tmp_path / "another block")
    assert files.of_block("another block", second) == made
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a block", "another block"]


def test_large_float32_files_do_not_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwnas.latency.measuring.model_files.SMALL_BYTES", 100)
    for precision, kept in (("float32", False), ("int8", True)):
        ModelFiles("tflite", precision, tmp_path).of_block(precision, SPACE.distinct_blocks()[0])
        assert (tmp_path / precision).exists() == kept


def test_each_precision_has_a_table_of_its_own_and_says_so(table: LatencyTable) -> None:
    assert table.folder is not None and table.folder.name == "litert-int8"
    assert not table.missing(SPACE) and len(table.networks) == 5
    assert precision_of(table) == "int8" and measured_on(table.conditions)["precision"] == "int8"
    tables, found = table.folder.parents[1], price(SPACE, [0] * 7, table)
    assert found.prediction.ms > 0 and "int8 files, measured" in str(price_table(found, table).title)
    again = measure(SPACE, QUICK, tables=tables, networks=5, precision="int8")
    assert (again.measured, again.reused) == (0, 31)
    assert find_table(tables, "local", "litert", SPACE, "int8") == table.folder
    with pytest.raises(HwnasError, match=r"no table litert, .*there are litert-int8"):
        find_table(tables, "local", "litert", SPACE)
    with pytest.raises(HwnasError, match=r"--runtime litert --precision float16`"):
        find_table(tables, "local", "litert", SPACE, "float16")


def test_tables_of_different_precisions_never_mix(table: LatencyTable, tmp_path: Path) -> None:
    assert table.folder is not None
    shutil.copytree(table.folder, tmp_path / "local" / "litert")
    (tmp_path / "local" / "litert" / "journal.jsonl").unlink()
    with pytest.raises(HwnasError, match="precision: int8 in the table, float32 now"):
        measure(SPACE, QUICK, tables=tmp_path, networks=5)
    check_precision(table, "int8")
    with pytest.raises(HwnasError, match=r"is of int8 files, and float16 is asked for.*--precision int8"):
        check_precision(table, "float16")
    with pytest.raises(HwnasError, match="is of int8 files, and float32 is asked for"):
        latency_range(SPACE, QUICK, latency=table.folder, precision="float32")
    assert latency_range(SPACE, QUICK, latency=table.folder).fastest_ms > 0
    assert precision_of(LatencyTable()) == "float32"


def test_what_cannot_be_rounded_is_said_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_quantizer", None)
    with pytest.raises(HwnasError, match=r"pip install 'hwnas\[int8\]'"):
        measure(SPACE, QUICK, tables=tmp_path, precision="int8")
    with pytest.raises(UsageError, match=r"precision 'int4'.*int8"):
        measure(SPACE, QUICK, tables=tmp_path, precision="int4")
    assert not list(tmp_path.rglob("*.csv"))


@pytest.mark.weekly
def test_the_command_line_measures_and_fits_int8(table: LatencyTable, tmp_path: Path) -> None:
    assert table.folder is not None
    (tmp_path / "quick.toml").write_text('name = "quick"\nmin_ms = 0.5\nmin_runs = 5\nwarmup_ms = 0\nvisits = 1\n')
    options = ("--space", "tiny", "--resolution", "16", "--width", "0.25", "--precision", "float16", "--networks", "5")
    result = answer("measure", *options, "--device", tmp_path / "quick.toml", "--tables", tmp_path)
    assert Path(result["table"]) == tmp_path / "quick" / "litert-float16"
    assert answer("fit", table.folder)["measured_on"]["precision"] == "int8"
    assert "| precision | int8 |" in (table.folder / "CARD.md").read_text()
    wrong = completed("measure", "--precision", "int3", "--tables", tmp_path)
    assert wrong.returncode == 2 and "'int3'" in wrong.stderr and "float16" in wrong.stderr
    dynamic = completed("measure", "--precision", "dynamic", "--tables", tmp_path)
    assert dynamic.returncode == 2 and "tflite-runtime" in dynamic.stderr
