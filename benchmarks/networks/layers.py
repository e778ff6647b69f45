"""What several of the networks are made of."""

from __future__ import annotations

from torch import Tensor, nn


def divisible(value: float, divisor: int = 8) -> int:
    """The multiple of `divisor` nearest to a channel count, but never less than 90 % of it."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def conv_bn(
    in_channels: int, out_channels: int, kernel: int, stride: int, groups: int, activation: nn.Module, eps: float = 1e-5
) -> nn.Sequential:
    """A convolution without bias that keeps the size (apart from its stride), a batch norm and an activation."""
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels, eps=eps), activation)


class SqueezeExcite(nn.Module):
    """A gate per channel, computed from the mean of each channel: Hu et al. 2018 (arXiv 1709.01507)."""

    def __init__(self, channels: int, squeezed: int, activation: nn.Module, gate: nn.Module) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.expand = nn.Conv2d(squeezed, channels, 1)
        self.activation, self.gate = activation, gate

    def forward(self, x: Tensor) -> Tensor:
        scale = self.activation(self.reduce(self.pool(x)))
        return x * self.gate(self.expand(scale))
