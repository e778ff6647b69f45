"""Trace a PyTorch module: run its forward once on a stand-in for the image, lowering every call as it is made.

The stand-ins know their shapes, so that a network may compute with them: ``x.view(x.size(0), -1)``,
``F.interpolate(x, size=y.shape[2:])``, loops and branches on sizes. Only their numbers are unknown.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import torch
from torch import fx, nn

from hwnas.errors import HwnasError
from hwnas.export.graph import Operator, Tensor
from hwnas.export.lowerings import LOWERINGS, Call, Lowering, Recorder, supported
from hwnas.export.views import View

_IN_PLACE_OPERATORS = (operator.iadd, operator.isub, operator.imul, operator.itruediv)


def trace(module: nn.Module, graph_input: Tensor, taken_names: set[str]) -> tuple[list[Operator], Tensor]:
    """The operators that `module` runs on `graph_input`, nothing folded yet, and the tensor that it returns.

    Args:
        module: In evaluation mode.
        graph_input: What its forward is called with.
        taken_names: Names that no operator may have.

    Raises:
        HwnasError: If a layer or function has no lowering (named with its path), the calls depend on the numbers in the
            image, or the module takes or returns anything but one tensor.
    """
    tracer = _Tracer(graph_input, taken_names)
    try:
        with torch.no_grad():
            tracer.trace(module)
    except HwnasError:
        raise
    except Exception as error:  # the forward method is the user's: it may raise anything
        raise HwnasError(
            f"cannot export {type(module).__name__}: its forward method cannot be traced ({error}). It must make the "
            "same calls for every image of this size: no branches, loops or arithmetic on the values of tensors."
        ) from error
    result = tracer.result
    if not isinstance(result, StandIn):
        raise HwnasError(f"a network must return one tensor to be exported; this {type(module).__name__} does not.")
    returned = Call("output", "the result of", None, (result.value,), {}, tracer.recorder).tensor()
    return tracer.recorder.operators, returned


class StandIn(fx.Proxy):
    """What a network gets in place of a tensor: it has a shape, and every call on it is lowered."""

    def __init__(self, tracer: _Tracer, value: Tensor | View) -> None:
        # functions that fx was told not to look into get notes on the node of their result
        super().__init__(SimpleNamespace(meta={}), tracer)  # type: ignore[arg-type]
        self.value = value

    @property
    def shape(self) -> torch.Size:
        return torch.Size(self.value.shape)

    def size(self, dim: int | None = None) -> Any:
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int:
        return len(self.value.shape)

    ndim = property(dim)

    def numel(self) -> int:
        return self.shape.numel()

    @property
    def dtype(self) -> torch.dtype:
        return torch.float32

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def __iadd__(self, other: Any) -> Any:  # fx itself would take these for their versions that make a new tensor
        return self.tracer.create_proxy("call_function", operator.iadd, (self, other), {})

    def __isub__(self, other: Any) -> Any:
        return self.tracer.create_proxy("call_function", operator.isub, (self, other), {})

    def __imul__(self, other: Any) -> Any:
        return self.tracer.create_proxy("call_function", operator.imul, (self, other), {})

    def __itruediv__(self, other: Any) -> Any:
        return self.tracer.create_proxy("call_function", operator.itruediv, (self, other), {})

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"a tensor of shape {tuple(self.shape)}"


class _Tracer(fx.Tracer):
    """Lowers each call, instead of recording it for later."""

    def __init__(self, graph_input: Tensor, taken_names: set[str]) -> None:
        super().__init__()
        self.recorder = Recorder(taken_names)
        self.result: Any = None
        self._input = graph_input
        self._stand_ins: list[StandIn] = []

    def create_args_for_root(
        self, root_fn: Callable[..., Any], is_module: bool, concrete_args: Any = None
    ) -> tuple[Any, list[Any]]:
        """The forward function and what it is called with: the module, and a stand-in for its one input."""
        names = [
            name
            for name, parameter in list(inspect.signature(root_fn).parameters.items())[1:]
            if parameter.default is parameter.empty and parameter.kind != parameter.VAR_KEYWORD
        ]
        if len(names) != 1:
            kind = type(self.root).__name__
            raise HwnasError(f"cannot export {kind}: it must take one input, the image, not {names}.")
        return root_fn, [self.root, self._stand_in(self._input)]

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        return attr_val  # parameters are constants

    def create_arg(self, a: Any) -> Any:
        return a  # the result of the network; fx would make graph nodes of it

    def create_node(self, kind: str, target: Any, args: Any, *_: Any, **__: Any) -> Any:
        """Called by fx for the result alone: all else goes through `create_proxy`."""
        self.result = args[0]

    def create_proxy(self, kind: str, target: Any, args: Any, kwargs: Any, *_: Any, **__: Any) -> Any:
        """Lower one call; its result comes back as stand-ins where it is made of tensors."""
        call = self._call(kind, target, _values(args), _values(kwargs))
        key = target if call.module is None else type(call.module)
        if call.module is not None and (call.module._forward_hooks or call.module._forward_pre_hooks):
            raise call.unsupported(
                "it has forward hooks, which may change its weights or its result; remove them, as with "
                "torch.nn.utils.remove_weight_norm"
            )
        result = _lowering(key, call)(call)
        if _works_in_place(key, call):
            self._overwrite(call.argument(0, "input"), result)
        return tuple(map(self._stand_in, result)) if isinstance(result, tuple) else self._stand_in(result)

    def _call(self, kind: str, target: Any, args: Any, kwargs: Any) -> Call:
        """The call, named by the path of the layer or of the module that calls a function."""
        module = self.root.get_submodule(target) if kind == "call_module" else None
        if module is not None:
            called, path = type(module).__name__, str(target)
        else:
            called = getattr(target, "__name__", str(target))
            callers = [path for path, _type in self.module_stack.values()]
            path = f"{callers[-1]}.{called}" if callers else called
        return Call(path, called, module, args, kwargs, self.recorder)

    def _stand_in(self, value: Tensor | View) -> StandIn:
        self._stand_ins.append(StandIn(self, value))
        return self._stand_ins[-1]

    def _overwrite(self, before: Tensor | View, after: Tensor) -> None:
        """Let whoever holds `before` see `after`: an in-place operation writes into the memory that they share."""
        if isinstance(before, Tensor) and before == after:
            return
        if before.shape != after.shape:
            raise HwnasError(f"cannot export {after.name!r}: it changes the shape {before.shape} in place.")
        self.recorder.overwrite(before.tensor if isinstance(before, View) else before)
        for holder in self._stand_ins:
            value = holder.value
            if value is before or value == before:
                holder.value = after
            elif isinstance(value, View) and value.tensor == before:
                holder.value = replace(value, tensor=after)


def _values(argument: Any) -> Any:
    """Arguments with what the stand-ins stand for."""
    return fx.node.map_aggregate(argument, lambda a: a.value if isinstance(a, StandIn) else a)


def _works_in_place(key: Any, call: Call) -> bool:
    """Whether a call overwrites its first argument, as PyTorch's names tell."""
    if getattr(call.module, "inplace", False) or call.kwargs.get("inplace", False) or key in _IN_PLACE_OPERATORS:
        return True
    return call.module is None and call.target.endswith("_") and not call.target.endswith("__")


def _lowering(key: Any, call: Call) -> Lowering:
    """The lowering of a call. Raises HwnasError, naming the layer and what is supported, if there is none."""
    for known in (key, call.target if call.module is None else None):
        if known in LOWERINGS:
            return LOWERINGS[known]
    raise HwnasError(
        f"cannot export {call.target} {call.name!r}: no lowering for it. Supported are: {supported()}. "
        "Build the network from these, or add a lowering to hwnas/export/lowerings/."
    )
