"""What each PyTorch layer and function becomes in a Graph: one lowering function per operator, found in a registry.

To support a further operator, add a function here under ``@lowers(...)``; if it needs a new `Kind`, each writer gets a
function for that kind too.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from hwnas.errors import HwnasError
from hwnas.export.graph import Activation, Kind, Operator, Tensor


@dataclass(frozen=True)
class Call:
    """One call of a layer or function, as it was traced, and the list that its operators are added to.

    Args:
        name: Path of the layer, or of the module that calls the function; unique within a trace.
        target: What is called, as a person would write it: ``Conv2d``, ``flatten``.
        module: The layer; None for a function or method.
        args: Positional arguments, Tensors where the network passed tensors.
        kwargs: Named arguments.
        operators: Everything lowered so far.
    """

    name: str
    target: str
    module: nn.Module | None
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    operators: list[Operator]

    def argument(self, position: int, name: str, default: Any = None) -> Any:
        """An argument of the call, by position or name."""
        return self.args[position] if position < len(self.args) else self.kwargs.get(name, default)

    def tensor(self, position: int = 0, name: str = "input") -> Tensor:
        """An argument that must be a tensor of the network. Raises HwnasError if it is anything else."""
        value = self.argument(position, name)
        if not isinstance(value, Tensor):
            raise self.unsupported(f"its argument number {position + 1} must be a tensor of the network, not {value!r}")
        return value

    def image(self) -> Tensor:
        """The first argument, which must be (N, C, H, W). Raises HwnasError if it is not."""
        tensor = self.tensor()
        if len(tensor.shape) != 4:
            raise self.unsupported(f"its input must have shape (N, C, H, W), not {tensor.shape}")
        return tensor

    def emit(self, kind: Kind, *inputs: Tensor, shape: tuple[int, ...], suffix: str = "", **fields: Any) -> Tensor:
        """Add an operator; returns the tensor that it writes."""
        output = Tensor(self.name + suffix, shape)
        self.operators.append(Operator(kind, output.name, inputs, output, **fields))
        return output

    def unsupported(self, reason: str) -> HwnasError:
        """The error for a call that has a lowering, but not with these arguments."""
        return HwnasError(f"cannot export {self.target} {self.name!r}: {reason}.")


Lowering = Callable[[Call], Tensor]
LOWERINGS: dict[Any, Lowering] = {}
"""The lowering of every module type, function and tensor method (by its name) that can be exported."""


def lowers(*targets: Any) -> Callable[[Lowering], Lowering]:
    """Register a lowering for module types, functions and names of tensor methods."""

    def register(lowering: Lowering) -> Lowering:
        LOWERINGS.update(dict.fromkeys(targets, lowering))
        return lowering

    return register


def supported() -> str:
    """The layers and functions that have a lowering, for error messages."""
    layers = {target.__name__ for target in LOWERINGS if isinstance(target, type)}
    functions = {t if isinstance(t, str) else t.__name__ for t in LOWERINGS if not isinstance(t, type)}
    return f"layers {', '.join(sorted(layers))}; functions {', '.join(sorted(functions))}"


def _array(parameter: torch.Tensor) -> np.ndarray:
    """A float32 copy of a parameter, wherever it lives: a Graph must not change when training goes on."""
    return parameter.detach().to("cpu", torch.float32, copy=True).numpy()


@lowers(nn.Conv2d)
def _conv(call: Call) -> Tensor:
    layer, x = call.module, call.image()
    assert isinstance(layer, nn.Conv2d)
    padding = _padding(call, layer)
    depthwise = layer.groups == layer.in_channels > 1
    if x.shape[1] != layer.in_channels:
        raise call.unsupported(f"it takes {layer.in_channels} channels and gets {x.shape[1]} (input {x.shape})")
    if layer.groups != 1 and not depthwise:
        raise call.unsupported(f"groups must be 1 or in_channels ({layer.in_channels}), not {layer.groups}")
    if layer.dilation != (1, 1):
        raise call.unsupported(f"dilation must be 1, not {layer.dilation}")
    height, width = (
        (size + 2 * pad - kernel) // stride + 1
        for size, pad, kernel, stride in zip(x.shape[2:], padding, layer.kernel_size, layer.stride, strict=True)
    )
    if height < 1 or width < 1:
        raise call.unsupported(f"its {layer.kernel_size} kernel is larger than its padded input {x.shape}")
    bias = np.zeros(layer.out_channels, np.float32) if layer.bias is None else _array(layer.bias)
    return call.emit(
        "depthwise_conv" if depthwise else "conv",
        x,
        shape=(x.shape[0], layer.out_channels, height, width),
        weight=_array(layer.weight),
        bias=bias,
        stride=layer.stride,
        padding=padding,
    )


def _padding(call: Call, layer: nn.Conv2d) -> tuple[int, int]:
    """Zeros on each side, (vertical, horizontal). Raises HwnasError if the two sides of an axis differ."""
    if layer.padding_mode != "zeros":
        raise call.unsupported(f"padding_mode must be 'zeros', not {layer.padding_mode!r}")
    vertical, horizontal = layer.kernel_size
    if layer.padding == "valid":
        return (0, 0)
    if not isinstance(layer.padding, str):
        vertical, horizontal = layer.padding
        return (vertical, horizontal)
    if vertical % 2 == 0 or horizontal % 2 == 0:
        raise call.unsupported(f"padding 'same' needs an odd kernel, not {layer.kernel_size}")
    return (vertical // 2, horizontal // 2)


@lowers(nn.BatchNorm2d)
def _batch_norm(call: Call) -> Tensor:
    layer, x = call.module, call.image()
    assert isinstance(layer, nn.BatchNorm2d)
    if layer.running_mean is None or layer.running_var is None:
        raise call.unsupported("it has no running statistics (track_running_stats=False), which inference needs")
    mean, variance = (_array(value).astype(np.float64) for value in (layer.running_mean, layer.running_var))
    scale = 1 / np.sqrt(variance + layer.eps)
    scale = scale if layer.weight is None else scale * _array(layer.weight)
    shift = -mean * scale if layer.bias is None else _array(layer.bias) - mean * scale
    return call.emit("batch_norm", x, shape=x.shape, weight=scale, bias=shift)


@lowers(nn.ReLU, F.relu, torch.relu, "relu")
def _relu(call: Call) -> Tensor:
    return _activation(call, "relu")


@lowers(nn.ReLU6, F.relu6)
def _relu6(call: Call) -> Tensor:
    return _activation(call, "relu6")


def _activation(call: Call, activation: Activation) -> Tensor:
    x = call.tensor()
    return call.emit("activation", x, shape=x.shape, activation=activation)


@lowers(nn.Identity, nn.Dropout, nn.Dropout2d)
def _nothing(call: Call) -> Tensor:
    return call.tensor()


@lowers(F.dropout, F.dropout2d)
def _dropout(call: Call) -> Tensor:
    if call.argument(2, "training", True):
        raise call.unsupported("it drops values at inference too; pass training=self.training")
    return call.tensor()


@lowers(operator.add, operator.iadd, torch.add, "add", "add_")
def _add(call: Call) -> Tensor:
    x, y = call.tensor(0), call.tensor(1, "other")
    if x.shape != y.shape:
        raise call.unsupported(f"the shapes that are added must be equal, not {x.shape} and {y.shape}")
    if call.argument(2, "alpha", 1) != 1:
        raise call.unsupported("alpha must be 1")
    return call.emit("add", x, y, shape=x.shape)


@lowers(nn.AdaptiveAvgPool2d, F.adaptive_avg_pool2d)
def _adaptive_average_pool(call: Call) -> Tensor:
    size = getattr(call.module, "output_size", None) if call.module else call.argument(1, "output_size")
    if size not in (1, (1, 1), [1, 1]):
        raise call.unsupported(f"only the global average is supported, output_size=1, not {size}")
    return _global_average_pool(call)


@lowers(torch.mean, "mean")
def _mean(call: Call) -> Tensor:
    x, dimensions = call.image(), call.argument(1, "dim")
    if not isinstance(dimensions, (tuple, list)) or sorted(dimension % 4 for dimension in dimensions) != [2, 3]:
        raise call.unsupported(f"only the mean over height and width is supported, dim=(2, 3), not {dimensions}")
    pooled = _global_average_pool(call)
    keep = call.argument(2, "keepdim", False)
    return pooled if keep else call.emit("flatten", pooled, shape=x.shape[:2], suffix=".flatten")


def _global_average_pool(call: Call) -> Tensor:
    x = call.image()
    return call.emit("global_average_pool", x, shape=(*x.shape[:2], 1, 1))


@lowers(nn.Flatten, torch.flatten, "flatten")
def _flatten(call: Call) -> Tensor:
    x, layer = call.tensor(), call.module
    if isinstance(layer, nn.Flatten):
        first, last = layer.start_dim, layer.end_dim
    else:
        first, last = call.argument(1, "start_dim", 0), call.argument(2, "end_dim", -1)
    if first != 1 or last not in (-1, len(x.shape) - 1):
        raise call.unsupported(f"it must flatten all but the batch, start_dim=1, not start_dim={first}, end_dim={last}")
    if len(x.shape) == 2:
        return x
    if x.shape[2:] != (1, 1):
        # Memory order would differ between the layouts of the formats.
        raise call.unsupported(f"its input must be one pixel (N, C, 1, 1), not {x.shape}: pool globally first")
    return call.emit("flatten", x, shape=x.shape[:2])


@lowers(nn.Linear)
def _linear(call: Call) -> Tensor:
    layer, x = call.module, call.tensor()
    assert isinstance(layer, nn.Linear)
    if len(x.shape) != 2 or x.shape[1] != layer.in_features:
        raise call.unsupported(f"its input must have shape (N, {layer.in_features}), not {x.shape}")
    bias = np.zeros(layer.out_features, np.float32) if layer.bias is None else _array(layer.bias)
    return call.emit("linear", x, shape=(x.shape[0], layer.out_features), weight=_array(layer.weight), bias=bias)
