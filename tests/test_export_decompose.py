"""Activations in other operators: the same function, in operators that int8 kernels exist for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from hwnas.blocks import build_block
from hwnas.exporter.graph.decompose import INT8_UNFRIENDLY, decompose
from hwnas.exporter.graph.lower import lower
from hwnas.exporter.parity import LIMIT, relative_error
from hwnas.exporter.tflite.writer import write_tflite
from hwnas.runtimes import get_runtime
from hwnas.specs.mbconv import MBConv
from tests.export_networks import trained

SHAPE = (1, 8, 9, 10)
IMAGE = 4 * np.random.default_rng(0).standard_normal(SHAPE, dtype=np.float32)


def decomposed_kinds(module: nn.Module) -> list[tuple[str, str | None]]:
    return [(operator.kind, operator.activation) for operator in decompose(lower(module, SHAPE)).operators]


def test_hard_swish_is_two_operators_between_convolutions_and_three_elsewhere() -> None:
    """The division by 6 goes into the weights of the convolution behind it."""
    assert decomposed_kinds(nn.Sequential(nn.Hardswish(), nn.Conv2d(8, 4, 3, padding=1))) == [
        ("add", "relu6"),
        ("multiply", None),
        ("conv", None),
    ]
    assert decomposed_kinds(nn.Hardswish()) == [("add", "relu6"), ("multiply", None), ("multiply", None)]


def test_the_3_of_a_hard_sigmoid_is_in_the_bias_of_the_convolution_before() -> None:
    assert decomposed_kinds(nn.Sequential(nn.Conv2d(8, 4, 1), nn.Hardsigmoid())) == [
        ("conv", "relu6"),
        ("multiply", None),
    ]


def test_silu_is_its_definition() -> None:
    assert decomposed_kinds(nn.SiLU()) == [("activation", "sigmoid"), ("multiply", None)]


def test_a_graph_without_such_activations_is_left_as_it_is() -> None:
    graph = lower(nn.Sequential(nn.Conv2d(8, 4, 1), nn.ReLU6()), SHAPE)
    assert decompose(graph) is graph
    swish = lower(nn.Hardswish(), SHAPE)
    assert decompose(swish, ["silu"]) is swish


@pytest.mark.parametrize("activation", ["hard_swish", "silu"])
def test_a_block_computes_the_same_and_has_none_left(activation: str) -> None:
    torch.manual_seed(0)
    block = trained(build_block(MBConv(8, 8, 5, 4, activation=activation, se_ratio=0.25)))
    graph = lower(block, SHAPE)
    rewritten = decompose(graph)
    assert not {operator.activation for operator in rewritten.operators} & set(INT8_UNFRIENDLY)
    assert (rewritten.input, rewritten.output, rewritten.macs) == (graph.input, graph.output, graph.macs)
    with torch.inference_mode():
        expected = block(torch.from_numpy(IMAGE.copy())).numpy()
    actual = get_runtime("litert").load(write_tflite(rewritten), threads=1).run(IMAGE)
    assert relative_error(actual, expected) <= LIMIT
