"""Five published networks in plain PyTorch, written as their users write them: only torch is needed.

They are what "any module exports through the same call" is tried on, so their styles differ on purpose: layers and
functions, methods and operators, views, shapes taken from tensors, in-place activations, dropped branches.
"""

from __future__ import annotations

import torch
from torch import nn

from .efficientnet import EfficientNetB0
from .mobilenet import MobileNetV2, MobileNetV3Large
from .resnet import ResNet18
from .shufflenet import ShuffleNetV2

__all__ = [
    "NETWORKS",
    "EfficientNetB0",
    "MobileNetV2",
    "MobileNetV3Large",
    "ResNet18",
    "ShuffleNetV2",
    "with_statistics",
]

NETWORKS: dict[str, type[nn.Module]] = {
    "mobilenet-v2": MobileNetV2,
    "mobilenet-v3-large": MobileNetV3Large,
    "efficientnet-b0": EfficientNetB0,
    "shufflenet-v2": ShuffleNetV2,
    "resnet-18": ResNet18,
}
"""The networks by name; each takes (N, 3, 224, 224) and returns (N, 1000)."""


def with_statistics(module: nn.Module, input_shape: tuple[int, ...], seed: int = 0) -> nn.Module:
    """`module` in evaluation mode, with fresh weights and batch norms as after training: none of them does nothing.

    Scales and shifts are random, means and variances are those of random images, so that the signal neither dies nor
    grows on its way through the network. The shifts are such that most values pass a ReLU: otherwise a random deep
    network magnifies rounding, and PyTorch in float32 is itself 1e-5 away from PyTorch in float64.

    Args:
        module: Any module; changed in place.
        input_shape: (N, C, H, W) of the random images.
        seed: Equal seeds give equal numbers.
    """
    generator = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            deviation = (2 * layer.weight.shape[0] / layer.weight.numel()) ** 0.5
            layer.weight.data.normal_(0, deviation, generator=generator)
            if layer.bias is not None:
                layer.bias.data.uniform_(-0.1, 0.1, generator=generator)
    norms = [layer for layer in module.eval().modules() if isinstance(layer, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.weight.data.uniform_(0.5, 1.5, generator=generator)
        norm.bias.data.uniform_(0.5, 1.5, generator=generator)
        norm.momentum = 1.0
        norm.train()
    with torch.inference_mode():
        module(torch.randn(input_shape, generator=generator))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return module.eval()
