"""Specs -> torch modules. Adding a block is a module here and a line in `BUILDERS`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from hwnas.blocks.cell import AvgPoolBlock, CellBlock, PoolHeadBlock, ReductionBlock, ReLUConvBlock, ZeroBlock
from hwnas.blocks.conv import ConvBlock
from hwnas.blocks.head import HeadBlock
from hwnas.blocks.mbconv import MBConvBlock
from hwnas.blocks.mobile import MaxPoolBlock, PoolLinearBlock, SeparableBlock, UniversalBottleneckBlock
from hwnas.blocks.shuffle import ShuffleUnitBlock
from hwnas.blocks.skip import SkipBlock
from hwnas.errors import HwnasError
from hwnas.specs.cell import AvgPool, Cell, PoolHead, Reduction, ReLUConv, Zero
from hwnas.specs.conv import Conv
from hwnas.specs.head import Head
from hwnas.specs.max_pool import MaxPool
from hwnas.specs.mbconv import MBConv
from hwnas.specs.pool_linear import PoolLinear
from hwnas.specs.separable import Separable
from hwnas.specs.shuffle_unit import ShuffleUnit
from hwnas.specs.skip import Skip
from hwnas.specs.spec import Spec
from hwnas.specs.universal_bottleneck import UniversalBottleneck

BUILDERS: dict[type[Spec], Callable[[Any], nn.Module]] = {
    AvgPool: AvgPoolBlock,
    Cell: CellBlock,
    Conv: ConvBlock,
    Head: HeadBlock,
    MBConv: MBConvBlock,
    MaxPool: MaxPoolBlock,
    PoolHead: PoolHeadBlock,
    PoolLinear: PoolLinearBlock,
    ReLUConv: ReLUConvBlock,
    Reduction: ReductionBlock,
    Separable: SeparableBlock,
    ShuffleUnit: ShuffleUnitBlock,
    Skip: SkipBlock,
    UniversalBottleneck: UniversalBottleneckBlock,
    Zero: ZeroBlock,
}


def build_block(spec: Spec) -> nn.Module:
    """The torch module of a Spec, with fresh weights. Its forward takes and gives (N, C, H, W); a Head gives (N, K)."""
    if type(spec) not in BUILDERS:
        raise HwnasError(f"no module builds {type(spec).__name__}; add it to BUILDERS in hwnas/blocks/__init__.py.")
    return BUILDERS[type(spec)](spec)
