"""A private copy of a module, to trace and to compare with: on the CPU, in float32 and evaluation mode.

`copy.deepcopy` will not do: it refuses feature maps that a network keeps, weights that are computed from others
(weight norm), locks and open files, and a network may replace it by a method of its own.
"""

from __future__ import annotations

import types
from collections import OrderedDict
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter
from torch.overrides import TorchFunctionMode

from hwnas.errors import HwnasError, UsageError


def module_copy(module: nn.Module) -> nn.Module:
    """A copy that computes the same as `module` at inference, in memory of its own: its changes leave the module alone.

    Attributes that nobody can copy (locks, open files, generators) are shared. What merely hands its arguments on to
    another module (`nn.DataParallel`, `torch.compile`) becomes a module that does so without devices or compilers.

    Raises UsageError for what is no module; HwnasError if its weights have no values yet, or it is TorchScript.
    """
    if not isinstance(module, nn.Module):
        raise UsageError(f"what is exported is a torch.nn.Module, not a {type(module).__name__}.")
    memo: dict[int, Any] = {}
    copied = _module(module, memo)
    try:
        return copied.eval()
    except NotImplementedError:  # what torch.export makes: it has the one mode that it was exported in
        return copied


class Wrapper(nn.Module):
    """Hands its arguments on to the one module in it."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        (inner,) = self._modules.values()
        assert inner is not None
        return inner(*args, **kwargs)


def _is_wrapper(module: nn.Module) -> bool:
    wrappers = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    return (
        isinstance(module, wrappers) or type(module).__name__ == "OptimizedModule"
    )  # importing that one takes seconds


def _module(module: nn.Module, memo: dict[int, Any]) -> nn.Module:
    if isinstance(module, torch.jit.ScriptModule):
        raise HwnasError(
            f"cannot export {getattr(module, 'original_name', type(module).__name__)}: it is TorchScript "
            "(torch.jit.script or torch.jit.trace), whose layers cannot be looked into. Export the module that it was "
            "made from."
        )
    own = vars(module)
    if _is_wrapper(module):
        copied: nn.Module = Wrapper()
        own = {name: value for name, value in own.items() if name in vars(copied)}
    else:
        copied = object.__new__(type(module))
    memo[id(module)] = copied
    vars(copied).update({name: _copy(value, memo) for name, value in own.items()})
    vars(copied)["_compiled_call_impl"] = None  # what Module.compile() leaves: the forward method is what counts
    return copied


def _copy(value: Any, memo: dict[int, Any]) -> Any:
    """A copy that shares what is in `memo`, and what cannot be copied."""
    if value is None or isinstance(value, (bool, int, float, str, type, types.FunctionType)):
        return value
    if id(value) not in memo:
        memo[id(value)] = _copied(value, memo)
    return memo[id(value)]


def _copied(value: Any, memo: dict[int, Any]) -> Any:
    if isinstance(value, nn.Module):
        return _module(value, memo)
    if isinstance(value, torch.Tensor):
        return _tensor(value)
    kind = type(value)
    if kind in (list, tuple, set):
        return kind(_copy(one, memo) for one in value)
    if kind in (dict, OrderedDict):
        return kind((key, _copy(one, memo)) for key, one in value.items())
    if kind is types.MethodType:
        return types.MethodType(value.__func__, _copy(value.__self__, memo))
    if _is_plain_object(value):
        memo[id(value)] = copied = object.__new__(kind)
        vars(copied).update({name: _copy(one, memo) for name, one in vars(value).items()})
        return copied
    try:
        with _TensorsDetached():
            return deepcopy(value, memo)
    except Exception:  # its class may do anything, and it is the network's own: what it computes is compared later
        return value


def _is_plain_object(value: Any) -> bool:
    """Whether all that there is to an object is its attributes."""
    kind = type(value)
    changed: list[Callable[..., Any]] = [kind.__new__, kind.__reduce_ex__, kind.__reduce__]
    plain: list[Callable[..., Any]] = [object.__new__, object.__reduce_ex__, object.__reduce__]
    slots = any("__slots__" in vars(base) for base in kind.__mro__[:-1])
    return changed == plain and hasattr(value, "__dict__") and not slots and not hasattr(kind, "__deepcopy__")


class _TensorsDetached(TorchFunctionMode):
    """Lets deepcopy copy tensors that were computed from others too."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _tensor(args[0]) if func is torch.Tensor.__deepcopy__ else func(*args, **(kwargs or {}))


def _tensor(tensor: torch.Tensor) -> torch.Tensor:
    if isinstance(tensor, (UninitializedBuffer, UninitializedParameter)):
        raise HwnasError(
            "cannot export a network with lazy layers that never saw an image: their weights have no shape. Call it "
            "once on an image of the size that it is for, and export it then."
        )
    if tensor.is_meta:
        raise HwnasError(
            "cannot export a network whose weights are on the meta device: they have no values. Load the weights first."
        )
    dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
    copied = tensor.detach().to("cpu", dtype, copy=True)
    return nn.Parameter(copied, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else copied
