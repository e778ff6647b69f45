"""Precisions on a network that was trained: sizes, errors, accuracy, partitions, repair, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hwnas.child import build_child
from hwnas.errors import HwnasError, UsageError
from hwnas.exporter.accuracy import Accuracy
from hwnas.exporter.export import ExportOptions, export
from hwnas.exporter.formats import FORMATS, get_format
from hwnas.exporter.graph.decompose import decompose
from hwnas.exporter.graph.lower import lower
from hwnas.exporter.images import Calibration, evenly_over_classes
from hwnas.exporter.model_file.format import Format
from hwnas.exporter.model_file.quantizer import Int8Settings, in_batches
from hwnas.exporter.precision import PRECISIONS, get_precision
from hwnas.exporter.sensitivity import LayerNoise, fewest_in_float, layers, named_layers, signal_to_noise_db
from hwnas.inspection.examine import examine
from hwnas.preprocessing import Preprocessing
from hwnas.runtimes import get_runtime
from hwnas.space import Architecture
from hwnas.specs.conv import Conv
from hwnas.specs.head import Head
from hwnas.specs.mbconv import MBConv
from hwnas.specs.spec import Spec
from hwnas.train.evaluate import accuracy
from tests.export_digits import RESOLUTION, digits, digits_child, digits_images, hard_for_int8
from tests.export_networks import trained

ALL = tuple(PRECISIONS)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    folder = tmp_path_factory.mktemp("digits")
    return {model.path.name: model for model in export(digits_child(), folder, ("tflite", "onnx"), None, ALL,
                                                       digits_images())}  # fmt: skip


def test_every_precision_in_both_formats_is_as_accurate_as_pytorch(exported) -> None:
    names = [f"model{middle}.{suffix}" for middle in ("", ".float16", ".int8", ".int8-weights")
             for suffix in ("tflite", "onnx")]  # fmt: skip
    assert list(exported) == names
    before = accuracy(digits_child(), digits().test_batches())
    assert before > 0.85
    for name, model in exported.items():
        assert model.accuracy.images == digits().counts["test"]
        assert model.accuracy.share == pytest.approx(before - model.loss_points / 100)
        assert abs(model.loss_points) <= (0 if model.precision == "float32" else 3), name
        assert model.accuracy.agrees >= 0.97 * model.accuracy.images, name


def test_smaller_precisions_are_smaller_and_less_exact(exported) -> None:
    for suffix in ("tflite", "onnx"):
        full, half, eight, weights = (
            exported[f"model{m}.{suffix}"] for m in ("", ".float16", ".int8", ".int8-weights")
        )
        assert full.bytes > 1.5 * half.bytes > 1.5 * weights.bytes
        assert full.bytes > 1.5 * eight.bytes  # a QDQ pair per tensor weighs much in so small a network
        ratios = [model.parity.signal_to_noise_db for model in (full, half, weights, eight)]
        assert ratios == sorted(ratios, reverse=True)
        assert full.max_relative_error <= full.limit == 1e-5
        assert half.max_relative_error <= half.limit
        assert weights.limit is eight.limit is None
        assert ratios[3] > 25


def test_every_tflite_file_is_one_partition(exported) -> None:
    for name, model in exported.items():
        if name.endswith(".tflite"):
            assert model.info.execution.partitions == 1, name
            assert model.info.execution.outside == (), name


HARD_SWISH_WITH_GATES = (
    Conv(3, 16, 3, stride=2),
    MBConv(16, 24, 3, expand=4, stride=2, se_ratio=0.25, activation="hard_swish"),
    MBConv(24, 24, 5, expand=4, se_ratio=0.25, activation="hard_swish"),
    Head(24, 64, 10),
)
SILU = (Conv(3, 16, 3, stride=2), MBConv(16, 16, 3, expand=4, se_ratio=0.25, activation="silu"), Head(16, 64, 10))


@pytest.mark.parametrize("blocks", [HARD_SWISH_WITH_GATES, SILU], ids=["hard_swish", "silu"])
def test_activations_that_xnnpack_lacks_in_int8_do_not_split_the_network(blocks: tuple[Spec, ...], tmp_path) -> None:
    module = trained(build_child(Architecture(blocks, (3, 32, 32))))
    graph = decompose(lower(module, (1, 3, 32, 32)))
    images = np.random.default_rng(0).standard_normal((8, 3, 32, 32), dtype=np.float32)
    expected = module(torch.from_numpy(images)).detach().numpy()
    for format in map(get_format, FORMATS):
        model = format.quantizer(format.write(graph), images, Int8Settings()).quantized()
        assert signal_to_noise_db(expected, outputs(format, model, images)) > 25
        path = tmp_path / f"model.{format.name}"
        path.write_bytes(model)
        if format.name == "tflite":
            execution = examine(path).execution
            assert (execution.partitions, execution.outside) == (1, ())


def outputs(format: Format, model: bytes, images: np.ndarray) -> np.ndarray:
    session = get_runtime(format.runtime).load(model)
    return np.concatenate([session.run(images[i : i + 1]).copy() for i in range(len(images))])


def test_files_and_export_json_are_the_same_byte_for_byte_the_second_time(exported, tmp_path: Path) -> None:
    export(digits_child(), tmp_path, ("tflite", "onnx"), None, ALL, digits_images())
    first = next(iter(exported.values())).path.parent
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (first / path.name).read_bytes(), path.name
    text = (tmp_path / "export.json").read_text()
    assert str(tmp_path) not in text and str(Path.home()) not in text


def test_export_json_says_what_an_app_and_a_researcher_need(exported) -> None:
    folder = next(iter(exported.values())).path.parent
    about = json.loads((folder / "export.json").read_text())
    assert about["format_version"] == 1
    assert Architecture.from_json(about["architecture"]) == digits_child().architecture
    assert (about["input_shape"], about["output"]) == ([1, 3, RESOLUTION, RESOLUTION], "logits")
    assert about["normalisation"] == {"mean": list(digits().mean), "std": list(digits().std)}
    assert about["classes"] == [str(digit) for digit in range(10)]
    assert (about["calibration"]["images"], about["calibration"]["seed"]) == (64, 0)
    assert len(about["calibration"]["pixels_sha256"]) == 64
    assert about["versions"]["ai-edge-quantizer"] and about["versions"]["torch"]
    files = {entry["path"]: entry for entry in about["files"]}
    assert list(files) == list(exported)
    for name, entry in files.items():
        assert entry["bytes"] == (folder / name).stat().st_size
        assert entry["input"]["dtype"] == "float32"
        assert entry["accuracy"]["interval_95"][0] < entry["accuracy"]["accuracy"] < entry["accuracy"]["interval_95"][1]
    assert files["model.tflite"]["operators"]["CONV_2D"] > 5
    assert files["model.tflite"]["parity"]["tflite_runtime"] is None or (
        files["model.tflite"]["parity"]["tflite_runtime"] <= 1e-5
    )
    assert files["model.int8.tflite"]["parity"]["random"] is None


def test_weights_alone_need_no_images(tmp_path: Path) -> None:
    for model in export(digits_child(), tmp_path, precisions=["int8-weights", "float16"]):
        assert (model.accuracy, model.parity.images) == (None, None)
        assert 0 < model.max_relative_error < 0.2


def test_int8_refuses_to_guess_ranges_and_dynamic_ranges_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"int8 rounds activations.*give some \(--data\)"):
        export(digits_child(), tmp_path, precisions=["int8"])
    with pytest.raises(UsageError, match="computes whole networks of that kind wrongly"):
        get_precision("dynamic")
    with pytest.raises(UsageError, match="unknown precision 'int4'; known: float16, float32, int8, int8-weights"):
        export(digits_child(), tmp_path, precisions=["int4"])
    other = replace(digits_images(), calibration=Calibration(np.zeros((4, 3, 8, 8), np.uint8), 0))
    with pytest.raises(UsageError, match=r"takes images of \(3, 16, 16\), those given are \(4, 3, 8, 8\)"):
        export(digits_child(), tmp_path, precisions=["int8"], images=other)
    with pytest.raises(UsageError, match=r"no layer 'blocks\.99' to keep in float; the layers are blocks\.0"):
        export(digits_child(), tmp_path, precisions=["int8"], images=digits_images(),
               options=ExportOptions(keep_float=("blocks.99",)))  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_float16_refuses_what_it_cannot_hold(tmp_path: Path) -> None:
    child = digits_child()
    with torch.no_grad():
        child.blocks[0].layers[0].weight[0] = torch.nan
    with pytest.raises(HwnasError, match="Nothing was exported"):
        export(child, tmp_path, precisions=["float16"])
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def broken_by_int8(tmp_path_factory: pytest.TempPathFactory) -> list:
    folder = tmp_path_factory.mktemp("hard")
    return export(hard_for_int8(digits_child()), folder, precisions=["int8"], images=digits_images())


@pytest.mark.weekly
def test_the_layers_that_int8_ruins_are_found(broken_by_int8) -> None:
    for model in broken_by_int8:
        assert model.loss_points > 10
        assert model.loses_more_than(1.0) and model.disagrees
        assert "test images get PyTorch's class" in model.to_json()["warnings"][0]
        assert {entry.layer for entry in model.noisiest_layers[:2]} == {"blocks.2.depthwise.0", "blocks.2.project.0"}
        noise = [entry.signal_to_noise_db for entry in model.noisiest_layers]
        assert noise == sorted(noise)
        assert noise[2] > noise[1] + 15


@pytest.mark.weekly
def test_repair_keeps_few_layers_in_float_and_one_partition(broken_by_int8, tmp_path: Path) -> None:
    options = ExportOptions(repair=True, max_loss=2.0)
    repaired = export(hard_for_int8(digits_child()), tmp_path, precisions=["int8"], images=digits_images(),
                      options=options)  # fmt: skip
    for before, after in zip(broken_by_int8, repaired, strict=True):
        assert set(after.kept_float) <= {"blocks.2.depthwise.0", "blocks.2.project.0"}
        assert after.kept_float
        assert after.loss_points < 5 < before.loss_points
    assert repaired[0].info.execution.partitions == 1


def test_layers_named_by_the_user_stay_in_float(tmp_path: Path) -> None:
    options = ExportOptions(keep_float=("blocks.2",))
    for model in export(hard_for_int8(digits_child()), tmp_path, precisions=["int8"], images=digits_images(),
                        options=options):  # fmt: skip
        assert model.kept_float == ("blocks.2.expand.0", "blocks.2.depthwise.0", "blocks.2.project.0")
        assert model.loss_points < 5


def test_a_batch_of_two_is_judged_on_every_image(tmp_path: Path) -> None:
    shape = (2, 3, RESOLUTION, RESOLUTION)
    for model in export(digits_child(), tmp_path, input_shape=shape, precisions=["float32", "int8"],
                        images=digits_images()):  # fmt: skip
        assert model.accuracy.images == digits().counts["test"]
        assert abs(model.loss_points) <= 3


def test_reduced_range_is_recorded_and_changes_the_onnx_file_alone(exported, tmp_path: Path) -> None:
    options = ExportOptions(reduce_range=False)
    models = export(digits_child(), tmp_path, precisions=["int8"], images=digits_images(), options=options)
    assert json.loads((tmp_path / "export.json").read_text())["options"]["reduce_range"] is False
    for model in models:
        same = model.path.read_bytes() == exported[model.path.name].path.read_bytes()
        assert same == (model.format == "tflite")


def test_the_interval_of_an_accuracy() -> None:
    """Against statsmodels' proportion_confint(method="wilson"), of 8 in 10 and 0 in 10."""
    assert Accuracy(8, 10, 10).interval == pytest.approx((0.490162, 0.943318), abs=1e-5)
    assert Accuracy(0, 10, 10).interval == pytest.approx((0.0, 0.277533), abs=1e-5)
    assert Accuracy(97, 100, 100).loss_points(Accuracy(99, 100, 100)) == pytest.approx(2.0)


