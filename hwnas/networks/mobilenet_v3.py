"""MobileNetV3 (arXiv 1905.02244, tables 1 and 2) and its minimalistic variants (tensorflow/models, mobilenet_v3.py)."""

from __future__ import annotations

from hwnas.space import Architecture
from hwnas.spaces.widths import scaled
from hwnas.specs.conv import Conv
from hwnas.specs.head import Head
from hwnas.specs.mbconv import MBConv
from hwnas.specs.spec import Spec, divisible

Row = tuple[int, int, int, bool, str, int]
"""Kernel, expanded channels, output channels, squeeze-and-excitation, activation, stride."""

RE, HS = "relu", "hard_swish"

LARGE: tuple[Row, ...] = (
    (3, 16, 16, False, RE, 1),
    (3, 64, 24, False, RE, 2),
    (3, 72, 24, False, RE, 1),
    (5, 72, 40, True, RE, 2),
    (5, 120, 40, True, RE, 1),
    (5, 120, 40, True, RE, 1),
    (3, 240, 80, False, HS, 2),
    (3, 200, 80, False, HS, 1),
    (3, 184, 80, False, HS, 1),
    (3, 184, 80, False, HS, 1),
    (3, 480, 112, True, HS, 1),
    (3, 672, 112, True, HS, 1),
    (5, 672, 160, True, HS, 2),
    (5, 960, 160, True, HS, 1),
    (5, 960, 160, True, HS, 1),
)
SMALL: tuple[Row, ...] = (
    (3, 16, 16, True, RE, 2),
    (3, 72, 24, False, RE, 2),
    (3, 88, 24, False, RE, 1),
    (5, 96, 40, True, HS, 2),
    (5, 240, 40, True, HS, 1),
    (5, 240, 40, True, HS, 1),
    (5, 120, 48, True, HS, 1),
    (5, 144, 48, True, HS, 1),
    (5, 288, 96, True, HS, 2),
    (5, 576, 96, True, HS, 1),
    (5, 576, 96, True, HS, 1),
)


def mobilenet_v3_large(width: float, resolution: int, num_classes: int) -> Architecture:
    """15 inverted residuals, eight of them with squeeze-and-excitation."""
    return _network(LARGE, 960, 1280, width, resolution, num_classes)


def mobilenet_v3_small(width: float, resolution: int, num_classes: int) -> Architecture:
    """11 inverted residuals, nine of them with squeeze-and-excitation."""
    return _network(SMALL, 576, 1024, width, resolution, num_classes)


def mobilenet_v3_large_minimalistic(width: float, resolution: int, num_classes: int) -> Architecture:
    """The same with operators that every accelerator runs well: kernels of 3, ReLU, no squeeze-and-excitation."""
    return _network(_minimalistic(LARGE), 960, 1280, width, resolution, num_classes)


def mobilenet_v3_small_minimalistic(width: float, resolution: int, num_classes: int) -> Architecture:
    """The same with operators that every accelerator runs well: kernels of 3, ReLU, no squeeze-and-excitation."""
    return _network(_minimalistic(SMALL), 576, 1024, width, resolution, num_classes)


def _minimalistic(rows: tuple[Row, ...]) -> tuple[Row, ...]:
    return tuple((3, hidden, out, False, RE, stride) for _, hidden, out, _, _, stride in rows)


def _network(
    rows: tuple[Row, ...], last: int, features: int, width: float, resolution: int, num_classes: int
) -> Architecture:
    activation = rows[-1][4]
    channels, base_in = scaled(16, width), 16
    blocks: list[Spec] = [Conv(3, channels, stride=2, activation=activation)]
    for kernel, hidden, base, squeezes, own, stride in rows:
        # the authors' code scales the ratio that the table's sizes are in, not the sizes
        out, expand = scaled(base, width), divisible(channels * hidden / base_in) / channels
        blocks.append(MBConv(channels, out, kernel, expand, stride, own, 0.25 if squeezes else 0.0))
        channels, base_in = out, base
    # the layer behind the pool keeps its width unless the network is made wider
    wide = scaled(features, max(1.0, width))
    blocks.append(Head(channels, scaled(last, width), num_classes, 0.2, activation, features=wide))
    return Architecture(tuple(blocks), (3, resolution, resolution))
