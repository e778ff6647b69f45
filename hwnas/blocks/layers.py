"""What the blocks are made of: convolution with batch norm and activation, and their initialisation."""

from __future__ import annotations

import math

from torch import nn

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "hard_swish": nn.Hardswish,
    "silu": nn.SiLU,
}


def conv_bn(
    in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1, activation: str | None = None
) -> nn.Sequential:
    """Convolution without bias (padding ``kernel // 2``), batch norm, and the activation if there is one."""
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    # normal with std sqrt(2 / fan_out), fan_out per group (dstamoulis/single-path-nas, as MnasNet and MobileNetV2 do)
    nn.init.normal_(conv.weight, 0.0, math.sqrt(2.0 / (kernel * kernel * out_channels / groups)))
    layers: list[nn.Module] = [conv, nn.BatchNorm2d(out_channels)]
    if activation is not None:
        layers.append(ACTIVATIONS[activation]())
    return nn.Sequential(*layers)
