"""Lowerings of operators that copy an image's pixels into another picture: padding, resizing, flips, repetitions."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from hwnas.exporter.graph.graph import Tensor
from hwnas.exporter.graph.lowerings.registry import Call, lowers
from hwnas.exporter.graph.lowerings.shapes import sizes
from hwnas.exporter.graph.views import View, gathered


def _gathered(call: Call, taken: dict[int, Sequence[int]]) -> Tensor | View:
    """A copy of the first argument with these places of some axes, in this order."""
    x = call.tensor()
    places = [taken.get(axis, range(size)) for axis, size in enumerate(x.shape)]
    indices = gathered(x.shape, places)
    if not any(indices):
        return x
    return call.emit("gather", x, shape=tuple(map(len, places)), indices=indices)


@lowers("flip")
def _flip(call: Call) -> Tensor | View:
    shape = call.argument(0, "input").shape
    return _gathered(call, {axis % len(shape): range(shape[axis])[::-1] for axis in sizes(call)})


@lowers("repeat")
def _repeat(call: Call) -> Tensor | View:
    shape, times = call.argument(0, "input").shape, sizes(call)
    if len(times) != len(shape):
        raise call.unsupported(f"it must give one number for each of the {len(shape)} dimensions, not {times}")
    return _gathered(call, {axis: [*range(shape[axis])] * count for axis, count in enumerate(times)})


@lowers("index_select")
def _index_select(call: Call) -> Tensor | View:
    axis, index = call.argument(1, "dim"), call.argument(2, "index")
    if not isinstance(index, torch.Tensor):
        raise call.unsupported("its index must be a constant, not computed from the image")
    return _gathered(call, {axis % len(call.argument(0, "input").shape): index.tolist()})


_REPEATING = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
"""Ways to pad with pixels of the image -> what numpy calls them."""


@lowers(F.pad, "pad")
def _pad(call: Call) -> Tensor | View:
    mode, sizes = call.argument(2, "mode", "constant"), tuple(call.argument(1, "pad"))
    if mode == "constant":
        return _padded(call, sizes, float(call.argument(3, "value") or 0))
    if mode not in _REPEATING or min(sizes) < 0:
        raise call.unsupported(f"mode must be 'constant', 'reflect', 'replicate' or 'circular', not {mode!r}")
    x = call.image()
    pairs = {3 - number // 2: sizes[number : number + 2] for number in range(0, len(sizes), 2)}
    return _gathered(
        call,
        {axis: np.pad(np.arange(x.shape[axis]), pad, mode=_REPEATING[mode]) for axis, pad in pairs.items()},  # type: ignore[call-overload]
    )


def _padded(call: Call, sizes: tuple[int, ...], value: float) -> Tensor:
    x = call.image()
    left, right, top, bottom, first, last, *batch = (*sizes, 0, 0, 0, 0)[: max(6, len(sizes))]
    if any(batch):
        raise call.unsupported(f"only channels, height and width can be padded, not {sizes}")
    if min(left, right, top, bottom, first, last) < 0:
        raise call.unsupported(f"the padding must not be negative, as in {sizes}")
    batches, channels, height, width = x.shape
    return call.emit(
        "pad",
        x,
        shape=(batches, channels + first + last, height + top + bottom, width + left + right),
        padding=((top, bottom), (left, right)),
        channel_padding=(first, last),
        value=value,
    )


@lowers(F.interpolate, F.upsample)
def _resize(call: Call) -> Tensor | View:
    x, mode = call.image(), call.argument(3, "mode", "nearest")
    if mode in ("nearest", "nearest-exact"):
        return _resize_nearest(call, x)
    if mode != "bilinear" or call.argument(6, "antialias", False):
        raise call.unsupported(f"mode must be 'nearest', 'nearest-exact' or 'bilinear' without antialias, not {mode!r}")
    size, factor = call.argument(1, "size"), call.argument(2, "scale_factor")
    recomputed = call.argument(5, "recompute_scale_factor", None)
    if size is None:
        factors = (factor, factor) if isinstance(factor, (int, float)) else tuple(factor)
        exact = [length * scale for length, scale in zip(x.shape[2:], factors, strict=True)]
        size = tuple(math.floor(length) for length in exact)
        if list(size) != exact and not recomputed:
            raise call.unsupported(
                f"scale_factor {factor} must give whole numbers of pixels on {x.shape[2:]}: pass size"
            )
    height, width = (size, size) if isinstance(size, int) else size
    corners = bool(call.argument(4, "align_corners", False))
    shape = (*x.shape[:2], int(height), int(width))
    return call.emit("resize_bilinear", x, shape=shape, align_corners=corners)


def _resize_nearest(call: Call, x: Tensor) -> Tensor | View:
    """A resize where each pixel becomes a whole number of them, which runtimes agree on; else PyTorch's own choice of
    pixels, written out: ONNX Runtime rounds ``i / scale`` where PyTorch and TFLite round ``i * (1 / scale)``."""
    arguments = dict(zip(("size", "scale_factor", "mode"), call.args[1:4], strict=False)) | call.kwargs
    arguments.pop("input", None)
    places = torch.arange(float(math.prod(x.shape[2:]))).reshape(1, 1, *x.shape[2:])
    with warnings.catch_warnings(action="ignore"):
        chosen = F.interpolate(places, **arguments)[0, 0].long()
    rows, columns = (chosen[:, 0] // x.shape[3]).tolist(), (chosen[0] % x.shape[3]).tolist()
    times = [len(taken) // size for taken, size in zip((rows, columns), x.shape[2:], strict=True)]
    if [rows, columns] == [np.arange(n).repeat(t).tolist() for n, t in zip(x.shape[2:], times, strict=True)]:
        return call.emit("resize_nearest", x, shape=(*x.shape[:2], len(rows), len(columns)))
    return _gathered(call, {2: rows, 3: columns})
