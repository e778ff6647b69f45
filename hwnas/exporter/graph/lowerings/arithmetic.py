"""Lowerings of + - * / between tensors of the network, and with numbers and parameters."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hwnas.exporter.graph.graph import Kind, Tensor
from hwnas.exporter.graph.lowerings.registry import Call, array, lowers
from hwnas.exporter.graph.views import View

Constant = np.ndarray


@lowers("add", "add_", "__add__", "__radd__", "__iadd__")
def _add(call: Call) -> Tensor:
    return _sum(call, "add")


@lowers("sub", "sub_", "subtract", "subtract_", "__sub__", "__isub__")
def _subtract(call: Call) -> Tensor:
    return _sum(call, "subtract")


@lowers("rsub", "__rsub__")
def _reverse_subtract(call: Call) -> Tensor:
    x, y = _operands(call)
    return _difference(call, y, x)


@lowers("mul", "mul_", "multiply", "multiply_", "__mul__", "__rmul__", "__imul__")
def _multiply(call: Call) -> Tensor:
    x, y = _operands(call)
    if isinstance(x, Constant):
        x, y = y, x
    return _with_constant(call, "multiply", x, y) if isinstance(y, Constant) else _binary(call, "multiply", x, y)


@lowers("div", "div_", "divide", "true_divide", "__truediv__", "__div__", "__idiv__", "__itruediv__")
def _divide(call: Call) -> Tensor:
    x, y = _operands(call)
    if not isinstance(y, Constant):
        raise call.unsupported("only divisions by a number or a parameter are supported")
    if call.kwargs.get("rounding_mode") is not None:
        raise call.unsupported("rounding_mode must be None")
    return _with_constant(call, "multiply", x, 1 / y)


@lowers("pow", "pow_", "square", "square_", "__pow__")
def _square(call: Call) -> Tensor:
    exponent = call.argument(1, "exponent", 2)
    if exponent != 2:
        raise call.unsupported(f"only squares are supported, not the power {exponent}")
    x = call.tensor()
    return call.emit("multiply", x, x, shape=x.shape)


@lowers("neg", "negative", "__neg__")
def _negative(call: Call) -> Tensor:
    return _with_constant(call, "multiply", call.tensor(), np.array(-1.0))


def _sum(call: Call, kind: Kind) -> Tensor:
    alpha = call.kwargs.get("alpha", 1)
    if alpha != 1:
        raise call.unsupported(f"alpha must be 1, not {alpha}")
    x, y = _operands(call)
    if kind == "subtract":
        return _difference(call, x, y)
    if isinstance(x, Constant):
        x, y = y, x
    return _with_constant(call, "add", x, y) if isinstance(y, Constant) else _binary(call, "add", x, y)


def _difference(call: Call, x: Any, y: Any) -> Tensor:
    if isinstance(y, Constant):
        return _with_constant(call, "add", x, -y)
    if isinstance(x, Constant):
        negative = _with_constant(call, "multiply", y, np.array(-1.0), suffix=".negative")
        return _with_constant(call, "add", negative, x)
    return _binary(call, "subtract", x, y)


def _operands(call: Call) -> tuple[Any, Any]:
    """Both operands: a Tensor or View each, or a float64 array for a number or parameter."""
    first, second = (_operand(call, position, name) for position, name in enumerate(("input", "other")))
    if isinstance(first, Constant) and isinstance(second, Constant):
        raise call.unsupported("one operand must be a tensor of the network")
    return first, second


def _operand(call: Call, position: int, name: str) -> Any:
    value = call.argument(position, name)
    if isinstance(value, torch.Tensor):
        return array(value).astype(np.float64)
    if isinstance(value, (int, float, np.number, np.ndarray)):
        return np.array(value, np.float64)
    if isinstance(value, View) and is_broadcast(value):
        return value
    return call.as_tensor(value, f"its argument number {position + 1}")


def is_broadcast(view: View) -> bool:
    """Whether a view is its whole tensor, repeated as broadcasting does it: what `expand` makes."""
    whole = view.tensor.shape
    if len(whole) != len(view.shape) or whole == view.shape:
        return False
    if not _fits(whole, view.shape):
        return False
    places = np.arange(math.prod(whole), dtype=np.int32).reshape(whole)
    return np.array_equal(np.broadcast_to(places, view.shape), view.index)


def _binary(call: Call, kind: Kind, x: Tensor | View, y: Tensor | View) -> Tensor:
    """An operator on two tensors of the network."""
    if len(x.shape) != len(y.shape):
        raise call.unsupported(f"both tensors must have as many dimensions, not the shapes {x.shape} and {y.shape}")
    try:
        shape = np.broadcast_shapes(x.shape, y.shape)
    except ValueError:
        raise call.unsupported(f"the shapes {x.shape} and {y.shape} do not fit each other") from None
    tensors = [call.as_tensor(z.tensor if isinstance(z, View) else z, "an operand") for z in (x, y)]
    if shape not in (tensors[0].shape, tensors[1].shape):
        raise call.unsupported(f"one tensor must have the shape of the result {shape}, not {x.shape} and {y.shape}")
    return call.emit(kind, *tensors, shape=shape)


def _fits(shape: tuple[int, ...], whole: tuple[int, ...]) -> bool:
    """Whether a constant of `shape`, repeated, has the shape `whole`."""
    sizes = zip(reversed(shape), reversed(whole), strict=False)
    return len(shape) <= len(whole) and all(small in (1, large) for small, large in sizes)


def _with_constant(call: Call, kind: Kind, x: Any, constant: NDArray[np.float64], suffix: str = "") -> Tensor:
    """An operator on a tensor and a constant: an affine where the constant has one value per channel, or one in all."""
    x = call.as_tensor(x, "an operand")
    rank = len(x.shape)
    if not _fits(constant.shape, x.shape):
        raise call.unsupported(f"a constant of shape {constant.shape} must fit the tensor's shape {x.shape}")
    full = constant.reshape((1,) * (rank - constant.ndim) + constant.shape)
    if full.size != full.shape[1]:
        return call.emit(kind, x, shape=x.shape, suffix=suffix, constant=full.astype(np.float32))
    values = full.ravel()
    scale, shift = (values, np.zeros(1)) if kind == "multiply" else (np.ones(1), values)
    return call.emit("affine", x, shape=x.shape, suffix=suffix, weight=scale, bias=shift)
