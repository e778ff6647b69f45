"""A Choice: the weights of one decision in one place of a SuperNetwork, and the ways in which a pass can use them.

A decision that stands in several places, such as an edge of a cell that is repeated, has a Choice in each, with weights
of its own; what is selected, and the logits, belong to the decision's name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from hwnas.blocks import build_block
from hwnas.space import OneOf
from hwnas.specs.cell import Zero
from hwnas.specs.spec import Spec


class Choice(nn.Module):
    """The weights of a decision in one place: a block per candidate (`Candidates`) or one that holds all of them.

    Attributes:
        one_of: the decision, with the channels of this place.
    """

    one_of: OneOf

    def run_candidate(self, x: Tensor, index: int) -> Tensor:
        """(N, in, H, W) -> (N, out, H', W'): the output of one candidate, on the weights that are here."""
        raise NotImplementedError

    def run_mixture(self, x: Tensor, weights: Tensor) -> Tensor:
        """The sum of the outputs of all candidates, weighted.

        What adds nothing does not run: a `Zero`, and, where the weights need no gradient, a candidate of weight 0.
        """
        candidates = self.one_of.candidates
        adding = [
            weight * self.run_candidate(x, k)
            for k, weight in enumerate(weights.unbind())
            if not isinstance(candidates[k], Zero) and (weight.requires_grad or bool(weight))
        ]
        return reduce(torch.add, adding) if adding else self.run_candidate(x, 0) * 0.0

    def child_state(self, spec: Spec, block: nn.Module) -> Mapping[str, Tensor]:
        """The weights and statistics for `block`, the module of the candidate `spec` in a child."""
        raise NotImplementedError


class Candidates(Choice, nn.ModuleList):
    """A block for each candidate, with weights of its own."""

    def __init__(self, one_of: OneOf) -> None:
        super().__init__()
        self.one_of = one_of
        self.extend(map(build_block, one_of.candidates))

    def run_candidate(self, x: Tensor, index: int) -> Tensor:
        output: Tensor = self[index](x)
        return output

    def child_state(self, spec: Spec, block: nn.Module) -> Mapping[str, Tensor]:
        return self[self.one_of.index(spec)].state_dict()


def choices_in(module: nn.Module) -> Iterator[Choice]:
    """Every Choice in a module, however deep, in the order in which they stand."""
    return (part for part in module.modules() if isinstance(part, Choice))


class Selection(Protocol):
    """How one pass uses the candidates of one decision, wherever it stands."""

    @property
    def chosen(self) -> int | None:
        """The candidate that the output is of; None: of several, or all edges of a cell run whatever is chosen."""
        ...

    def __call__(self, choice: Choice, x: Tensor) -> Tensor: ...


Selections = Mapping[str, Selection]
"""One per decision, by its name."""


@dataclass(frozen=True)
class One:
    """One candidate, as in a child. The others do not run."""

    chosen: int

    def __call__(self, choice: Choice, x: Tensor) -> Tensor:
        return choice.run_candidate(x, self.chosen)


@dataclass(frozen=True, eq=False)
class Gated:
    """One candidate, multiplied by its entry of a one-hot vector: a one whose gradient is the reward of the choice."""

    chosen: int
    gates: Tensor

    def __call__(self, choice: Choice, x: Tensor) -> Tensor:
        return choice.run_candidate(x, self.chosen) * self.gates[self.chosen]


@dataclass(frozen=True, eq=False)
class Mixture:
    """All candidates: the sum of their outputs, weighted."""

    weights: Tensor
    chosen: None = None

    def __call__(self, choice: Choice, x: Tensor) -> Tensor:
        return choice.run_mixture(x, self.weights)


@dataclass(frozen=True, eq=False)
class BinaryGates:
    """One candidate, while the gates of all get gradients: ``dL/dg_k = sum(out_k * dL/dout)``.

    The outputs of those that are not chosen are computed without a graph (ProxylessNAS, mode ``full_v2``).
    """

    chosen: int
    gates: Tensor

    def __call__(self, choice: Choice, x: Tensor) -> Tensor:
        with torch.no_grad():
            others = [choice.run_candidate(x, k) if k != self.chosen else None for k in range(len(self.gates))]
        chosen = choice.run_candidate(x, self.chosen)
        apply: Callable[..., Tensor] = _Gates.apply
        return apply(chosen, self.gates, self.chosen, *others)


class _Gates(torch.autograd.Function):
    """The chosen output, unchanged; backwards, each gate's gradient as if the outputs had been multiplied by it."""

    @staticmethod
    def forward(ctx: Any, out: Tensor, _gates: Tensor, chosen: int, *others: Tensor | None) -> Tensor:
        ctx.save_for_backward(*(out if k == chosen else other for k, other in enumerate(others)))
        return out.view_as(out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        outputs = ctx.saved_tensors
        gates = torch.stack([(output * grad).sum() for output in outputs])
        return (grad, gates, None, *(None for _ in outputs))


def path_selections(names: Sequence[str], path: Sequence[int]) -> dict[str, Selection]:
    """The selections of a path: one candidate per decision."""
    return {name: One(index) for name, index in zip(names, path, strict=True)}


def set_affine(net: nn.Module, affine: bool) -> None:
    """Whether scale and shift of the batch norms in a net's choices learn; else they stay what they are, 1 and 0."""
    for choice in choices_in(net):
        for norm in (part for part in choice.modules() if isinstance(part, nn.BatchNorm2d) and part.affine):
            norm.requires_grad_(affine)
