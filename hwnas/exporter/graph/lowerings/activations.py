"""Lowerings of operators on each value alone, of softmax, and of operators that do nothing at inference."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from hwnas.exporter.graph.graph import Activation, Tensor
from hwnas.exporter.graph.lowerings.registry import Call, array, copied, lowers
from hwnas.exporter.graph.views import View

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


FLOAT16_END = 65_504.0
"""The largest number of float16."""


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


@lowers("clamp_min", "clamp_min_")
def _clamp_min(call: Call) -> Tensor:
    return _clamped(call, call.argument(1, "min"), None)


@lowers("clamp_max", "clamp_max_")
def _clamp_max(call: Call) -> Tensor:
    return _clamped(call, None, call.argument(1, "max"))


def _clamped(call: Call, lowest: Any, highest: Any) -> Tensor:
    """ReLU or ReLU6, of values that are scaled and shifted so that the limits become 0 and infinity or 6.

    A limit at the end of float16, which guards trainings in 16 bits, is none: no value of float32 is meant by it.
    """
    numbers = [limit for limit in (lowest, highest) if isinstance(limit, (int, float))]
    if numbers and min(map(abs, numbers)) >= FLOAT16_END:
        lowest = None if lowest is not None and lowest <= -FLOAT16_END else lowest
        highest = None if highest is not None and highest >= FLOAT16_END else highest
        if lowest is None and highest is None:
            return call.tensor()
    limits = [limit for limit in (lowest, highest) if limit is not None]
    if not limits or not all(isinstance(limit, (int, float)) for limit in limits) or limits != sorted(set(limits)):
        raise call.unsupported(f"its limits must be one number or two rising ones, not {lowest} and {highest}")
    activation: Activation = "relu" if len(limits) == 1 else "relu6"
    if lowest is None:
        scale, shift = -1.0, float(highest)
    else:
        scale = 1.0 if highest is None else 6 / (highest - lowest)
        shift = -lowest * scale
    x = call.tensor()
    if (scale, shift) == (1, 0):
        return _activation(call, activation)
    x = _affine(call, x, scale, shift, ".before")
    x = call.emit("activation", x, shape=x.shape, suffix=".cut", activation=activation)
    return _affine(call, x, 1 / scale, -shift / scale)


def _affine(call: Call, x: Tensor, scale: float, shift: float, suffix: str = "") -> Tensor:
    return call.emit("affine", x, shape=x.shape, suffix=suffix, weight=np.array([scale]), bias=np.array([shift]))


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
    value: Tensor | View = call.argument(0, "input")
    return value


@lowers("clone", "_to_copy")
def _copy(call: Call) -> Tensor:
    if call.kwargs.get("dtype") not in (None, torch.float32):
        raise call.unsupported(f"files compute in float32, not in {call.kwargs['dtype']}; leave the conversion out")
    return copied(call, call.tensor())


@lowers(F.dropout, F.dropout1d, F.dropout2d, F.alpha_dropout, F.feature_alpha_dropout)
def _dropout(call: Call) -> Tensor | View:
    if call.argument(2, "training", True):
        raise call.unsupported("it drops values at inference too; pass training=self.training")
    return _nothing(call)


def _filled(name: str) -> None:
    @lowers(name)
    def _lower(call: Call) -> torch.Tensor:
        # what it is filled with does not depend on the numbers in its first argument, only its shape may
        like = torch.zeros(call.argument(0, "input").shape)
        made = getattr(like, name) if name.startswith("new") else partial(getattr(torch, name), like)
        constant: torch.Tensor = made(*call.args[1:], **{key: v for key, v in call.kwargs.items() if key != "input"})
        return constant


for _name_of_filled in ("zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full"):
    _filled(_name_of_filled)
