"""The Graph's features, and what folding does to a list of operators."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hwnas.exporter.graph.fold import fold
from hwnas.exporter.graph.graph import Graph, Operator, Tensor

X = Tensor("input", (1, 2, 4, 4))
A, B, C = (Tensor(name, (1, 2, 4, 4)) for name in "abc")


def conv(source: Tensor = X, output: Tensor = A) -> Operator:
    """A 1x1 convolution that swaps two channels and adds 1 to the first."""
    weight = np.array([[0, 1], [1, 0]], np.float32).reshape(2, 2, 1, 1)
    return Operator("conv", output.name, (source,), output, weight=weight, bias=np.array([1, 0], np.float32))


def affine(source: Tensor, output: Tensor) -> Operator:
    """What a batch norm is."""
    scale, shift = np.array([2.0, 10.0]), np.array([0.5, -1.0])
    return Operator("affine", output.name, (source,), output, weight=scale, bias=shift)


def relu(source: Tensor, output: Tensor) -> Operator:
    return Operator("activation", output.name, (source,), output, activation="relu")


def test_features_of_a_convolution_are_those_computed_by_hand() -> None:
    """MobileNetV2's first layer: 3 -> 32, 3x3, stride 2, 224 x 224 has 10.84 million MACs."""
    weight, bias = np.zeros((32, 3, 3, 3), np.float32), np.zeros(32, np.float32)
    source, output = Tensor("input", (1, 3, 224, 224)), Tensor("stem", (1, 32, 112, 112))
    stem = Operator("conv", "stem", (source,), output, weight, bias, stride=(2, 2), padding=((1, 1), (1, 1)))
    assert stem.macs == 27 * 32 * 112 * 112 == 10_838_016
    assert stem.kernel == (3, 3)
    assert stem.activation_bytes == 4 * (3 * 224 * 224 + 32 * 112 * 112)
    assert stem.weight_bytes == 4 * (864 + 32)


def test_features_of_depthwise_linear_and_add() -> None:
    wide = Tensor("wide", (2, 8, 6, 6))
    weight, bias = np.zeros((8, 1, 5, 5), np.float32), np.zeros(8, np.float32)
    depthwise = Operator("depthwise_conv", "depthwise", (wide,), wide, weight, bias, padding=((2, 2), (2, 2)))
    assert (depthwise.macs, depthwise.kernel) == (2 * 8 * 25 * 36, (5, 5))
    features, logits = Tensor("features", (2, 8)), Tensor("logits", (2, 10))
    linear = Operator("linear", "logits", (features,), logits, np.zeros((10, 8), np.float32), np.zeros(10, np.float32))
    assert (linear.macs, linear.kernel) == (2 * 8 * 10, (1, 1))
    add = Operator("add", "add", (wide, wide), wide)
    assert (add.macs, add.weight_bytes, add.activation_bytes) == (0, 0, 3 * 4 * 2 * 8 * 36)
    graph = Graph((depthwise, linear, add), wide, logits)
    assert graph.macs == depthwise.macs + linear.macs
    assert graph.weight_bytes == depthwise.weight_bytes + linear.weight_bytes


def folded(*operators: Operator) -> tuple[Operator, ...]:
    """What folding leaves of operators whose last one writes what the network returns."""
    kept, output = fold(operators, operators[-1].output)
    assert output == operators[-1].output
    return kept


def test_batch_norm_is_folded_into_weight_and_bias() -> None:
    operators = [conv(), affine(A, B)]
    (only,) = folded(*operators)
    assert (only.kind, only.name, only.output) == ("conv", "a", B)
    assert only.weight is not None and only.weight.dtype == np.float32
    assert only.weight.reshape(2, 2).tolist() == [[0, 2], [10, 0]]
    assert only.bias is not None and only.bias.tolist() == [2.5, -1.0]
    assert operators[0].bias is not None and operators[0].bias.tolist() == [1, 0], "the input was changed"


def test_batch_norm_is_folded_into_the_convolution_behind_it() -> None:
    (only,) = folded(affine(X, A), conv(A, B))
    assert (only.kind, only.inputs, only.output) == ("conv", (X,), B)
    assert only.weight is not None and only.weight.reshape(2, 2).tolist() == [[0, 10], [2, 0]]
    assert only.bias is not None and only.bias.tolist() == [0, 0.5]  # 1 - 1 and 0 + 0.5


def test_batch_norm_is_not_folded_into_a_convolution_that_pads_its_result_with_zeros() -> None:
    padded = replace(conv(A, B), padding=((1, 1), (0, 0)))
    assert [operator.kind for operator in folded(affine(X, A), padded)] == ["multiply", "add", "conv"]


def test_activation_is_fused_through_the_batch_norm() -> None:
    (only,) = folded(conv(), affine(A, B), relu(B, C))
    assert (only.activation, only.output) == ("relu", C)


def test_what_others_read_is_neither_folded_nor_fused() -> None:
    add = Operator("add", "c", (A, B), C)
    assert [operator.kind for operator in folded(conv(), relu(A, B), add)] == ["conv", "activation", "add"]
    assert [operator.kind for operator in folded(conv(), affine(A, B), add)] == ["conv", "multiply", "add", "add"]


def test_what_the_network_returns_is_not_fused_away() -> None:
    second = replace(relu(A, C), name="second")
    kept, _output = fold([conv(), relu(A, B), Operator("add", "d", (A, B), C), second], A)
    assert [operator.kind for operator in kept] == ["conv"], "what is not read for the result is left out"
    kept, _output = fold([conv(), relu(A, B), Operator("add", "d", (A, B), C)], C)
    assert [operator.activation for operator in kept] == [None, "relu", None]


def test_a_batch_norm_alone_is_a_multiplication_and_an_addition_with_the_activation_in_it() -> None:
    multiply, add = folded(affine(X, A), relu(A, B))
    assert multiply.constant is not None and multiply.constant.ravel().tolist() == [2, 10]
    assert add.constant is not None and add.constant.ravel().tolist() == [0.5, -1]
    assert multiply.constant.shape == (1, 2, 1, 1)
    assert (multiply.output, add.activation, add.output) == (add.inputs[0], "relu", B)
    assert (multiply.macs, multiply.weight_bytes) == (0, 8)


def test_arithmetic_that_does_nothing_leaves_nothing() -> None:
    nothing = Operator("affine", "a", (X,), A, weight=np.ones(1), bias=np.zeros(1))
    assert fold([nothing], A) == ((), X)


def test_zeros_around_the_image_become_the_padding_of_the_convolution() -> None:
    wide = Tensor("wide", (1, 2, 6, 5))
    pad = Operator("pad", "pad", (X,), wide, padding=((0, 2), (1, 0)))
    (only,) = folded(pad, replace(conv(wide, B), padding=((1, 1), (0, 0))))
    assert (only.inputs, only.padding) == ((X,), ((1, 3), (1, 0)))
    kept = folded(replace(pad, value=1.0), conv(wide, B))
    assert [operator.kind for operator in kept] == ["pad", "conv"]


def test_only_one_activation_is_fused() -> None:
    second = Operator("activation", "c", (B,), C, activation="relu6")
    assert [operator.kind for operator in folded(conv(), relu(A, B), second)] == ["conv", "activation"]


def test_only_what_a_runtime_clips_for_free_is_fused() -> None:
    swish = Operator("activation", "b", (A,), B, activation="hard_swish")
    assert [operator.kind for operator in folded(conv(), swish)] == ["conv", "activation"]
