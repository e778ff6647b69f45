"""Trace a PyTorch module: run its forward once on a stand-in for the image, lowering every call as it is made.

The stand-ins are tensors, with shape, type and device; only their numbers are unknown. So a network may ask them about
all that: ``x.view(x.size(0), -1)``, ``x.to(weight.dtype)``, ``isinstance(x, torch.Tensor)``, branches on sizes.
PyTorch tells us of a call twice: as the network makes it, and, where that has no lowering, as the ATen operators that
PyTorch makes of it. What reaches neither a lowering nor an operator never touches numbers, so PyTorch answers it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NoReturn

import torch
from torch import nn

from hwnas.errors import HwnasError
from hwnas.exporter.graph.graph import Operator, Tensor
from hwnas.exporter.graph.lowerings import Call, Lowering, Recorder, lowering_of, name_of, supported
from hwnas.exporter.graph.pytorch import line_of_the_user
from hwnas.exporter.graph.views import View


def trace(module: nn.Module, graph_input: Tensor, taken_names: set[str]) -> tuple[list[Operator], Tensor]:
    """The operators that `module` runs on `graph_input`, nothing folded yet, and the tensor that it returns.

    Args:
        module: In evaluation mode, on the CPU. It gets hooks, and may keep its values: pass a copy.
        graph_input: The argument of its forward.
        taken_names: Names that no operator may have.

    Raises:
        HwnasError: If a layer or function has no lowering (named with its path), the calls depend on the numbers in the
            image, or the module takes or returns anything but one tensor.
    """
    tracer = _Tracer(module, graph_input, taken_names)
    kind = type(module).__name__
    try:
        with torch.no_grad():
            result = module(tracer.input)
    except Exception as error:  # the forward method is the user's: it may raise anything
        where = line_of_the_user(error.__traceback__)
        refusal = tracer.refusal
        if refusal is not None:  # TorchScript, say, wraps what it did not raise itself
            raise HwnasError(f"{refusal}{where}") from error
        raise HwnasError(
            f"cannot export {kind}: its forward method cannot be traced ({error}). It must make the same calls for "
            f"every image of this size: no branches, loops or arithmetic on the values of tensors.{where}"
        ) from error
    if not isinstance(result, StandIn):
        found = f"it returns a {type(result).__name__}"
        if isinstance(result, torch.Tensor):
            found = "its output does not depend on its input"
        raise HwnasError(
            f"a network must return one tensor to be exported; this {kind} does not: {found}. Export a module whose "
            "forward method picks the one tensor that you need."
        )
    returned = Call("output", "the result of", (result.value,), {}, tracer.recorder).tensor()
    return tracer.recorder.operators, returned


class StandIn(torch.Tensor):
    """Stands in for a tensor of numbers: every call on it is lowered.

    It stands for `value`; `tracer` lowers.
    """

    value: Tensor | View
    tracer: _Tracer

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _tracer_of((args, kwargs)).function(func, args, kwargs or {})

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _tracer_of((args, kwargs)).operator(func, args, kwargs or {})

    def __repr__(self) -> str:  # type: ignore[override]
        return f"a tensor of shape {tuple(self.shape)}"


class _Tracer:
    """Lowers each call as it is made.

    Args:
        root: The module to trace.
        graph_input: Its argument.
        taken_names: Names that no operator may have.
    """

    def __init__(self, root: nn.Module, graph_input: Tensor, taken_names: set[str]) -> None:
        self.recorder = Recorder(taken_names)
        self.refusal: HwnasError | None = None
        """The first call that could not be lowered."""
        self._stand_ins: list[StandIn] = []
        self._entered: list[nn.Module] = []
        self._running: list[Call] = []
        self._paths = {layer: path for path, layer in root.named_modules()}
        for layer in self._paths:
            layer.register_forward_pre_hook(self._enter, prepend=True)
            layer.register_forward_hook(self._leave, always_call=True)
        self.input = self._stand_in(graph_input)

    def function(self, func: Any, args: Any, kwargs: Any) -> Any:
        """A call that the network makes: lowered if it can be, else made, which leads to `operator` if it computes."""
        lowering = lowering_of(func)
        call = self._call(func, args, kwargs)
        if lowering is not None:
            return self._lowered(lowering, call, args)
        if isinstance(func, torch._ops.OpOverload):
            self._refuse(
                HwnasError(
                    f"cannot export {call.name!r}: it is an operator of ATen, which torch.export makes of a module. "
                    "Export the module that it was made from."
                )
            )
        self._running.append(call)
        try:
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **kwargs)
        except RuntimeError as error:
            if self.refusal is None and func in _READS_NUMBERS:
                self._refuse(_depends_on_numbers(call))
            raise error
        finally:
            self._running.pop()

    def operator(self, func: Any, args: Any, kwargs: Any) -> Any:
        """An ATen operator that PyTorch makes of a call without a lowering."""
        lowering = lowering_of(func)
        own = self._call(func, args, kwargs)
        call = self._running[-1] if self._running else own
        if lowering is not None:
            return self._lowered(lowering, replace(own, name=call.name, target=call.target), args)
        makes_tensors = any("Tensor" in str(returned.type) for returned in func._schema.returns)
        self._refuse(_has_no_lowering(call) if makes_tensors else _depends_on_numbers(call))
        return None

    def _lowered(self, lowering: Lowering, call: Call, args: Any) -> Any:
        """The result of a call, as stand-ins where it is made of tensors of the network."""
        try:
            if torch.is_autocast_enabled("cpu"):
                raise call.unsupported("autocast computes in another type than the float32 of files; leave it out")
            if call.kwargs.get("out") is not None:
                raise call.unsupported("it writes into another tensor (out=...); use its result instead")
            result = lowering(call)
            if not _works_in_place(call):
                return self._stand_ins_for(result)
            self._overwrite(call.argument(0, "input"), result)
        except HwnasError as error:
            self._refuse(error)
        return args[0] if args else call.kwargs["input"]

    def _refuse(self, error: HwnasError) -> NoReturn:
        self.refusal = self.refusal or error
        raise error

    def _call(self, func: Any, args: Any, kwargs: Any) -> Call:
        """The call, named by the path of PyTorch's own layer that makes it, or of another module and the function."""
        called = name_of(func)
        layer = self._entered[-1] if self._entered else None
        path = self._paths.get(layer, "") if layer is not None else ""
        if layer is not None and _is_own_layer(layer):
            kind = type(layer).__name__
            return Call(path or kind.lower(), kind, _values(args), _values(kwargs), self.recorder)
        return Call(f"{path}.{called}" if path else called, called, _values(args), _values(kwargs), self.recorder)

    def _enter(self, module: nn.Module, _args: Any) -> None:
        self._entered.append(module)

    def _leave(self, _module: nn.Module, _args: Any, _result: Any) -> None:
        self._entered.pop()

    def _stand_ins_for(self, result: Any) -> Any:
        if isinstance(result, (Tensor, View)):
            return self._stand_in(result)
        return type(result)(map(self._stand_ins_for, result)) if isinstance(result, (tuple, list)) else result

    def _stand_in(self, value: Tensor | View) -> StandIn:
        made = torch.Tensor._make_wrapper_subclass(StandIn, value.shape, dtype=torch.float32, device=_CPU)
        made.value, made.tracer = value, self
        self._stand_ins.append(made)
        return made

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


