"""The operators of DARTS's cells by the names that genotypes give them, and where batch norms stand among them."""

from __future__ import annotations

from dataclasses import dataclass

from hwnas.errors import HwnasError, unknown_name
from hwnas.specs.cell import Zero
from hwnas.specs.darts_operators import DilConv, FactorisedReduction, RowColumnConv, SepConv
from hwnas.specs.pool import AvgPool, MaxPool
from hwnas.specs.skip import Skip
from hwnas.specs.spec import Spec

OPERATORS = (
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
"""The candidates for an edge, in the order of quark0/darts (`cnn/genotypes.py`, PRIMITIVES); ``none`` is no edge."""

FURTHER_OPERATORS = ("none", "sep_conv_7x7", "conv_7x1_1x7")
"""Further operators of published genotypes."""


@dataclass(frozen=True)
class Convention:
    """Where a network has batch norms.

    Attributes:
        affine: whether those in cells have weights.
        pool_norm: whether one without weights follows every pool.
    """

    affine: bool
    pool_norm: bool


CONVENTIONS = {
    "evaluation": Convention(affine=True, pool_norm=False),
    "darts": Convention(affine=False, pool_norm=True),
    "cdarts": Convention(affine=False, pool_norm=False),
}
"""Networks that are trained by themselves, and the search networks of DARTS and of CDARTS."""


def operator_of(name: str, channels: int, stride: int, convention: Convention) -> Spec:
    """The Spec of an operator. Raises UsageError for an unknown name."""
    affine, norm = convention.affine, convention.pool_norm
    kind, _, size = name.rpartition("_")
    kernel = int(size[0]) if size[:1].isdigit() else 0
    if name not in (*OPERATORS, *FURTHER_OPERATORS):
        raise unknown_name("operator of a genotype", name, [*OPERATORS, *FURTHER_OPERATORS])
    if name == "none":
        return Zero(channels, stride)
    if name == "skip_connect":
        return Skip(channels, channels) if stride == 1 else FactorisedReduction(channels, channels, affine)
    if name == "conv_7x1_1x7":
        return RowColumnConv(channels, 7, stride, affine)
    if kind in ("max_pool", "avg_pool"):
        return (MaxPool if kind == "max_pool" else AvgPool)(channels, kernel, stride, norm=norm)
    return (SepConv if kind == "sep_conv" else DilConv)(channels, kernel, stride, affine)


def name_of(spec: Spec) -> str:
    """The name of an operator: the inverse of `operator_of`. Raises HwnasError for a block that genotypes lack."""
    if isinstance(spec, Zero):
        return "none"
    if isinstance(spec, FactorisedReduction) or (isinstance(spec, Skip) and spec.is_identity):
        return "skip_connect"
    if isinstance(spec, RowColumnConv):
        return "conv_7x1_1x7"
    if isinstance(spec, SepConv | DilConv | MaxPool | AvgPool):
        return f"{spec.kind}_{spec.kernel}x{spec.kernel}"
    raise HwnasError(f"genotypes have no name for {spec}.")
