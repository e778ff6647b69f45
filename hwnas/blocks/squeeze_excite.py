"""Squeeze-and-excitation (arXiv 1709.01507): one gate per channel, computed from the whole image."""

from __future__ import annotations

from torch import Tensor, nn

from hwnas.blocks.layers import ACTIVATIONS


class SqueezeExcite(nn.Module):
    """Multiplies every channel by its gate: (N, C, H, W) -> (N, C, H, W).

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
