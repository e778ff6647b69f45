"""Check a written model against PyTorch, number for number: the whole network, and each of its blocks alone.

The blocks are checked alone because a whole network hides mistakes: zeros on the wrong side of one depthwise
convolution change the block's result by 97 %, that of an untrained network by 0.5 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hwnas.errors import HwnasError, UsageError
from hwnas.exporter.graph.lower import lower
from hwnas.exporter.graph.module_copy import module_copy
from hwnas.exporter.graph.pytorch import outputs_of
from hwnas.exporter.model_file.format import Format
from hwnas.exporter.precision import LIMIT
from hwnas.runtimes import get_runtime

HALF_A_STEP = 2.0**-24
"""How far rounding to float32 takes a number at most, relative to it."""

TIMES_OWN_ERROR = 4.0
"""Some networks magnify rounding, so that PyTorch's float32 is itself further than `LIMIT` off its float64. A file that
is as exact as PyTorch is up to twice that off PyTorch; as much again is left for luck."""


@dataclass(frozen=True)
class Parity:
    """How exactly a file computes what the PyTorch module does: ``max|difference| / max|output|``.

    Args:
        random: On a random input; None for int8, whose ranges are those of images.
        images: On the calibration images; None without images.
        signal_to_noise_db: On these images (or on the random input): PyTorch's outputs over the differences to them.
        tflite_runtime: `random` in the second TFLite interpreter, where it is installed and the file computes in
            float32.
    """

    random: float | None
    images: float | None
    signal_to_noise_db: float
    tflite_runtime: float | None = None

    @property
    def worst(self) -> float:
        """The largest of its errors."""
        errors = [error for error in (self.random, self.images, self.tflite_runtime, 0.0) if error is not None]
        return math.nan if any(map(math.isnan, errors)) else max(errors)


def check_parity(module: nn.Module, input_shape: tuple[int, ...], format: Format, model: bytes) -> float:
    """Compare `model` with the `module` it was written from, and likewise every block, written alone.

    A block is a member of a container that is called ``blocks``. It is given an input of the shape that it has in the
    network, and what else it is called with there; one that takes or returns more than one tensor, or cannot be lowered
    without the others, is checked as part of the whole alone. Inputs are standard normal, the same in every call.

    Args:
        module: The network on the CPU, in float32 and evaluation mode.
        input_shape: (N, C, H, W).
        format: Of `model`, and of the files of the blocks.
        model: The file that was written for the whole network.

    Returns:
        The largest relative error found.

    Raises:
        HwnasError: If an error is above `exact_limit` or not a number; it names the block, the error and the limit.
            If PyTorch itself does not give the same output twice.
    """
    errors = []
    for path, (block, shape) in _blocks(module, input_shape).items():
        try:
            graph = lower(block, shape)
        except (HwnasError, UsageError):
            continue
        if graph.operators:
            what = f"block {path} ({type(block.block).__name__})"
            errors.append(_check(block, shape, format, format.write(graph), what))
    _check_repeats(module, input_shape)
    # The whole comes last: where a block is at fault, the error should name the block.
    return max(*errors, _check(module, input_shape, format, model, f"the {type(module).__name__}"), 0.0)


def relative_error(actual: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """``max|actual - expected| / max|expected|``: infinite where only zeros were expected and others came."""
    difference, scale = float(np.abs(actual - expected).max()), float(np.abs(expected).max())
    if scale == 0:
        return 0.0 if difference == 0 else float("inf")
    return difference / scale


def exact_limit(module: nn.Module, x: NDArray[np.float32]) -> float:
    """How far from PyTorch's outputs for `x` those of an exact float32 file may be: `LIMIT`, or more where the network
    magnifies the rounding of sums, or of weights that a batch norm is folded into. The module is left as it was."""
    try:
        with torch.inference_mode():
            single = module(torch.from_numpy(x.copy())).numpy()
            double = module_copy(module).double()(torch.from_numpy(x).double()).numpy()
            rounded = _with_rounded_weights(module_copy(module).double())(torch.from_numpy(x).double()).numpy()
    except Exception:  # it holds or makes tensors that do not become float64
        return LIMIT
    own_error = max(relative_error(single, double), relative_error(rounded, double))
    return max(LIMIT, TIMES_OWN_ERROR * own_error) if np.isfinite(own_error) else LIMIT


def _with_rounded_weights(module: nn.Module) -> nn.Module:
    """The module with every weight off by as much as rounding to float32 may do, up or down by chance."""
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        signs = torch.randint(0, 2, parameter.shape, generator=generator) * 2 - 1
        parameter.data.mul_(1 + HALF_A_STEP * signs)
    return module


def _check_repeats(module: nn.Module, input_shape: tuple[int, ...]) -> None:
    """Raise HwnasError if the network gives another output for the same image when it is called again."""
    x = np.random.default_rng(0).standard_normal(input_shape, dtype=np.float32)
    first, second = outputs_of(module, x), outputs_of(module, x)
    if first.shape != second.shape or relative_error(first, second) > LIMIT:
        raise HwnasError(
            f"cannot export {type(module).__name__}: PyTorch gives two outputs for one image, so it draws random "
            "numbers or keeps something from call to call. Make the output depend on the image alone."
        )


def _check(module: nn.Module, input_shape: tuple[int, ...], format: Format, model: bytes, what: str) -> float:
    """Relative error of `model` against `module` on one random input. Raises HwnasError if it is above the limit."""
    x = np.random.default_rng(0).standard_normal(input_shape, dtype=np.float32)
    expected = outputs_of(module, x)
    actual = get_runtime(format.runtime).load(model, threads=1).run(x)
    if actual.shape != expected.shape:
        raise HwnasError(f"{what} returns shape {expected.shape} in PyTorch and {actual.shape} as .{format.name}.")
    error = relative_error(actual, expected)
    if not error <= LIMIT and not error <= (limit := exact_limit(module, x)):
        raise HwnasError(
            f"{what} computes something else as .{format.name} than in PyTorch: on a random {input_shape} input, "
            f"{format.runtime}'s relative error (max|difference| / max|output|) is {error:.1e}, the limit {limit:.0e}. "
            "Nothing was exported. Check that its weights are finite; if they are, report this with the network."
        )
    return error


class _Block(nn.Module):
    """A block called as the network calls it, but for the one tensor that it gets.

    Args:
        block: The module.
        args, kwargs: Its arguments, None in place of the tensor.
        place: Position or name of the tensor.
    """

    def __init__(self, block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], place: int | str) -> None:
        super().__init__()
        self.block, self._args, self._kwargs, self._place = block, args, kwargs, place

    def forward(self, x: torch.Tensor) -> Any:
        args = tuple(x if place == self._place else value for place, value in enumerate(self._args))
        return self.block(*args, **{name: x if name == self._place else v for name, v in self._kwargs.items()})


def _blocks(module: nn.Module, input_shape: tuple[int, ...]) -> dict[str, tuple[_Block, tuple[int, ...]]]:
    """Path of each block that gets one tensor -> the block and the shape of its input, from one run of the network."""
    paths = {
        child: f"{owner}.{name}".removeprefix(".")
        for owner, blocks in module.named_modules()
        if isinstance(blocks, (nn.ModuleList, nn.ModuleDict, nn.Sequential)) and owner.split(".")[-1] == "blocks"
        for name, child in blocks.named_children()
    }
    found: dict[str, tuple[_Block, tuple[int, ...]]] = {}

    def record(block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given: list[tuple[int | str, Any]] = [*enumerate(args), *kwargs.items()]
        tensors = [(place, value) for place, value in given if isinstance(value, torch.Tensor)]
        if len(tensors) == 1:
            (place, tensor), *_ = tensors
            others = tuple(None if value is tensor else value for value in args)
            named = {name: None if value is tensor else value for name, value in kwargs.items()}
            found[paths[block]] = (_Block(block, others, named, place), tuple(tensor.shape))

    hooks = [block.register_forward_pre_hook(record, with_kwargs=True) for block in paths]
    try:
        outputs_of(module, np.zeros(input_shape, np.float32))
    finally:
        for hook in hooks:
            hook.remove()
    return found
