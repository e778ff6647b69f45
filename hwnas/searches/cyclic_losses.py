"""The losses that Cyclic DARTS adds to the cross-entropy: the divergence of two networks' levels, and L1 on some raw
logits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from hwnas.specs.darts_operators import FactorisedReduction
from hwnas.specs.pool import Pool
from hwnas.specs.skip import Skip
from hwnas.supernet.relaxation import Relaxation

Reduction = Literal["mean", "batchmean"]


def ensemble(levels: Sequence[Tensor]) -> Tensor:
    """The logits of all levels, (N, classes) each, times their share, one below the other: (levels * N, classes).

    The authors' code multiplies each by its entry of ``softmax(w)``, whose w are equal and stay so by default.
    """
    return torch.cat([logits / len(levels) for logits in levels])


def divergence(search: Tensor, evaluation: Tensor, temperature: float, reduction: Reduction) -> Tensor:
    """``T^2 * KL(softmax(evaluation / T) || softmax(search / T))``: a scalar, with gradients to both.

    Args:
        search: logits of the search net, (rows, classes): the student.
        evaluation: of the evaluation net: the teacher.
        temperature: T.
        reduction: ``batchmean`` divides by the rows; ``mean`` by the classes, too, as the authors' code does
            (`Loss_interactive` of `CDARTS/lib/models/loss.py`; torch's default).
    """
    student, teacher = F.log_softmax(search / temperature, 1), F.log_softmax(evaluation / temperature, 1)
    total = F.kl_div(student, teacher, reduction="sum", log_target=True) * temperature**2
    return total / (len(search) if reduction == "batchmean" else search.numel())


def regularised_logits(relaxations: Sequence[Relaxation]) -> list[Tensor]:
    """Per decision, how many skips and pools each logit is for: 0 or 1, or more where a candidate holds several."""
    return [torch.tensor([float(count_skips_and_pools(spec)) for spec in each.specs]) for each in relaxations]


def count_skips_and_pools(spec: Any) -> int:
    """The skips and pools in a Spec, also in those that it holds."""
    return _count(spec, (Skip, FactorisedReduction, Pool))


def count_skips(specs: Any) -> int:
    """The skips in Specs, also in those that they hold."""
    return _count(specs, (Skip, FactorisedReduction))


def _count(spec: Any, kinds: tuple[type, ...]) -> int:
    if isinstance(spec, kinds):
        return 1
    if isinstance(spec, tuple):
        return sum(_count(each, kinds) for each in spec)
    return sum(_count(getattr(spec, field.name), kinds) for field in fields(spec)) if is_dataclass(spec) else 0


def l1(alphas: Sequence[Tensor], counts: Sequence[Tensor]) -> Tensor:
    """The sum of the absolute raw logits of skips and pools: a scalar."""
    return torch.stack(
        [(alpha.abs() * count.to(alpha)).sum() for alpha, count in zip(alphas, counts, strict=True)]
    ).sum()


def l1_weight(coefficient: float, share: float, ratio: float) -> float:
    """The factor of the L1 term: it falls linearly to 0 in the first part of the search.

    Args:
        coefficient: at the start.
        share: of the search that is done, 0 to 1.
        ratio: share of the search after which it is 0; 0: it is 0 throughout.
    """
    return max(0.0, coefficient * (1 - share / ratio)) if ratio else 0.0
