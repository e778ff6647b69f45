"""The verb: files in a folder, with their sizes and errors; and every block kind that hwnas has."""

from __future__ import annotations

import copy
import dataclasses
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from torch import nn

from hwnas.blocks import build_block
from hwnas.child import build_child
from hwnas.errors import HwnasError, UsageError
from hwnas.exporter.export import ExportOptions, convert, export
from hwnas.exporter.exported import ExportedModel, _still_there
from hwnas.exporter.graph.lower import lower
from hwnas.exporter.parity import LIMIT
from hwnas.files import write_json
from hwnas.report.model_card import write_model_card
from hwnas.space import Architecture
from hwnas.specs.conv import Conv
from hwnas.specs.head import Head
from hwnas.specs.mbconv import MBConv
from hwnas.specs.skip import Skip
from hwnas.specs.spec import Spec
from tests.export_digits import RESOLUTION, digits_child, digits_images
from tests.export_networks import trained

BLOCKS = (
    Conv(3, 8, 3, stride=2, activation="relu6"),
    MBConv(8, 8, 3, expand=1),
    MBConv(8, 16, 5, expand=6, stride=2, activation="relu6"),
    Skip(16, 16),
    MBConv(16, 16, 7, expand=3),
    Skip(16, 24, stride=2),
    Head(24, 32, 10, dropout=0.2),
)
ARCHITECTURE = Architecture(BLOCKS, (3, 32, 32))


def test_a_child_becomes_two_checked_files(tmp_path: Path) -> None:
    child = trained(build_child(ARCHITECTURE))
    exported = export(child, tmp_path / "new" / "folder")
    assert [model.path.name for model in exported] == ["model.tflite", "model.onnx"]
    for model in exported:
        assert model.path.stat().st_size == model.bytes
        assert model.precision == "float32"
        assert 0 < model.max_relative_error <= LIMIT
        assert model.path.read_bytes() == convert(child, (1, 3, 32, 32), model.format)
    assert sorted(path.name for path in exported[0].path.parent.iterdir()) == [
        "export.json",
        "model.onnx",
        "model.tflite",
    ]
    with pytest.raises(dataclasses.FrozenInstanceError):
        exported[0].bytes = 0  # type: ignore[misc]


