"""The .tflite file itself: its padding rule, its operators, its names, its bytes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from torch import nn

from hwnas.exporter.export import convert
from hwnas.exporter.tflite.windows import pads_like_same
from tests.export_networks import InvertedResidual, MobileNetV2, trained

BLOCK, SHAPE = (trained(InvertedResidual(8, 8, 1, 3)), (1, 8, 14, 14))


def interpreter(model: bytes) -> Interpreter:
    loaded = Interpreter(model_content=model, num_threads=1)
    loaded.allocate_tensors()
    return loaded


def operators(model: bytes, delegated: bool = False) -> list[str]:
    """Names of the operators that LiteRT runs; those that XNNPACK took over are still listed before DELEGATE."""
    names = [details["op_name"] for details in interpreter(model)._get_ops_details()]
    return [name for name in names if (name == "DELEGATE") == delegated]


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "pad", "same"),
    [
        (56, 3, 1, 1, True),
        (57, 7, 1, 3, True),
        (57, 3, 2, 1, True),
        (57, 5, 2, 2, True),
        (56, 3, 2, 1, False),  # SAME puts 0 zeros before and 1 after, PyTorch 1 and 1
        (56, 5, 2, 2, False),
        (56, 7, 2, 3, False),
        (56, 3, 1, 0, False),
        (56, 3, 1, 2, False),
        (56, 1, 1, 0, True),
        (56, 1, 2, 0, True),
    ],
)
def test_same_padding_is_pytorchs_at_stride_1_and_at_odd_sizes(
    size: int, kernel: int, stride: int, pad: int, same: bool
) -> None:
    assert pads_like_same(size, kernel, stride, (pad, pad)) is same


@pytest.mark.parametrize(
    ("module", "shape", "expected"),
    [
        (BLOCK, SHAPE, ["CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D", "ADD"]),
        (InvertedResidual(8, 8, 2, 3, 5), SHAPE, ["CONV_2D", "PAD", "DEPTHWISE_CONV_2D", "CONV_2D"]),
        (InvertedResidual(8, 8, 2, 3, 5), (1, 8, 13, 13), ["CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D"]),
        (
            nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)),
            SHAPE,
            ["MEAN", "RESHAPE", "FULLY_CONNECTED"],
        ),
    ],
)
def test_blocks_are_as_few_operators_as_can_be(module: nn.Module, shape: tuple[int, ...], expected: list[str]) -> None:
    model = convert(module, shape, "tflite")
    assert operators(model) == expected
    assert operators(model, delegated=True) == ["DELEGATE"]


def test_mobilenet_v2_is_one_xnnpack_partition_without_transposes() -> None:
    model = convert(trained(MobileNetV2()), (1, 3, 64, 64), "tflite")
    counted = {name: operators(model).count(name) for name in set(operators(model))}
    assert counted == {
        "PAD": 5,
        "CONV_2D": 35,
        "DEPTHWISE_CONV_2D": 17,
        "ADD": 10,
        "MEAN": 1,
        "RESHAPE": 1,
        "FULLY_CONNECTED": 1,
    }
    assert operators(model, delegated=True) == ["DELEGATE"]


def test_images_are_nhwc_and_the_ends_have_names() -> None:
    model = interpreter(convert(trained(MobileNetV2()), (1, 3, 64, 48), "tflite"))
    assert model.get_signature_list() == {"serving_default": {"inputs": ["input"], "outputs": ["output"]}}
    (end,) = model.get_input_details()
    assert (end["name"], end["shape"].tolist()) == ("input", [1, 64, 48, 3])
    (end,) = model.get_output_details()
    assert (end["name"], end["shape"].tolist()) == ("output", [1, 1000])
    result = model.get_signature_runner("serving_default")(input=np.zeros((1, 64, 48, 3), np.float32))
    assert result["output"].shape == (1, 1000)


def test_tensors_are_called_by_the_layers_that_make_them() -> None:
    names = {details["name"] for details in interpreter(convert(BLOCK, SHAPE, "tflite")).get_tensor_details()}
    assert {"layers.0.weight", "layers.0.bias", "layers.2", "layers.3.weight", "layers.5"} <= names


def test_equal_networks_give_equal_bytes() -> None:
    torch.manual_seed(1)
    first = convert(trained(InvertedResidual(8, 8, 2, 3)), SHAPE, "tflite")
    torch.manual_seed(1)
    second = convert(trained(InvertedResidual(8, 8, 2, 3)), SHAPE, "tflite")
    assert first == second


def test_constants_are_aligned_for_vector_loads() -> None:
    model = convert(BLOCK, SHAPE, "tflite")
    parsed = schema.Model.GetRootAs(model, 0)
    constants = [parsed.Buffers(i) for i in range(parsed.BuffersLength()) if parsed.Buffers(i).DataLength()]
    assert len(constants) == 6
    data_field = 4
    offsets = [constant._tab.Vector(constant._tab.Offset(data_field)) for constant in constants]
    assert [offset % 16 for offset in offsets] == [0] * 6
