"""The layers of the blocks, with their first weights: convolution, batch norm, activation, squeeze-and-excitation."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "hard_swish": nn.Hardswish,
    "silu": nn.SiLU,
}


class SamePaddingConv2d(nn.Conv2d):
    """A convolution with TensorFlow's "same" padding: the fewest zeros that give ``ceil(side / stride)`` pixels, an odd
    one at the right and at the bottom."""

    def forward(self, x: Tensor) -> Tensor:
        (top, bottom), (left, right) = (
            _same_padding(x.shape[axis], self.kernel_size[axis - 2], self.stride[axis - 2]) for axis in (2, 3)
        )
        return super().forward(F.pad(x, (left, right, top, bottom)))


def _same_padding(side: int, kernel: int, stride: int) -> tuple[int, int]:
    zeros = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    return zeros // 2, zeros - zeros // 2


class StridedPointwiseConv2d(nn.Conv2d):
    """A 1x1 convolution with a stride, without padding, that is safe to train.

    Where a CPU has AVX2 and no AVX-512, oneDNN (as of torch 2.13) writes beyond the gradient of its weights if fewer
    than 8 channels come in, channels last: so the pixels that count are taken out first while it trains.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.in_channels >= 8:
            return super().forward(x)
        return F.conv2d(x[:, :, :: self.stride[0], :: self.stride[1]], self.weight, self.bias, groups=self.groups)


def conv_bn(
    in_channels: int,
    out_channels: int,
    kernel: int,
    stride: int = 1,
    groups: int = 1,
    activation: str | None = None,
    padding: str = "symmetric",
) -> nn.Sequential:
    """Convolution without bias, batch norm, and the activation if there is one. ``padding``: see `spec.PADDINGS`."""
    same = padding == "same" and stride > 1 and kernel > 1  # else, with an odd kernel, both paddings are kernel // 2
    plain = StridedPointwiseConv2d if kernel == 1 and stride > 1 else nn.Conv2d
    kind, zeros = (SamePaddingConv2d, 0) if same else (plain, kernel // 2)
    conv = kind(in_channels, out_channels, kernel, stride, zeros, groups=groups, bias=False)
    # normal with std sqrt(2 / fan_out), fan_out per group (dstamoulis/single-path-nas, as MnasNet and MobileNetV2 do)
    nn.init.normal_(conv.weight, 0.0, math.sqrt(2.0 / (kernel * kernel * out_channels / groups)))
    layers: list[nn.Module] = [conv, nn.BatchNorm2d(out_channels)]
    if activation is not None:
        layers.append(ACTIVATIONS[activation]())
    return nn.Sequential(*layers)


def conv_bias(
    in_channels: int,
    out_channels: int,
    kernel: int,
    stride: int = 1,
    padding: int | None = None,
    activation: str | None = "relu",
    std: float | None = None,
) -> nn.Sequential:
    """Convolution with a bias, and the activation if there is one. ``padding`` is that of each side [kernel // 2],
    ``std`` that of the first weights [sqrt(2 / fan_out)]."""
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2 if padding is None else padding)
    nn.init.normal_(conv.weight, 0.0, std or math.sqrt(2.0 / (kernel * kernel * out_channels)))
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return nn.Sequential(conv, *([ACTIVATIONS[activation]()] if activation is not None else []))


class SqueezeExcite(nn.Module):
    """Multiplies every channel by a gate that is computed from the whole image: (N, C, H, W) -> (N, C, H, W).

    Squeeze-and-excitation (arXiv 1709.01507).

    Args:
        channels: C.
        squeezed_channels: Channels between its two 1x1 convolutions, which have biases.
        activation: Of the block around it. With ``silu`` it is EfficientNet's (SiLU inside, sigmoid gate), else
            MobileNetV3's (ReLU inside, hard-sigmoid gate).
    """

    def __init__(self, channels: int, squeezed_channels: int, activation: str) -> None:
        super().__init__()
        smooth = activation == "silu"
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(channels, squeezed_channels, 1)
        self.activation = ACTIVATIONS["silu" if smooth else "relu"]()
        self.expand = nn.Conv2d(squeezed_channels, channels, 1)
        self.gate: nn.Module = nn.Sigmoid() if smooth else nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        gated: Tensor = x * self.gate(self.expand(self.activation(self.reduce(self.pool(x)))))
        return gated