def test_calibration_images_come_evenly_from_the_classes() -> None:
    labels = [0] * 50 + [1] * 3 + [2] * 50
    chosen = evenly_over_classes(labels, 23, seed=1)
    counts = [sum(labels[i] == label for i in chosen) for label in range(3)]
    assert counts == [10, 3, 10]
    assert chosen == evenly_over_classes(labels, 23, seed=1) != evenly_over_classes(labels, 23, seed=2)
    assert evenly_over_classes(labels, 1000, seed=1) == list(range(103))
    assert len(evenly_over_classes(labels, 2, seed=0)) == 2


def test_batches_are_filled_up_with_the_first_images() -> None:
    images = np.arange(5)[:, None]
    assert [batch.ravel().tolist() for batch in in_batches(images, 2)] == [[0, 1], [2, 3], [4, 0]]
    assert [batch.ravel().tolist() for batch in in_batches(images[:1], 3)] == [[0, 0, 0]]


def test_the_fewest_layers_are_found() -> None:
    noise = [LayerNoise(str(number), number) for number in range(20)]
    for needed in (1, 2, 5, 8, 13, 20):
        judged = []

        def is_accurate(names, needed=needed, judged=judged) -> bool:
            judged.append(len(names))
            return len(names) >= needed

        assert fewest_in_float(noise, is_accurate) == [str(number) for number in range(needed)]
        assert len(judged) <= 10
    assert len(fewest_in_float(noise, lambda names: False)) == 20


