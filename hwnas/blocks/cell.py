"""Cells and what stands between them (NAS-Bench-201, arXiv 2001.00326)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from hwnas.blocks.build import build_block
from hwnas.blocks.layers import conv_bn
from hwnas.errors import HwnasError
from hwnas.specs.cell import Cell, Reduction, ReLUConv, Zero
from hwnas.specs.spec import Spec


class ZeroBlock(nn.Module):
    """The module of a `Zero` that stands alone: zeros of the shape of its input, or of half its size."""

    def __init__(self, spec: Zero) -> None:
        super().__init__()
        self.stride = spec.stride

    def forward(self, x: Tensor) -> Tensor:
        return (x if self.stride == 1 else F.avg_pool2d(x, self.stride, ceil_mode=True)) * 0.0


class ReLUConvBlock(nn.Module):
    """The module of a `ReLUConv`: (N, in, H, W) -> (N, out, ceil(H / stride), ceil(W / stride)).

    One that keeps its input gives both, in this order.
    """

    def __init__(self, spec: ReLUConv) -> None:
        super().__init__()
        self.layers = conv_bn(spec.in_channels, spec.out_channels, spec.kernel, spec.stride)
        if not spec.affine:
            self.layers[1] = nn.BatchNorm2d(spec.out_channels, affine=False)
        self.keeps_input = spec.keeps_input

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        out: Tensor = self.layers(F.relu(x))
        return (x, out) if self.keeps_input else out


class CellBlock(nn.Module):
    """The module of a decided `Cell`: (N, C, H, W) -> the same shape. Only edges on a path exist.

    The convolutions that leave a node share one ReLU of it.
    """

    def __init__(self, spec: Cell) -> None:
        super().__init__()
        live = dict(spec.live_edges())
        self.into: dict[int, list[int]] = {}
        for source, target in live:
            self.into.setdefault(target, []).append(source)
        self.output_node = max(self.into, default=0)
        self.edges = nn.ModuleDict({f"{source}-{target}": _edge(edge) for (source, target), edge in live.items()})

    def forward(self, x: Tensor) -> Tensor:
        if not self.into:
            return x * 0.0
        nodes, activated = {0: x}, {}
        for target, sources in self.into.items():
            for source in sources:
                edge = self.edges[f"{source}-{target}"]
                if isinstance(edge, ReLUConvBlock):
                    if source not in activated:
                        activated[source] = F.relu(nodes[source])
                    value = edge.layers(activated[source])
                else:
                    value = edge(nodes[source])
                nodes[target] = nodes[target] + value if target in nodes else value
        return nodes[self.output_node]


class ReductionBlock(nn.Module):
    """The module of a `Reduction`: (N, in, H, W) -> (N, out, H / 2, W / 2)."""

    def __init__(self, spec: Reduction) -> None:
        super().__init__()
        self.first = conv_bn(spec.in_channels, spec.out_channels, 3, stride=2)
        self.second = conv_bn(spec.out_channels, spec.out_channels, 3)
        self.pool = nn.AvgPool2d(2)
        self.shortcut = nn.Conv2d(spec.in_channels, spec.out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.shortcut(self.pool(x)) + self.second(F.relu(self.first(F.relu(x))))
        return out


def _edge(spec: object) -> nn.Module:
    """The module of an operator of a cell. Raises HwnasError for anything else, a decision not made among them."""
    if not isinstance(spec, Spec):
        raise HwnasError(
            f"no module builds {type(spec).__name__} on the edge of a cell; decide the cell's operators first "
            "(`space.decode(code)`)."
        )
    return build_block(spec)
