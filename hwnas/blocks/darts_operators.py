"""The modules of DARTS's operators (arXiv 1806.09055), with torch's own first weights as in quark0/darts."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hwnas.blocks.layers import StridedPointwiseConv2d
from hwnas.specs.darts_operators import DilConv, FactorisedReduction, RowColumnConv, SepConv


class SepConvBlock(nn.Sequential):
    """The module of a `SepConv`: (N, C, H, W) -> (N, C, ceil(H / stride), ceil(W / stride))."""

    def __init__(self, spec: SepConv) -> None:
        first = _separable(spec.channels, spec.kernel, spec.stride, 1, spec.affine)
        super().__init__(*first, *_separable(spec.channels, spec.kernel, 1, 1, spec.affine))


class DilConvBlock(nn.Sequential):
    """The module of a `DilConv`: (N, C, H, W) -> (N, C, ceil(H / stride), ceil(W / stride))."""

    def __init__(self, spec: DilConv) -> None:
        super().__init__(*_separable(spec.channels, spec.kernel, spec.stride, 2, spec.affine))


class RowColumnConvBlock(nn.Sequential):
    """The module of a `RowColumnConv`: (N, C, H, W) -> (N, C, ceil(H / stride), ceil(W / stride))."""

    def __init__(self, spec: RowColumnConv) -> None:
        channels, kernel, stride, pad = spec.channels, spec.kernel, spec.stride, spec.kernel // 2
        super().__init__(
            nn.ReLU(),
            nn.Conv2d(channels, channels, (1, kernel), (1, stride), (0, pad), bias=False),
            nn.Conv2d(channels, channels, (kernel, 1), (stride, 1), (pad, 0), bias=False),
            nn.BatchNorm2d(channels, affine=spec.affine),
        )


class FactorisedReductionBlock(nn.Module):
    """The module of a `FactorisedReduction`: (N, in, H, W) -> (N, out, H / 2, W / 2)."""

    def __init__(self, spec: FactorisedReduction) -> None:
        super().__init__()
        half = spec.out_channels // 2
        self.relu = nn.ReLU()
        self.even = StridedPointwiseConv2d(spec.in_channels, half, 1, stride=2, bias=False)
        self.odd = StridedPointwiseConv2d(spec.in_channels, half, 1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(spec.out_channels, affine=spec.affine)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(x)
        out: Tensor = self.norm(torch.cat([self.even(x), self.odd(x[:, :, 1:, 1:])], dim=1))
        return out


def _separable(channels: int, kernel: int, stride: int, dilation: int, affine: bool) -> list[nn.Module]:
    """ReLU, depthwise convolution, 1x1 convolution, batch norm. Nothing stands between the convolutions."""
    padding = dilation * (kernel // 2)
    return [
        nn.ReLU(),
        nn.Conv2d(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels, affine=affine),
    ]