_CPU = torch.device("cpu")
_READS_NUMBERS = {getattr(torch.Tensor, name) for name in ("__bool__", "__float__", "__int__", "__index__")} | {
    getattr(torch.Tensor, name) for name in ("item", "tolist", "numpy", "__array__")
}
"""Calls that PyTorch itself refuses for a stand-in."""


def _has_no_lowering(call: Call) -> HwnasError:
    return HwnasError(
        f"cannot export {call.target} {call.name!r}: no lowering for it. Supported are: {supported()}. "
        "Build the network from these, or add a lowering to hwnas/exporter/graph/lowerings/."
    )


def _depends_on_numbers(call: Call) -> HwnasError:
    return HwnasError(
        f"cannot export {call.target} {call.name!r}: it makes Python values of the numbers in the image, which are "
        "others in every image, while a file makes the same calls for all. Write it with operations on tensors, or "
        "leave it out at inference."
    )


def _is_own_layer(module: nn.Module) -> bool:
    """Whether a module is one of PyTorch's that compute, not one that holds others."""
    return type(module).__module__.startswith("torch.nn.modules") and not module._modules


def _values(argument: Any) -> Any:
    """Arguments with the values that the stand-ins stand for."""
    if isinstance(argument, StandIn):
        return argument.value
    if type(argument) in (tuple, list):
        return type(argument)(map(_values, argument))
    return {name: _values(value) for name, value in argument.items()} if type(argument) is dict else argument


def _tracer_of(arguments: Any) -> _Tracer:
    """The tracer of the first stand-in among the arguments of a call."""
    return next(_stand_ins_among(arguments)).tracer


def _stand_ins_among(arguments: Any) -> Iterator[StandIn]:
    if isinstance(arguments, StandIn):
        yield arguments
    elif isinstance(arguments, (tuple, list, dict)):
        for argument in arguments.values() if isinstance(arguments, dict) else arguments:
            yield from _stand_ins_among(argument)


def _works_in_place(call: Call) -> bool:
    """Whether a call overwrites its first argument, as PyTorch's names tell."""
    return bool(call.kwargs.get("inplace", False)) or (call.target.endswith("_") and not call.target.endswith("__"))