def test_one_format_and_another_shape(tmp_path: Path) -> None:
    (model,) = export(trained(build_child(ARCHITECTURE)), str(tmp_path), ["onnx"], (2, 3, 48, 40))
    assert isinstance(model, ExportedModel)
    assert (model.format, model.precision, model.path) == ("onnx", "float32", tmp_path / "model.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["export.json", "model.onnx"]


def test_files_of_an_earlier_export_keep_their_entries_as_long_as_they_are_as_they_were(tmp_path: Path, caplog) -> None:
    def listed() -> list[str]:
        return [file["path"] for file in json.loads((tmp_path / "export.json").read_text())["files"]]

    child = trained(build_child(ARCHITECTURE))
    export(child, tmp_path)
    export(child, tmp_path, ["tflite"], precisions=["float16"])
    assert listed() == ["model.float16.tflite", "model.tflite", "model.onnx"]
    (tmp_path / "model.onnx").unlink()
    export(child, tmp_path, ["tflite"])
    assert listed() == ["model.tflite", "model.float16.tflite"]
    caplog.clear()
    export(child, tmp_path, ["onnx"], options=ExportOptions(softmax=True))  # of other outputs than those before
    assert listed() == ["model.onnx"]
    assert "model.tflite, model.float16.tflite in" in caplog.text and "With --out" in caplog.text


def test_an_export_waits_for_another_that_writes_to_the_same_folder(tmp_path: Path) -> None:
    """Both would read the list of files, and each write it without the other's."""
    holding = (
        "import pathlib, sys, time; from hwnas.locks import FolderLock\n"
        "with FolderLock(pathlib.Path(sys.argv[1])):\n"
        "    print('locked', flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", holding, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "locked\n"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("hwnas.exporter.export.OTHERS_WRITE_S", 0.1)
            with pytest.raises(HwnasError, match=r"is in use: process \d+ works in it"):
                export(build_child(ARCHITECTURE).eval(), tmp_path, ["tflite"])
        assert not (tmp_path / "model.tflite").exists()
        threading.Timer(0.3, other.stdin.close).start()
        export(build_child(ARCHITECTURE).eval(), tmp_path, ["tflite"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["export.json", "model.tflite"]


def test_the_graph_has_the_macs_that_the_specs_say() -> None:
    assert lower(build_child(ARCHITECTURE), (1, 3, 32, 32)).macs == ARCHITECTURE.macs


def test_a_child_in_the_middle_of_training_stays_as_it_was(tmp_path: Path) -> None:
    child = build_child(ARCHITECTURE).train()
    before, random_state = copy.deepcopy(child.state_dict()), torch.get_rng_state()
    export(child, tmp_path)
    assert all(module.training for module in child.modules())
    assert all(torch.equal(before[name], tensor) for name, tensor in child.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in child.parameters())
    assert torch.equal(random_state, torch.get_rng_state())


@pytest.mark.parametrize("format", ["tflite", "onnx"])
@pytest.mark.parametrize("spec", [spec for spec in BLOCKS if not spec.is_identity], ids=str)
def test_every_kind_of_block_can_be_measured_alone(spec: Spec, format: str) -> None:
    assert len(convert(build_block(spec), (1, spec.in_channels, 14, 14), format)) > 500


def test_an_existing_export_survives_a_failed_one(tmp_path: Path) -> None:
    child = trained(build_child(ARCHITECTURE))
    export(child, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    child.blocks[4].depthwise[2] = nn.Mish()
    with pytest.raises(HwnasError, match=r"Mish 'blocks\.4\.depthwise\.2'"):
        export(child, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_wrong_arguments_are_usage_errors(tmp_path: Path) -> None:
    layer = nn.Conv2d(2, 2, 1)
    with pytest.raises(UsageError, match="unknown export format 'pb'; known: onnx, tflite"):
        export(layer, tmp_path, ["pb"], (1, 2, 4, 4))
    with pytest.raises(UsageError, match="unknown export format"):
        convert(layer, (1, 2, 4, 4), "pb")
    with pytest.raises(UsageError, match=r"pass input_shape=\(N, C, H, W\): a Conv2d"):
        export(layer, tmp_path)
    assert list(tmp_path.iterdir()) == []


class Named(nn.Conv2d):
    """A network that calls something of its own `architecture`, as many do."""

    def __init__(self, architecture: object) -> None:
        super().__init__(2, 2, 1)
        self.architecture = architecture


@pytest.mark.parametrize("theirs", ("resnet18", {"depth": 18}, nn.ReLU(), nn.Conv2d))
def test_what_a_network_of_another_s_calls_its_architecture_is_not_ours(theirs: object, tmp_path: Path) -> None:
    network = Named(theirs)
    with pytest.raises(UsageError, match="pass input_shape"):
        export(network, tmp_path)
    export(network, tmp_path, formats=("onnx",), input_shape=(1, 2, 4, 4))
    assert json.loads((tmp_path / "export.json").read_text())["architecture"] is None


def test_nothing_to_export_is_said(tmp_path: Path) -> None:
    for use in (
        lambda: convert(nn.Identity(), (1, 2, 4, 4), "tflite"),
        lambda: export(nn.Identity(), tmp_path, input_shape=(1, 2, 4, 4)),
    ):
        with pytest.raises(HwnasError, match="the module returns its input"):
            use()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(HwnasError, match=r"cannot write .*file: File exists"):
        export(nn.Conv2d(2, 2, 1), tmp_path / "file", input_shape=(1, 2, 4, 4))


@pytest.mark.parametrize("name", ["model.tflite", "model.onnx", "export.json", "CARD.md"])
def test_a_file_of_a_person_s_is_never_replaced(name, tmp_path):
    (tmp_path / name).write_text("the work of a week")
    with pytest.raises(HwnasError, match=f"{name} is there and was not written by hwnas"):
        export(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), tmp_path, input_shape=(1, 3, 8, 8))
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "the work of a week"


def test_what_an_export_wrote_the_next_one_replaces(tmp_path):
    for channels in (4, 5):
        module = nn.Sequential(nn.Conv2d(3, channels, 3), nn.ReLU())
        export(module, tmp_path, input_shape=(1, 3, 8, 8), precisions=("float32", "float16", "int8-weights"))
    assert b"hwnas" in (tmp_path / "model.int8-weights.tflite").read_bytes()


def test_files_of_other_weights_or_other_images_are_told_apart(tmp_path: Path) -> None:
    def listed() -> list[str]:
        return [file["path"] for file in json.loads((tmp_path / "export.json").read_text())["files"]]

    first, second = trained(build_child(ARCHITECTURE)), trained(build_child(ARCHITECTURE))
    with torch.no_grad():
        next(second.parameters()).mul_(1.1)
    export(first, tmp_path, ["tflite"])
    export(second, tmp_path, ["onnx"])
    assert listed() == ["model.onnx"]
    about = json.loads((tmp_path / "export.json").read_text())
    counted = {"accuracy": 0.5, "right": 10, "images": 20, "interval_95": [0.3, 0.7], "agrees_with_pytorch": 1.0}
    for earlier, now, kept in ((None, counted, 1), (counted, None, 1), (counted, counted | {"right": 11}, 0)):
        write_json(tmp_path / "export.json", {k: v for k, v in about.items() if k != "checksum"} | {"pytorch": earlier})
        assert len(_still_there(tmp_path, set(), about | {"pytorch": now})[1]) == kept


class OnlyOne(nn.Module):
    """Somebody's network that counts on one image at a time, and ends in a softmax of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, 2, 1)
        self.output = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.output(self.conv(x).relu().mean((2, 3)).view(1, -1)), 1)


def test_a_network_for_one_image_that_ends_in_softmax_is_exported_with_images_and_says_so(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_quantizer")
    torch.manual_seed(0)
    precisions, shape = ("float32", "int8"), (1, 3, RESOLUTION, RESOLUTION)
    models = export(OnlyOne().eval(), tmp_path, ("tflite",), shape, precisions=precisions, images=digits_images())
    assert json.loads((tmp_path / "export.json").read_text())["output"] == "probabilities"
    # its head is called output, as the tensor that the file gives is
    assert models[1].info.precision == "int8"


class Guarded(nn.Module):
    """With the limits that guard trainings in float16."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x).clamp(-65_504, 65_504).clamp(max=1e5).mean((2, 3))


def test_limits_at_the_end_of_float16_are_none(tmp_path: Path) -> None:
    graph = lower(Guarded().eval(), (1, 3, 16, 16))
    assert [operator.kind for operator in graph.operators] == ["conv", "global_average_pool", "flatten"]
    assert all(model.parity.worst <= LIMIT for model in export(Guarded().eval(), tmp_path, input_shape=(1, 3, 16, 16)))


def test_files_of_an_earlier_export_keep_what_they_were_made_with(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime.quantization")
    child, images = digits_child(), digits_images()
    export(child, tmp_path, ("onnx",), precisions=("int8",), images=images, options=ExportOptions(reduce_range=False))
    export(child, tmp_path, ("onnx",), images=images)
    document = json.loads((tmp_path / "export.json").read_text())
    (int8,) = (file for file in document["files"] if file["precision"] == "int8")
    assert document["options"]["reduce_range"] and not int8["options"]["reduce_range"]
    assert int8["calibration"] == document["calibration"]
    card = write_model_card(tmp_path).read_text(encoding="utf-8")
    assert card.count("Calibration of int8: 64 training images") == 1
    (tmp_path / "model.int8.onnx").unlink()
    export(child, tmp_path, ("onnx",), images=images)
    assert "Calibration" not in write_model_card(tmp_path).read_text(encoding="utf-8")  # of no file that is there
