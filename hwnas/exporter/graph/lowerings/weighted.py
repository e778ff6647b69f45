"""Lowerings of operators with weights: convolutions, linear layers, batch norms."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from hwnas.exporter.graph.graph import Padding, Tensor
from hwnas.exporter.graph.lowerings.registry import Call, array, lowers, pair


@lowers(F.conv2d)
def _conv_function(call: Call) -> Tensor:
    settings = (("stride", 1), ("padding", 0), ("dilation", 1), ("groups", 1))
    values = [call.argument(3 + i, name, default) for i, (name, default) in enumerate(settings)]
    return _convolution(call, call.parameter(1, "weight"), call.argument(2, "bias"), *values)


def _convolution(
    call: Call, weight: torch.Tensor, bias: torch.Tensor | None, stride: Any, padding: Any, dilation: Any, groups: int
) -> Tensor:
    x = call.image()
    out_channels, channels_per_group, *kernel = weight.shape
    in_channels = channels_per_group * groups
    if x.shape[1] != in_channels:
        raise call.unsupported(f"it takes {in_channels} channels and gets {x.shape[1]} (input {x.shape})")
    stride, dilation = pair(stride), pair(dilation)
    pads = _padding(padding, pair(kernel), dilation)
    height, width = (
        (size + sum(pad) - step * (taps - 1) - 1) // jump + 1
        for size, pad, taps, step, jump in zip(x.shape[2:], pads, kernel, dilation, stride, strict=True)
    )
    if height < 1 or width < 1:
        raise call.unsupported(f"its {tuple(kernel)} kernel is larger than its padded input {x.shape}")
    return call.emit(
        "depthwise_conv" if groups == in_channels > 1 else "conv",
        x,
        shape=(x.shape[0], out_channels, height, width),
        weight=array(weight),
        bias=np.zeros(out_channels, np.float32) if bias is None else array(bias),
        stride=stride,
        padding=pads,
        dilation=dilation,
    )


def _padding(padding: Any, kernel: tuple[int, int], dilation: tuple[int, int]) -> Padding:
    """Zeros before and after each axis."""
    if padding == "valid":
        return ((0, 0), (0, 0))
    if padding == "same":
        # as PyTorch: where the zeros are odd in number, the larger half comes last
        zeros = [step * (taps - 1) for taps, step in zip(kernel, dilation, strict=True)]
        vertical, horizontal = ((count // 2, count - count // 2) for count in zeros)
        return (vertical, horizontal)
    rows, columns = pair(padding)
    return ((rows, rows), (columns, columns))


@lowers(F.linear)
def _linear_function(call: Call) -> Tensor:
    return _linear(call, call.parameter(1, "weight"), call.argument(2, "bias"))


def _linear(call: Call, weight: torch.Tensor, bias: torch.Tensor | None) -> Tensor:
    x, (out_features, in_features) = call.tensor(), weight.shape
    if len(x.shape) != 2 or x.shape[1] != in_features:
        raise call.unsupported(f"its input must have shape (N, {in_features}), not {x.shape}")
    biases = np.zeros(out_features, np.float32) if bias is None else array(bias)
    return call.emit("linear", x, shape=(x.shape[0], out_features), weight=array(weight), bias=biases)


@lowers(F.batch_norm)
def _batch_norm_function(call: Call) -> Tensor:
    mean, variance = call.argument(1, "running_mean"), call.argument(2, "running_var")
    if call.argument(5, "training", False) and mean is not None:
        raise call.unsupported("it takes the statistics of the batch (training=True); pass training=self.training")
    weight, bias = call.argument(3, "weight"), call.argument(4, "bias")
    return _batch_norm(call, mean, variance, weight, bias, call.argument(7, "eps", 1e-5))


def _batch_norm(
    call: Call,
    running_mean: torch.Tensor | None,
    running_var: torch.Tensor | None,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    eps: float,
) -> Tensor:
    x = call.tensor()
    if running_mean is None or running_var is None:
        raise call.unsupported("it has no running statistics (track_running_stats=False), which inference needs")
    mean, variance = (array(value).astype(np.float64) for value in (running_mean, running_var))
    if len(mean) != x.shape[1]:
        raise call.unsupported(f"it is for {len(mean)} channels and gets {x.shape[1]} (input {x.shape})")
    scale = 1 / np.sqrt(variance + eps)
    scale = scale if weight is None else scale * array(weight)
    shift = -mean * scale if bias is None else array(bias) - mean * scale
    return call.emit("affine", x, shape=x.shape, weight=scale, bias=shift)
