"""Nothing, or the shortest way to another shape."""

from __future__ import annotations

from torch import Tensor, nn

from hwnas.blocks.layers import conv_bn
from hwnas.specs.skip import Skip


class SkipBlock(nn.Module):
    """The module of a `Skip`: the identity, or a strided 1x1 convolution with batch norm where the shape changes."""

    def __init__(self, spec: Skip) -> None:
        super().__init__()
        self.shortcut = (
            nn.Identity() if spec.is_identity else conv_bn(spec.in_channels, spec.out_channels, 1, spec.stride)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x)
