"""hwnas inspect: counts known by hand or from publications, files of other origins, what is remarked and refused."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from ai_edge_litert.schema_py_generated import BuiltinOperator
from onnx import TensorProto, helper, numpy_helper

import hwnas
from hwnas.cli import main
from hwnas.errors import HwnasError, UsageError
from hwnas.exporter.export import convert
from hwnas.inspection.examine import examine
from hwnas.inspection.external_data import check_external_data
from hwnas.inspection.info import ModelInfo
from hwnas.inspection.inspect import inspect
from hwnas.inspection.onnx_file import check_external_data_of
from tests.export_networks import MobileNetV2, trained
from tests.inspect_files import depthwise, external_weight, one_operator_tflite, onnx_file, quantised
from tests.small_models import classifier_net, feature_net, model_bytes


@pytest.fixture
def look(tmp_path: Path) -> Any:
    """Inspect bytes as a file of a name, in this process."""

    def look(data: bytes, name: str = "model.tflite") -> ModelInfo:
        (tmp_path / name).write_bytes(data)
        return examine(tmp_path / name)

    return look


@pytest.mark.parametrize("format", ["tflite", "onnx"])
def test_mobilenet_v2_has_the_published_size(tmp_path: Path, format: str) -> None:
    """300.8 million MACs; 3,504,872 parameters, of which folding turns 2 x 17,056 of batch norm into 17,056 biases."""
    file = tmp_path / f"mobilenet.{format}"
    file.write_bytes(convert(trained(MobileNetV2()), (1, 3, 224, 224), format))
    info = hwnas.inspect(file)
    assert (info.macs, info.parameters) == (300_774_272, 3_504_872 - 17_056)
    assert (info.transposes, info.precision, info.warnings) == (0, "float32", ())
    assert info.weight_bytes == {"float32": 4 * info.parameters}
    if format == "tflite":
        assert (info.execution.partitions, info.execution.outside) == (1, ())
        # while the 96 channels before the first depthwise convolution of stride 2 are padded
        assert info.peak_activation_bytes == 4 * 96 * (112 * 112 + 114 * 114)
    assert ModelInfo.from_json(json.loads(json.dumps(info.to_json()))) == info


def test_a_small_network_counted_by_hand(look: Any) -> None:
    info = look(model_bytes(classifier_net(), ".tflite"))
    assert info.histogram == {"PAD": 1, "CONV_2D": 1, "MEAN": 1, "RESHAPE": 1, "FULLY_CONNECTED": 1}
    convolution, linear = info.operators[1], info.operators[4]
    assert (convolution.kernel, convolution.inputs, convolution.outputs) == (
        (3, 3),
        ((1, 22, 14, 3),),
        ((1, 10, 6, 8),),
    )
    assert (convolution.macs, convolution.parameters) == (10 * 6 * 8 * 27, 8 * 27 + 8)
    assert (linear.macs, linear.parameters, linear.weight_bytes) == (40, 45, 180)
    assert info.peak_activation_bytes == 4 * (20 * 12 * 3 + 22 * 14 * 3)  # while PAD runs
    image = info.inputs[0]
    assert (image.name, image.shape, image.layout, image.dtype) == ("input", (1, 20, 12, 3), "NHWC", "float32")
    assert info.metadata.signatures == {"serving_default": {"inputs": ["input"], "outputs": ["output"]}}


def test_the_formats_agree_on_a_network(look: Any) -> None:
    tflite, onnx_ = (look(model_bytes(feature_net(), f".{f}"), f"model.{f}") for f in ("tflite", "onnx"))
    assert tflite.macs == onnx_.macs == 60 * 8 * 27 + 60 * 8 * 9
    assert tflite.parameters == onnx_.parameters == 8 * 27 + 8 + 8 * 9 + 8
    assert (tflite.inputs[0].shape, onnx_.inputs[0].shape) == ((1, 20, 12, 3), (1, 3, 20, 12))
    assert (tflite.inputs[0].layout, onnx_.inputs[0].layout) == ("NHWC", "NCHW")


@pytest.mark.parametrize(
    ("recipe", "precision", "remark"),
    [
        ("static_wi8_ai8", "int8", "tflite-runtime 2.14 has no XNNPACK for int8"),
        ("dynamic_wi8_afp32", "int8 weights with float32 activations", "dynamic-range quantisation"),
        ("weight_only_wi8_afp32", "int8 weights with float32 activations", None),
    ],
)
def test_quantised_tflite_files(look: Any, tmp_path: Path, recipe: str, precision: str, remark: str | None) -> None:
    plain = look(model_bytes(classifier_net(), ".tflite"))
    info = look(quantised(model_bytes(classifier_net(), ".tflite"), recipe, tmp_path))
    assert (info.precision, info.macs, info.parameters) == (precision, plain.macs, plain.parameters)
    assert info.weight_bytes["int8"] == 8 * 27 + 40
    assert info.execution.partitions == 1
    assert [remark in warning for warning in info.warnings] == [True] if remark else info.warnings == ()
    if recipe == "static_wi8_ai8":
        assert info.inputs[0].dtype == "int8" and info.inputs[0].scale > 0
        assert info.peak_activation_bytes * 4 == plain.peak_activation_bytes


def test_hard_swish_in_int8_splits_the_network(look: Any, tmp_path: Path) -> None:
    from torch import nn

    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Hardswish(), nn.Conv2d(8, 8, 1)).eval()
    model = convert(net, (1, 3, 20, 12), "tflite")
    assert look(model).warnings == ()
    info = look(quantised(model, "static_wi8_ai8", tmp_path))
    assert info.execution.partitions == 2
    assert [info.operators[i].kind for i in info.execution.outside] == ["HARD_SWISH"]
    assert any("leaves 1 operators to slower kernels: 1 HARD_SWISH" in warning for warning in info.warnings)
    assert any("1 HARD_SWISH are in int8" in warning for warning in info.warnings)


def test_large_depthwise_kernels_are_remarked(look: Any) -> None:
    assert look(depthwise(5)).warnings == ()
    assert "1 depthwise convolutions have kernels above 5x5 (1 7x7)" in look(depthwise(7)).warnings[0]


def test_operators_that_the_runtime_lacks(look: Any) -> None:
    info = look(one_operator_tflite(BuiltinOperator.CUSTOM, b"Stranger\x1b[31m"))
    assert info.histogram == {"Stranger?[31m": 1}
    assert "Stranger" in info.execution.refused and info.execution.partitions is None
    assert "It needs operators of its own, which an app must bring along: 1 Stranger?[31m." in info.warnings
    info = look(
        onnx_file([helper.make_node("Wild", ["x"], ["y"], domain="com.stranger")]).SerializeToString(), "m.onnx"
    )
    assert info.histogram == {"com.stranger.Wild": 1} and info.execution.refused is not None


def test_free_dimensions_count_as_one(look: Any) -> None:
    model = onnx_file([helper.make_node("Relu", ["x"], ["y"])], batch="N")
    info = look(model.SerializeToString(), "m.onnx")
    assert info.inputs[0].shape == ("N", 3, 8, 8) and info.peak_activation_bytes == 2 * 4 * 3 * 64
    assert any("x has free dimensions, ['N', 3, 8, 8]" in warning for warning in info.warnings)
    info = look(one_operator_tflite(BuiltinOperator.RELU, signature=[-1, 4, 4, 3]))
    assert info.inputs[0].shape == (-1, 4, 4, 3) and info.peak_activation_bytes == 2 * 4 * 48
    assert "free dimensions" in info.warnings[0]


def test_shared_and_unpacked_weights_count_once_and_shapes_not(look: Any) -> None:
    weight = numpy_helper.from_array(np.ones((3, 3, 1, 1), np.float16), "w")
    shape = numpy_helper.from_array(np.array([1, 3, 8, 8]), "shape")
    nodes = [
        helper.make_node("Cast", ["w"], ["w32"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["x", "w32"], ["a"]),
        helper.make_node("Conv", ["a", "w32"], ["b"]),
        helper.make_node("Reshape", ["b", "shape"], ["y"]),
    ]
    info = look(onnx_file(nodes, [weight, shape]).SerializeToString(), "m.onnx")
    assert [operator.parameters for operator in info.operators] == [0, 9, 0, 0]
    assert (info.macs, info.weight_bytes) == (2 * 3 * 64 * 3, {"float16": 18})
    assert info.precision == "float16 weights with float32 activations"
    assert info.peak_activation_bytes == 2 * 4 * 3 * 64  # the unpacked weight is no activation


def test_transposes_and_unknown_shapes_are_remarked(look: Any) -> None:
    nodes = [
        helper.make_node("NonZero", ["x"], ["n"]),
        helper.make_node("Cast", ["n"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["f"], ["t"]),
        helper.make_node("MatMul", ["f", "t"], ["y"]),
    ]
    info = look(onnx_file(nodes).SerializeToString(), "m.onnx")
    assert (info.transposes, info.peak_activation_bytes) == (1, None)
    assert any(warning.startswith("1 TRANSPOSE") for warning in info.warnings)
    assert any("shapes of 3 of 5 activations" in warning for warning in info.warnings)
    assert any("lower bounds: those inside 1 MatMul are not counted" in warning for warning in info.warnings)


def test_what_an_onnx_says_of_itself(look: Any) -> None:
    model = onnx_file(
        [helper.make_node("Relu", ["x"], ["y"])], labels="cat\ndog\n", mean="[1.5]", std="[2]", by="me\x07"
    )
    metadata = look(model.SerializeToString(), "m.onnx").metadata
    assert (metadata.labels, metadata.mean, metadata.std) == (("cat", "dog"), (1.5,), (2.0,))
    assert metadata.entries["producer"] == "stranger" and metadata.entries["by"] == "me?"


def test_what_a_tflite_says_of_itself(look: Any) -> None:
    from hwnas.exporter.model_file.metadata import ModelMetadata
    from hwnas.exporter.tflite.metadata import tflite_with_metadata
    from hwnas.preprocessing import Preprocessing

    said = ModelMetadata((20, 12), Preprocessing((0.5, 0.25, 0.0), (0.5, 1.0, 2.0)), classes=("cat", "d\u00f6g"))
    metadata = look(tflite_with_metadata(model_bytes(classifier_net(), ".tflite"), said)).metadata
    assert metadata.labels == ("cat", "d\u00f6g")
    assert (metadata.mean, metadata.std) == ((127.5, 63.75, 0.0), (127.5, 255.0, 510.0))
    assert metadata.entries["name"] == "hwnas"


def test_weights_beside_the_model_are_counted_and_nothing_else_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    nodes = [helper.make_node("Add", ["x", "w"], ["y"])]
    (tmp_path / "secret").write_bytes(bytes(12))
    (folder / "weights").write_bytes(bytes(12))
    (folder / "link").symlink_to(tmp_path / "secret")
    file = folder / "m.onnx"
    onnx.save(onnx_file(nodes, [external_weight("weights")]), str(file))
    info = inspect(file)
    assert (info.parameters, info.execution.refused) == (3, None)
    for location in ("../secret", str(tmp_path / "secret"), "link", "/dev/zero", "a/../../secret"):
        file.write_bytes(onnx_file(nodes, [external_weight(location)]).SerializeToString())
        with pytest.raises(HwnasError, match=r"its weight w is to be read from .*, outside its folder"):
            (inspect if location == "/dev/zero" else examine)(file)


def in_a_branch(model: Any, weight: Any) -> None:
    inner = helper.make_graph([helper.make_node("Add", ["x", "w"], ["z"])], "inner", [], [], [weight])
    branches = {"then_branch": inner, "else_branch": inner}
    model.graph.node.append(helper.make_node("If", ["c"], ["y"], **branches))


def in_a_sparse_constant(model: Any, weight: Any) -> None:
    model.graph.sparse_initializer.add().values.CopyFrom(weight)


def in_the_indices_of_a_sparse_constant(model: Any, weight: Any) -> None:
    model.graph.sparse_initializer.add().indices.CopyFrom(weight)


def in_an_attribute(model: Any, weight: Any) -> None:
    model.graph.node.append(helper.make_node("Constant", [], ["k"], value=weight))


def in_a_list_of_an_attribute(model: Any, weight: Any) -> None:
    model.graph.node.append(helper.make_node("Anything", [], ["k"], domain="com.stranger", values=[weight]))


def in_a_sparse_attribute(model: Any, weight: Any) -> None:
    attribute = model.graph.node.add(op_type="Constant", output=["k"]).attribute.add(name="sparse_value", type=11)
    attribute.sparse_tensor.values.CopyFrom(weight)


def in_a_function(model: Any, weight: Any) -> None:
    constant = helper.make_node("Constant", [], ["k"], value=weight)
    function = helper.make_function("com.stranger", "F", ["a"], ["b"], [constant], [helper.make_opsetid("", 17)])
    model.functions.append(function)


def in_the_default_of_a_function(model: Any, weight: Any) -> None:
    in_a_function(model, numpy_helper.from_array(np.zeros(1, np.float32)))
    model.functions[0].attribute_proto.append(helper.make_attribute("default", weight))


def in_what_trains_it(model: Any, weight: Any) -> None:
    model.training_info.add().initialization.initializer.append(weight)


PLACES = (
    in_a_branch,
    in_a_sparse_constant,
    in_the_indices_of_a_sparse_constant,
    in_an_attribute,
    in_a_list_of_an_attribute,
    in_a_sparse_attribute,
    in_a_function,
    in_the_default_of_a_function,
    in_what_trains_it,
)


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_weights_anywhere_in_a_model_cannot_be_read_from_elsewhere(place: Any, tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(bytes(12))
    file = tmp_path / "model" / "m.onnx"
    file.parent.mkdir()
    model = onnx_file([helper.make_node("Relu", ["x"], ["y"])])
    place(model, external_weight("../w"))
    file.write_bytes(model.SerializeToString())
    for refused in (lambda: examine(file), lambda: check_external_data_of(file)):
        with pytest.raises(
            HwnasError, match=r"m\.onnx cannot be (inspected|measured): its weight w .*outside its folder"
        ):
            refused()


def test_weights_are_regular_files_and_read_to_their_end_at_most(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(bytes(12))
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")

    def checked(location: str, **more: str) -> None:
        weight = external_weight(location)
        for key, value in more.items():
            weight.external_data.add(key=key, value=value)
        check_external_data(onnx_file([], [weight]), tmp_path)

    checked("w")
    checked("folder/../w", offset="0")
    for location in (
        "",
        ".",
        "folder",
        "pipe",
        "missing",
        "a\0b",
        "x" * 5000,
        "*/_ORT_MEM_ADDR_/*",
        "../" + tmp_path.name,
    ):
        with pytest.raises(HwnasError, match="no regular file there"):
            checked(location)
    for more in ({"offset": "1"}, {"offset": "-4"}, {"length": "13"}, {"offset": "9" * 30}, {"offset": "four"}):
        with pytest.raises(HwnasError, match="beyond the end of that file, which has 12 bytes"):
            checked("w", **more)


def test_shapes_beyond_any_memory_are_refused_and_not_multiplied_out(look: Any) -> None:
    model = onnx_file([helper.make_node("Relu", ["x"], ["y"])])
    for end in (model.graph.input[0], model.graph.output[0]):
        end.type.CopyFrom(helper.make_tensor_type_proto(TensorProto.FLOAT, [2**62] * 20))
    with pytest.raises(HwnasError, match=r"its tensor . claims to have 10\^373 elements"):
        look(model.SerializeToString(), "m.onnx")
    with pytest.raises(HwnasError, match="claims to have"):
        look(one_operator_tflite(BuiltinOperator.RELU, shape=[2**31 - 1] * 40))


@pytest.mark.parametrize("mean", ["[1e999]", "[NaN]", "[1" + "0" * 400 + "]", "[" * 20000, "3"])
def test_a_normalisation_that_is_no_numbers_is_none(look: Any, mean: str) -> None:
    info = look(onnx_file([helper.make_node("Relu", ["x"], ["y"])], mean=mean).SerializeToString(), "m.onnx")
    assert info.metadata.mean == ()
    json.dumps(info.to_json(), allow_nan=False)


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"suffix '\.pt'"):
        inspect(tmp_path / "model.pt")
    for name, content, message in (
        ("empty.tflite", b"", "is empty"),
        ("zip.tflite", b"PK\3\4" + bytes(100), "identifier 'TFL3' is missing"),
        ("text.onnx", b"not a model at all", "damaged .onnx file|holds no network"),
        ("zeros.onnx", bytes(1000), "damaged .onnx file|holds no network"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(HwnasError, match=f"{name}.*({message})"):
            inspect(tmp_path / name)
    with pytest.raises(HwnasError, match="no model file"):
        inspect(tmp_path / "nowhere.onnx")
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(HwnasError, match="is a folder; name a"):
        inspect(tmp_path / "folder.onnx")


@pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
def test_truncated_files_are_called_damaged(tmp_path: Path, suffix: str) -> None:
    whole = model_bytes(classifier_net(), suffix)
    file = tmp_path / f"model{suffix}"
    for share in (0.02, 0.3, 0.9):
        file.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(HwnasError, match=r"model\.(tflite|onnx) (is a damaged|cannot be inspected)"):
            inspect(file)


def test_claims_of_a_file_are_not_believed(look: Any) -> None:
    with pytest.raises(HwnasError, match=r"has the shape \[1, -4, 4, 3\], with a negative size"):
        look(one_operator_tflite(BuiltinOperator.RELU, shape=(1, -4, 4, 3)))
    huge = look(one_operator_tflite(BuiltinOperator.RELU, shape=(2**31 - 1,) * 4))
    assert huge.peak_activation_bytes == 2 * 4 * (2**31 - 1) ** 4 and huge.execution.refused is not None
    far = one_operator_tflite(BuiltinOperator.RELU)
    with pytest.raises(HwnasError, match=r"cannot be inspected|damaged"):
        look(far[:4] + b"TFL3" + b"\xff" * (len(far) - 8))


def test_reading_has_a_time_limit(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(model_bytes(classifier_net(), ".tflite"))
    with pytest.raises(HwnasError, match=r"did not finish with .*m.tflite within 0.001 s"):
        inspect(tmp_path / "m.tflite", timeout_s=0.001)


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "[red]model.tflite"
    file.write_bytes(one_operator_tflite(BuiltinOperator.RELU, input_name=b"[bold]x[/nope]\x1b[2J"))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: object) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", ["hwnas", "inspect", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        assert stop.value.code == 0
        captured = capsys.readouterr()
        return captured.out, captured.err

    out, err = run(file, "--json")
    assert json.loads(out)["inputs"][0]["name"] == "[bold]x[/nope]?[2J" and err == ""
    out, err = run(file, "--operators")
    assert out == "" and "[red]model.tflite" in err and "[bold]x[/nope]?[2J float32 1x4x4x3 NHWC" in err
    assert "XNNPACK takes all of it in one piece" in err and "RELU" in err
