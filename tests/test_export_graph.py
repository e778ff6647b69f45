"""The Graph's features, and what folding does to a list of operators."""

from __future__ import annotations

import numpy as np
import pytest

from hwnas.errors import HwnasError
from hwnas.export.fold import fold
from hwnas.export.graph import Graph, Operator, Tensor

X = Tensor("input", (1, 2, 4, 4))
A, B, C = (Tensor(name, (1, 2, 4, 4)) for name in "abc")


def conv(source: Tensor = X, output: Tensor = A) -> Operator:
    """A 1x1 convolution that swaps two channels and adds 1 to the first."""
    weight = np.array([[0, 1], [1, 0]], np.float32).reshape(2, 2, 1, 1)
    return Operator("conv", output.name, (source,), output, weight=weight, bias=np.array([1, 0], np.float32))


def batch_norm(source: Tensor, output: Tensor) -> Operator:
    scale, shift = np.array([2.0, 10.0]), np.array([0.5, -1.0])
    return Operator("batch_norm", output.name, (source,), output, weight=scale, bias=shift)


def relu(source: Tensor, output: Tensor) -> Operator:
    return Operator("activation", output.name, (source,), output, activation="relu")


def test_features_of_a_convolution_are_those_computed_by_hand() -> None:
    """MobileNetV2's first layer: 3 -> 32, 3x3, stride 2, 224 x 224 has 10.84 million MACs."""
    weight, bias = np.zeros((32, 3, 3, 3), np.float32), np.zeros(32, np.float32)
    source, output = Tensor("input", (1, 3, 224, 224)), Tensor("stem", (1, 32, 112, 112))
    stem = Operator("conv", "stem", (source,), output, weight, bias, stride=(2, 2), padding=(1, 1))
    assert stem.macs == 27 * 32 * 112 * 112 == 10_838_016
    assert stem.kernel == (3, 3)
    assert stem.activation_bytes == 4 * (3 * 224 * 224 + 32 * 112 * 112)
    assert stem.weight_bytes == 4 * (864 + 32)


def test_features_of_depthwise_linear_and_add() -> None:
    wide = Tensor("wide", (2, 8, 6, 6))
    weight, bias = np.zeros((8, 1, 5, 5), np.float32), np.zeros(8, np.float32)
    depthwise = Operator("depthwise_conv", "depthwise", (wide,), wide, weight, bias, padding=(2, 2))
    assert (depthwise.macs, depthwise.kernel) == (2 * 8 * 25 * 36, (5, 5))
    features, logits = Tensor("features", (2, 8)), Tensor("logits", (2, 10))
    linear = Operator("linear", "logits", (features,), logits, np.zeros((10, 8), np.float32), np.zeros(10, np.float32))
    assert (linear.macs, linear.kernel) == (2 * 8 * 10, (1, 1))
    add = Operator("add", "add", (wide, wide), wide)
    assert (add.macs, add.weight_bytes, add.activation_bytes) == (0, 0, 3 * 4 * 2 * 8 * 36)
    graph = Graph((depthwise, linear, add), wide, logits)
    assert graph.macs == depthwise.macs + linear.macs
    assert graph.weight_bytes == depthwise.weight_bytes + linear.weight_bytes


def test_batch_norm_is_folded_into_weight_and_bias() -> None:
    operators = [conv(), batch_norm(A, B)]
    (folded,) = fold(operators, B)
    assert folded.kind == "conv"
    assert folded.name == "a"
    assert folded.output == B
    assert folded.weight is not None and folded.weight.dtype == np.float32
    assert folded.weight.reshape(2, 2).tolist() == [[0, 2], [10, 0]]
    assert folded.bias is not None and folded.bias.tolist() == [2.5, -1.0]
    assert operators[0].bias is not None and operators[0].bias.tolist() == [1, 0], "the input was changed"


def test_activation_is_fused_through_the_batch_norm() -> None:
    (folded,) = fold([conv(), batch_norm(A, B), relu(B, C)], C)
    assert (folded.activation, folded.output) == ("relu", C)


def test_what_others_read_is_neither_folded_nor_fused() -> None:
    add = Operator("add", "c", (A, B), C)
    assert [operator.kind for operator in fold([conv(), relu(A, B), add], C)] == ["conv", "activation", "add"]
    with pytest.raises(HwnasError, match=r"BatchNorm2d 'b'.*directly follow a convolution"):
        fold([conv(), batch_norm(A, B), add], C)


def test_what_the_network_returns_is_not_fused_away() -> None:
    assert [operator.activation for operator in fold([conv(), relu(A, B)], A)] == [None, "relu"]


def test_batch_norm_without_its_own_convolution_is_refused() -> None:
    with pytest.raises(HwnasError, match="BatchNorm2d 'a'"):
        fold([batch_norm(X, A)], A)
    with pytest.raises(HwnasError, match="BatchNorm2d 'c'"):
        fold([conv(), relu(A, B), batch_norm(B, C)], C)


def test_only_one_activation_is_fused() -> None:
    second = Operator("activation", "c", (B,), C, activation="relu6")
    assert [operator.kind for operator in fold([conv(), relu(A, B), second], C)] == ["conv", "activation"]
