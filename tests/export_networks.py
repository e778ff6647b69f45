"""Networks for the export tests, in plain PyTorch: none of hwnas' own blocks."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def conv_bn(in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    padding = kernel // 2
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(out_channels)]


class InvertedResidual(nn.Module):
    """Sandler et al. 2018, figure 3."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, expand: int, kernel: int = 3) -> None:
        super().__init__()
        hidden = in_channels * expand
        layers = [*conv_bn(in_channels, hidden, 1), nn.ReLU6(inplace=True)] if expand > 1 else []
        layers += [*conv_bn(hidden, hidden, kernel, stride, hidden), nn.ReLU6(inplace=True)]
        self.layers = nn.Sequential(*layers, *conv_bn(hidden, out_channels, 1))
        self.has_residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.has_residual else self.layers(x)


class Function(nn.Module):
    """A module whose forward is a function of itself and the image; its layers and parameters are given by name."""

    def __init__(self, function, **layers: nn.Module | nn.Parameter) -> None:
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


class Chain(nn.Module):
    """Blocks one after the other, in a list called ``blocks``."""

    def __init__(self, *blocks: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


class MobileNetV2(nn.Module):
    """Sandler et al. 2018, table 2, width 1.0: 300.8 million MACs and 3.505 million parameters."""

    rows = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(*conv_bn(3, 32, 3, 2), nn.ReLU6(inplace=True))
        blocks, channels = [], 32
        for expand, out_channels, repeats, stride in self.rows:
            for i in range(repeats):
                blocks.append(InvertedResidual(channels, out_channels, stride if i == 0 else 1, expand))
                channels = out_channels
        self.blocks = nn.ModuleList(blocks)
        self.head = nn.Sequential(*conv_bn(320, 1280, 1), nn.ReLU6(inplace=True))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, 1000))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.classifier(self.head(x).mean((2, 3)))


def trained(module: nn.Module, seed: int = 0) -> nn.Module:
    """`module` in evaluation mode with random batch norms: those of a fresh network do nothing, and hide mistakes."""
    generator = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            for tensor, low, high in (
                (layer.running_mean, -0.3, 0.3),
                (layer.running_var, 0.3, 2.0),
                (layer.weight, 0.5, 1.5),
                (layer.bias, -0.3, 0.3),
            ):
                if tensor is not None:
                    tensor.data.uniform_(low, high, generator=generator)
    return module.eval()
