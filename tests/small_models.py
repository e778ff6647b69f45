"""Two small networks as PyTorch modules and as model files, for tests that need something real to run."""

from __future__ import annotations

from functools import cache

import torch
from torch import nn

from hwnas.exporter.export import convert

IMAGE_SHAPE = (1, 3, 20, 12)
"""NCHW, of four different sizes: axes that are mixed up show."""


@cache
def feature_net() -> nn.Module:
    """Image in, feature map (1, 8, 10, 6) out."""
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6(), nn.Conv2d(8, 8, 3, 1, 1, groups=8)
    return nn.Sequential(*layers).eval()


@cache
def classifier_net() -> nn.Module:
    """Image in, vector (1, 5) out."""
    torch.manual_seed(1)
    features = nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(*features, nn.Flatten(), nn.Linear(8, 5)).eval()


@cache
def model_bytes(net: nn.Module, suffix: str) -> bytes:
    """The network as the file that a runtime of this suffix takes."""
    return convert(net, IMAGE_SHAPE, suffix.removeprefix("."))


@cache
def example_output(net: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    """A random image and what PyTorch says of it."""
    x = torch.randn(IMAGE_SHAPE, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        return x, net(x)
