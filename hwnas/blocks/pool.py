"""Max and average pooling."""

from __future__ import annotations

from torch import Tensor, nn

from hwnas.specs.pool import AvgPool, MaxPool, Pool


class MaxPoolBlock(nn.Module):
    """The module of a `MaxPool`: (N, C, H, W) -> (N, C, *sides), which `MaxPool.output_shape` says."""

    def __init__(self, spec: MaxPool) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(
            spec.kernel, spec.stride, spec.kernel // 2 if spec.padded else 0, ceil_mode=not spec.padded
        )
        self.norm = _norm(spec)

    def forward(self, x: Tensor) -> Tensor:
        pooled: Tensor = self.norm(self.pool(x))
        return pooled


class AvgPoolBlock(nn.Module):
    """The module of an `AvgPool`: (N, C, H, W) -> (N, C, ceil(H / stride), ceil(W / stride))."""

    def __init__(self, spec: AvgPool) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(spec.kernel, spec.stride, padding=spec.kernel // 2, count_include_pad=False)
        self.norm = _norm(spec)

    def forward(self, x: Tensor) -> Tensor:
        pooled: Tensor = self.norm(self.pool(x))
        return pooled


def _norm(spec: Pool) -> nn.Module:
    """The layer behind a pool: a batch norm without weights, or nothing."""
    return nn.BatchNorm2d(spec.channels, affine=False) if spec.norm else nn.Identity()
