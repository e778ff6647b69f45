"""Short names of candidates in charts: operators of cells as papers write them, blocks by kernel and expansion."""

from __future__ import annotations

from hwnas.report.layers import label
from hwnas.specs.cell import ReLUConv, Zero
from hwnas.specs.darts_operators import FactorisedReduction
from hwnas.specs.pool import Pool
from hwnas.specs.skip import Skip
from hwnas.specs.spec import Spec


def operator_name(spec: Spec) -> str:
    """Such as ``sep conv 3x3``, ``skip``, ``none``; of a block in a chain ``k3 e6``."""
    if isinstance(spec, Zero):
        return "none"
    if isinstance(spec, FactorisedReduction) or spec.is_identity:
        return "skip"
    kernel = getattr(spec, "kernel", None)
    kind = "conv" if isinstance(spec, ReLUConv) else spec.kind.replace("_", " ")
    if kind.endswith(("conv", "pool")) and "mbconv" not in kind:
        return f"{kind} {kernel}x{kernel}"
    return label(spec).rpartition(" →")[0] or label(spec)


def operator_family(spec: Spec) -> str:
    """``conv``, ``pool``, ``skip`` or ``none``: how its edge is drawn."""
    if isinstance(spec, Zero):
        return "none"
    if isinstance(spec, FactorisedReduction | Skip):
        return "skip"
    return "pool" if isinstance(spec, Pool) else "conv"
