"""Max and average pooling."""

from __future__ import annotations

from torch import Tensor, nn

from hwnas.specs.pool import AvgPool, MaxPool


class MaxPoolBlock(nn.Module):
    """The module of a `MaxPool`: (N, C, H, W) -> (N, C, *sides), which `MaxPool.output_shape` says."""

    def __init__(self, spec: MaxPool) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(
            spec.kernel, spec.stride, spec.kernel // 2 if spec.padded else 0, ceil_mode=not spec.padded
        )

    def forward(self, x: Tensor) -> Tensor:
        pooled: Tensor = self.pool(x)
        return pooled


class AvgPoolBlock(nn.Module):
    """The module of an `AvgPool`: (N, C, H, W) -> the same shape."""

    def __init__(self, spec: AvgPool) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(spec.kernel, stride=1, padding=spec.kernel // 2, count_include_pad=False)

    def forward(self, x: Tensor) -> Tensor:
        pooled: Tensor = self.pool(x)
        return pooled