def test_layers_hold_every_operator_once() -> None:
    graph = lower(digits_child(), (1, 3, RESOLUTION, RESOLUTION))
    assert [op for layer in layers(graph) for op in layer.operators] == list(graph.operators)
    assert [layer.name for layer in named_layers(graph, ["blocks.1", "blocks.2.project.0"])] == [
        "blocks.1.expand.0",
        "blocks.1.depthwise.0",
        "blocks.1.project.0",
        "blocks.2.project.0",
    ]


def test_normalisation_must_make_sense() -> None:
    for mean, std in (((0.5,), (0.0,)), ((0.5,), (0.1, 0.1)), ((float("nan"),), (1.0,)), ((), ())):
        with pytest.raises(UsageError, match="one finite mean and one positive deviation"):
            Preprocessing(mean, std)


def test_a_network_without_classes_can_be_rounded_too(tmp_path: Path) -> None:
    """Feature maps have no accuracy; their weights can still be smaller."""
    module = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())
    (model,) = export(module, tmp_path, ["tflite"], (1, 3, 8, 8), ["int8-weights"])
    assert model.parity.signal_to_noise_db > 30


class Difference(nn.Module):
    """Two nearly equal convolutions, one taken from the other: what rounding does to them is all that is left."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(3, 8, 3, bias=False) for _ in range(2))
        self.last = nn.Conv2d(8, 4, 1, bias=False)
        with torch.no_grad():
            self.second.weight.copy_(self.first.weight * 1.03)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.first(x) - self.second(x))


@pytest.mark.parametrize("format", ["tflite", "onnx"])
def test_layers_whose_rounding_is_magnified_keep_float32_weights(tmp_path: Path, format: str) -> None:
    torch.manual_seed(0)
    network = Difference().eval()
    (model,) = export(network, tmp_path, [format], (1, 3, 8, 8), ["float16"])
    assert set(model.kept_float) == {"first", "second"}  # one of them alone would not do
    assert model.max_relative_error <= 2e-3
    (plain,) = export(network.last, tmp_path / "plain", [format], (1, 8, 6, 6), ["float16"])
    assert plain.kept_float == ()


def test_as_many_points_as_allowed_are_not_more():
    """100 * (0.90 - 0.89) is a little more than 1."""
    for right in range(1, 101):
        assert Accuracy(right - 1, 100, 100).loss_points(Accuracy(right, 100, 100)) == 1.0
