"""The inverted residual, whose layers supernets reach into."""

from __future__ import annotations

from torch import nn

from hwnas.blocks.convolutions import LayersInARow
from hwnas.blocks.squeeze_excite import SqueezeExcite
from hwnas.specs.mbconv import MBConv


class MBConvBlock(LayersInARow):
    """The module of an `MBConv`; what a block does not have is None."""

    def __init__(self, spec: MBConv) -> None:
        super().__init__(spec)
        for name in ("expand", "squeeze_excite"):
            if name not in self.names:
                self.register_module(name, None)

    expand: nn.Sequential | None
    depthwise: nn.Sequential
    squeeze_excite: SqueezeExcite | None
    project: nn.Sequential
