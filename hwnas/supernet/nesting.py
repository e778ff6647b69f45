"""The Nesting: the candidates of a decision as parts of one largest block, which is what a superkernel can hold."""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import product

from hwnas.errors import UsageError
from hwnas.space import OneOf
from hwnas.specs.mbconv import MBConv
from hwnas.specs.skip import Skip
from hwnas.specs.spec import Spec

NESTED_FIELDS = ("kernel", "expand", "se_ratio")


@dataclass(frozen=True)
class Nesting:
    """A decision whose candidates are nested kernels, widths and squeezes, and perhaps a skip.

    Either every combination of kernel and width is a candidate, as in the paper, or the two are tied: each kernel goes
    with one width, both growing from candidate to candidate, as in NAS-Bench-Macro.

    Attributes:
        one_of: the decision.
        kernels, expansions, ratios: what each of the three can be, ascending; ratio 0 is no squeeze-and-excitation.
        tied: whether the kernel decides the width.
        largest: the candidate that contains all others.
        skip: what stands there when the block is dropped: the identity, or the shortest way to another shape; None if
            it cannot be dropped.
        order: of every candidate its place in (kernel, expansion, ratio) counted row by row, the skip last.
    """

    one_of: OneOf
    kernels: tuple[int, ...]
    expansions: tuple[float, ...]
    ratios: tuple[float, ...]
    tied: bool
    largest: MBConv
    skip: Skip | None
    order: tuple[int, ...]

    @staticmethod
    def of(one_of: OneOf) -> Nesting:
        """The nesting of a decision. Raises UsageError, saying which rule is broken, where there is none."""
        blocks = [spec for spec in one_of.candidates if isinstance(spec, MBConv)]
        others = [spec for spec in one_of.candidates if not isinstance(spec, MBConv)]
        if not blocks or len(others) > 1 or not all(isinstance(spec, Skip) for spec in others):
            raise _not_nested(one_of, f"candidates must be MBConv blocks or one skip, not {others or 'that alone'}")
        kernels, expansions, ratios = (sorted({getattr(spec, name) for spec in blocks}) for name in NESTED_FIELDS)
        largest = max(blocks, key=_place)
        _check_same_otherwise(one_of, blocks)
        if largest.groups > 1:
            raise _not_nested(one_of, f"channels of {largest.groups} groups are shuffled, so that widths do not nest")
        if len(expansions) > 1 and expansions[0] == 1:
            raise _not_nested(one_of, "a block of expansion 1 has no first convolution and is no part of a wider one")
        sizes = list(zip(kernels, expansions, strict=False))  # the kernels and widths that there are if they are tied
        tied = len(kernels) == len(expansions) > 1 and {_place(spec)[:2] for spec in blocks} == set(sizes)
        sizes = sizes if tied else list(product(kernels, expansions))
        combinations = [(*size, ratio) for size in sizes for ratio in ratios]
        places = [combinations.index(_place(spec)) for spec in blocks]
        if missing := [c for i, c in enumerate(combinations) if i not in places]:
            names = ", ".join(f"k{k} e{e} se{s:g}" for k, e, s in missing)
            raise _not_nested(one_of, f"every combination of its kernels and widths must be one; it lacks {names}")
        squeezes = {spec.squeezed_channels for spec in blocks if spec.expand == expansions[-1]}
        if len(squeezes) < len(ratios):
            raise _not_nested(one_of, f"two of the ratios {ratios} squeeze {largest} to equally many channels")
        order = [combinations.index(_place(s)) if isinstance(s, MBConv) else len(places) for s in one_of.candidates]
        skip = next((spec for spec in others if isinstance(spec, Skip)), None)
        return Nesting(one_of, tuple(kernels), tuple(expansions), tuple(ratios), tied, largest, skip, tuple(order))

    def squeezed_channels(self, expand: float, ratio: float) -> int:
        """Channels between the convolutions of squeeze-and-excitation in the candidates of this width and ratio."""
        matching = (s for s in self.one_of.candidates if isinstance(s, MBConv) and _place(s)[1:] == (expand, ratio))
        return next(matching).squeezed_channels


def _place(spec: MBConv) -> tuple[int, float, float]:
    return spec.kernel, spec.expand, spec.se_ratio


def _check_same_otherwise(one_of: OneOf, blocks: list[MBConv]) -> None:
    for field in fields(MBConv):
        values = {getattr(spec, field.name) for spec in blocks}
        if field.name not in NESTED_FIELDS and len(values) > 1:
            raise _not_nested(one_of, f"its candidates have {field.name} {sorted(values)}, and no two may differ in it")


def _not_nested(one_of: OneOf, rule: str) -> UsageError:
    known: list[Spec] = list(one_of.candidates)
    return UsageError(
        f"decision {one_of.name!r} does not fit into one superkernel: {rule}. Its candidates are "
        f"{', '.join(map(str, known))}. Search this space with another method (`--method dsnas`), or a nested space, "
        "such as single-path, with this one."
    )
