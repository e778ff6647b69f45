"""The blocks of MobileNetV1 and V4, and max pooling."""

from __future__ import annotations

from torch import Tensor, nn

from hwnas.blocks.layers import conv_bn
from hwnas.specs.max_pool import MaxPool
from hwnas.specs.pool_linear import PoolLinear
from hwnas.specs.separable import Separable
from hwnas.specs.universal_bottleneck import UniversalBottleneck

ACTIVATED = ("expand", "depthwise")
"""The convolutions of a `UniversalBottleneck` that an activation follows."""


class SeparableBlock(nn.Module):
    """The module of a `Separable`: (N, in, H, W) -> (N, out, ceil(H / stride), ceil(W / stride))."""

    def __init__(self, spec: Separable) -> None:
        super().__init__()
        inputs, activation = spec.in_channels, spec.activation
        self.depthwise = conv_bn(inputs, inputs, spec.kernel, spec.stride, groups=inputs, activation=activation)
        self.pointwise = conv_bn(inputs, spec.out_channels, 1, activation=activation)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.depthwise(x))


class UniversalBottleneckBlock(nn.Module):
    """The module of a `UniversalBottleneck`: (N, in, H, W) -> (N, out, ceil(H / stride), ceil(W / stride))."""

    def __init__(self, spec: UniversalBottleneck) -> None:
        super().__init__()
        self.layers = nn.Sequential()
        for name, channels, out, kernel, stride, depthwise in spec.convolutions():
            activation = spec.activation if name in ACTIVATED else None
            self.layers.add_module(
                name, conv_bn(channels, out, kernel, stride, channels if depthwise else 1, activation)
            )
        self.has_residual = spec.has_residual

    def forward(self, x: Tensor) -> Tensor:
        out = self.layers(x)
        return x + out if self.has_residual else out


class MaxPoolBlock(nn.Module):
    """The module of a `MaxPool`: (N, C, H, W) -> (N, C, ceil(H / stride), ceil(W / stride))."""

    def __init__(self, spec: MaxPool) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(spec.kernel, spec.stride, spec.kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(x)


class PoolLinearBlock(nn.Module):
    """The module of a `PoolLinear`: (N, in, H, W) -> logits (N, num_classes)."""

    def __init__(self, spec: PoolLinear) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(spec.dropout)
        self.classifier = nn.Linear(spec.in_channels, spec.num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.dropout(self.flatten(self.pool(x))))
