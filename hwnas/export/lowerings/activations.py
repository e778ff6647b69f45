"""Lowerings of what works on each value alone, of softmax, and of what does nothing at inference."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from hwnas.export.graph import Activation, Tensor
from hwnas.export.lowerings.registry import Call, array, lowers
from hwnas.export.views import View

_PLAIN: dict[Activation, tuple[Any, ...]] = {
    "relu": (F.relu, "relu", "relu_"),
    "relu6": (F.relu6, "relu6", "relu6_"),
    "hard_swish": (F.hardswish, "hardswish", "hardswish_"),
    "hard_sigmoid": (F.hardsigmoid, "hardsigmoid", "hardsigmoid_"),
    "silu": (F.silu, "silu", "silu_"),
    "sigmoid": (F.sigmoid, "sigmoid", "sigmoid_"),
    "tanh": (F.tanh, "tanh", "tanh_"),
}


def _plain(activation: Activation) -> None:
    @lowers(*_PLAIN[activation])
    def _lower(call: Call) -> Tensor:
        return _activation(call, activation)


for _name in _PLAIN:
    _plain(_name)


def _activation(call: Call, activation: Activation, value: float = 0.0) -> Tensor:
    x = call.tensor()
    return call.emit("activation", x, shape=x.shape, activation=activation, value=value)


@lowers(F.gelu, "gelu")
def _gelu(call: Call) -> Tensor:
    return _activation(call, "gelu_tanh" if call.argument(1, "approximate", "none") == "tanh" else "gelu")


@lowers(F.leaky_relu, F.leaky_relu_, "leaky_relu", "leaky_relu_")
def _leaky_relu(call: Call) -> Tensor:
    return _activation(call, "leaky_relu", float(call.argument(1, "negative_slope", 0.01)))


@lowers(F.elu, F.elu_)
def _elu(call: Call) -> Tensor:
    alpha = float(call.argument(1, "alpha", 1.0))
    if alpha != 1:
        raise call.unsupported(f"alpha must be 1, which is all that TFLite has, not {alpha}")
    return _activation(call, "elu")


@lowers("prelu")
def _prelu(call: Call) -> Tensor:
    x, slopes = call.tensor(), call.parameter(1, "weight")
    constant = array(slopes.expand(x.shape[1]))
    return call.emit("prelu", x, shape=x.shape, constant=constant)


@lowers(F.hardtanh, F.hardtanh_)
def _hardtanh(call: Call) -> Tensor:
    return _clamped(call, call.argument(1, "min_val", -1.0), call.argument(2, "max_val", 1.0))


@lowers("clamp", "clamp_", "clip", "clip_")
def _clamp(call: Call) -> Tensor:
    return _clamped(call, call.argument(1, "min"), call.argument(2, "max"))


def _clamped(call: Call, lowest: Any, highest: Any) -> Tensor:
    if lowest == 0 and highest is None:
        return _activation(call, "relu")
    if lowest == 0 and highest == 6:
        return _activation(call, "relu6")
    raise call.unsupported(f"only the limits 0 to 6 and 0 to infinity are supported, not {lowest} to {highest}")


@lowers(F.softmax, "softmax")
def _softmax(call: Call) -> Tensor:
    x = _over_channels(call)
    return call.emit("softmax", x, shape=x.shape)


@lowers(F.log_softmax, "log_softmax")
def _log_softmax(call: Call) -> Tensor:
    x = _over_channels(call)
    return call.emit("log_softmax", x, shape=x.shape)


def _over_channels(call: Call) -> Tensor:
    x = call.tensor()
    axis = call.argument(1, "dim")
    if axis not in (1, 1 - len(x.shape)):
        raise call.unsupported(f"it must be over the channels, dim=1, not dim={axis}")
    return x


@lowers("detach", "detach_", "alias")
def _nothing(call: Call) -> Tensor | View:
    return call.argument(0, "input")


@lowers("clone", "_to_copy")
def _copy(call: Call) -> Tensor:
    if call.kwargs.get("dtype") not in (None, torch.float32):
        raise call.unsupported(f"files compute in float32, not in {call.kwargs['dtype']}; leave the conversion out")
    # no operator will be left of it, but until then it is another tensor: what changes the copy leaves the original
    x = call.tensor()
    return call.emit("affine", x, shape=x.shape, weight=np.ones(1), bias=np.zeros(1))


@lowers(F.dropout, F.dropout1d, F.dropout2d, F.alpha_dropout, F.feature_alpha_dropout)
def _dropout(call: Call) -> Tensor | View:
    if call.argument(2, "training", True):
        raise call.unsupported("it drops values at inference too; pass training=self.training")
    return _nothing(call)
