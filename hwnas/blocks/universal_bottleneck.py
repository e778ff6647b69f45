"""The universal inverted bottleneck, whose weights are saved under ``layers``."""

from __future__ import annotations

from torch import Tensor, nn

from hwnas.blocks.convolutions import LayersInARow
from hwnas.specs.universal_bottleneck import UniversalBottleneck


class UniversalBottleneckBlock(nn.Module):
    """The module of a `UniversalBottleneck`: (N, in, H, W) -> (N, out, ceil(H / stride), ceil(W / stride))."""

    def __init__(self, spec: UniversalBottleneck) -> None:
        super().__init__()
        self.layers = LayersInARow(spec)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out
