"""The registry of lowerings, and the Call that each of them gets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from hwnas.errors import HwnasError
from hwnas.exporter.graph.graph import Kind, Operator, Tensor
from hwnas.exporter.graph.views import Move, View, as_moves


class Recorder:
    """The operators lowered so far, and what is known of the memory that their tensors share in PyTorch.

    Views become operators when one reads them; which tensor each became is remembered.

    Args:
        taken_names: Names that no operator may have.
    """

    def __init__(self, taken_names: Iterable[str] = ()) -> None:
        self.operators: list[Operator] = []
        self.overwritten: set[Tensor] = set()
        """Tensors whose memory an in-place operation changed through another tensor: they must not be read again."""
        self._names = set(taken_names)
        self._written_out: dict[View, Tensor] = {}
        self._shuffles: dict[tuple[Tensor, int], Tensor] = {}

    def record(
        self, kind: Kind, name: str, inputs: tuple[Tensor, ...], shape: tuple[int, ...], **fields: Any
    ) -> Tensor:
        """Add an operator, under `name` or, where that is taken, `name` and a number; returns its output."""
        own, number = name, 1
        while own in self._names:
            own, number = f"{name}_{number}", number + 1
        self._names.add(own)
        output = Tensor(own, shape)
        self.operators.append(Operator(kind, own, inputs, output, **fields))
        return output

    def write_out(self, view: View) -> Tensor | None:
        """The tensor that a view amounts to, made by an operator unless it is the whole; None if there is none."""
        if view.shape == view.tensor.shape and view.is_whole:
            return view.tensor
        if view not in self._written_out:
            *before, last = as_moves(view) or (None,)
            if last is None:
                return None
            source = self._shuffled(view, before[0]) if before else view.tensor
            self._written_out[view] = self.record(last.kind, view.name, (source,), view.shape, **last.fields)
        return self._written_out[view]

    def _shuffled(self, view: View, shuffle: Move) -> Tensor:
        """The tensor of a view with its channels shuffled, once for all views that are slices of it."""
        key = view.tensor, shuffle.fields["groups"]
        if key not in self._shuffles:
            name = f"{view.name}.shuffle"
            self._shuffles[key] = self.record(shuffle.kind, name, key[:1], view.tensor.shape, **shuffle.fields)
        return self._shuffles[key]

    def overwrite(self, tensor: Tensor) -> None:
        """Note that an in-place operation changed `tensor`: so it did with every tensor that shares its memory."""
        family = {tensor}
        links = [(view.tensor, made) for view, made in self._written_out.items()]
        while True:
            larger = family | {b for a, b in links if a in family} | {a for a, b in links if b in family}
            if larger == family:
                break
            family = larger
        self.overwritten |= family


@dataclass(frozen=True)
class Call:
    """One call of a layer or function, as it was traced, and the recorder that its operators are added to.

    Args:
        name: Path of the layer, or of the module that calls the function and the function.
        target: What is called, as a person would write it: ``Conv2d``, ``flatten``.
        args: Positional arguments: a Tensor or View where the network passed one, parameters as torch tensors.
        kwargs: Named arguments.
        recorder: Everything lowered so far.
    """

    name: str
    target: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    recorder: Recorder

    def argument(self, position: int, name: str, default: Any = None) -> Any:
        """An argument of the call, by position or name."""
        return self.args[position] if position < len(self.args) else self.kwargs.get(name, default)

    def tensor(self, position: int = 0, name: str = "input") -> Tensor:
        """An argument that must be a tensor of the network. Raises HwnasError if it is anything else."""
        return self.as_tensor(self.argument(position, name), f"its argument number {position + 1}")

    def parameter(self, position: int, name: str) -> torch.Tensor:
        """An argument that must be a parameter, and so a constant. Raises HwnasError if the network computes it."""
        value = self.argument(position, name)
        if not isinstance(value, torch.Tensor):
            raise self.unsupported(f"its {name} must be a parameter, not computed from the image")
        return value

    def as_tensor(self, value: Any, what: str) -> Tensor:
        """A Tensor for a Tensor or View; `what` names it in the HwnasError for anything else."""
        if isinstance(value, View):
            tensor = self.recorder.write_out(value)
            if tensor is None:
                raise self.unsupported(
                    f"{what} is a view of shape {value.shape} on a tensor of shape {value.tensor.shape} that is not "
                    "one operator; flattening all but the batch, slices and channel shuffles are"
                )
            value = tensor
        if not isinstance(value, Tensor):
            raise self.unsupported(f"{what} must be a tensor of the network, not {_described(value)}")
        if value in self.recorder.overwritten:
            raise self.unsupported(
                f"{what} was changed by an in-place operation on a view of it; use the operation that is not in-place"
            )
        return value

    def image(self) -> Tensor:
        """The first argument, which must be (N, C, H, W). Raises HwnasError if it is not."""
        tensor = self.tensor()
        if len(tensor.shape) != 4:
            raise self.unsupported(f"its input must have shape (N, C, H, W), not {tensor.shape}")
        return tensor

    def emit(self, kind: Kind, *inputs: Tensor, shape: tuple[int, ...], suffix: str = "", **fields: Any) -> Tensor:
        """Add an operator; returns the tensor that it writes."""
        return self.recorder.record(kind, self.name + suffix, inputs, shape, **fields)

    def unsupported(self, reason: str) -> HwnasError:
        """The error for a call that has a lowering, but not with these arguments."""
        return HwnasError(f"cannot export {self.target} {self.name!r}: {reason}.")


Lowering = Callable[[Call], Any]
Lower = TypeVar("Lower", bound=Lowering)
LOWERINGS: dict[Any, Lowering] = {}
"""The lowering of every function, and by name of every method of tensors, function ``torch.<name>`` and ATen operator
that can be exported. It returns a Tensor, a View, or a tuple of these; a torch tensor, if it is a constant."""


def lowers(*targets: Any) -> Callable[[Lower], Lower]:
    """Register a lowering for functions and names. Layers need none of their own: their forward methods call these."""

    def register(lowering: Lower) -> Lower:
        LOWERINGS.update(dict.fromkeys(targets, lowering))
        return lowering

    return register


def lowering_of(func: Any) -> Lowering | None:
    """The lowering of a function, or of a name of a function of torch or a method of tensors."""
    if func in LOWERINGS:
        return LOWERINGS[func]
    if isinstance(func, torch._ops.OpOverload):
        return LOWERINGS.get(func.overloadpacket.__name__)
    name = getattr(func, "__name__", None)
    if name is None or func not in (getattr(torch.Tensor, name, None), getattr(torch, name, None)):
        return None
    return LOWERINGS.get(name)


def name_of(func: Any) -> str:
    """A function, method or attribute as a person would write it."""
    if isinstance(func, torch._ops.OpOverload):
        return str(func.overloadpacket.__name__)
    name: str = getattr(func, "__name__", str(func))
    if name in ("__get__", "__set__"):
        return str(getattr(getattr(func, "__self__", None), "__name__", name))
    return name.strip("_") if name.startswith("__") else name


def supported() -> str:
    """The functions that have a lowering, for error messages."""
    names = {target if isinstance(target, str) else target.__name__ for target in LOWERINGS}
    return (
        f"functions {', '.join(sorted(name for name in names if not name.startswith('_')))}, and layers that call these"
    )


def copied(call: Call, x: Tensor) -> Tensor:
    """A copy of a tensor: no operator will be left of it, but what changes it leaves the original as it is."""
    return call.emit("affine", x, shape=x.shape, suffix=".copy", weight=np.ones(1), bias=np.zeros(1))


def array(parameter: torch.Tensor) -> NDArray[np.float32]:
    """A float32 copy of a parameter, wherever it lives: a Graph must not change when training goes on."""
    return parameter.detach().to("cpu", torch.float32, copy=True).numpy()


def pair(value: Any) -> tuple[int, int]:
    """(vertical, horizontal) of a size that may be given once for both."""
    vertical, horizontal = (value, value) if isinstance(value, int) else value
    return (int(vertical), int(horizontal))


def _described(value: Any) -> str:
    return f"a constant of shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else repr(value)
