"""Networks that published searches found, each a code in the space that it was found in if hwnas has that."""

from __future__ import annotations

from hwnas.space import Architecture
from hwnas.spaces import get_space
from hwnas.spaces.widths import scaled
from hwnas.specs.conv import Conv
from hwnas.specs.head import Head
from hwnas.specs.mbconv import MBConv
from hwnas.specs.spec import Spec

PROXYLESSNAS_MOBILE = (
    (32, 2, ((5, 3), (3, 3))),
    (40, 2, ((7, 3), (3, 3), (5, 3), (5, 3))),
    (80, 2, ((7, 6), (5, 3), (5, 3), (5, 3))),
    (96, 1, ((5, 6), (5, 3), (5, 3), (5, 3))),
    (192, 2, ((7, 6), (7, 6), (7, 3), (7, 3))),
    (320, 1, ((7, 6),)),
)
"""Output channels and stride of a stage; kernel and expansion of its blocks."""


def single_path_published(width: float, resolution: int, num_classes: int) -> Architecture:
    """The network that Single-Path NAS found for the Pixel 1 (arXiv 1904.02877; dstamoulis/single-path-nas,
    `nnet-eval`)."""
    return _decoded("single-path", "0,0,0,4,3,0,0,0,3,0,0,0,3,2,2,2,3,3,3,3", width, resolution, num_classes)


def dsnas_published(width: float, resolution: int, num_classes: int) -> Architecture:
    """The network that DSNAS found for a limit of 327 million FLOPs (arXiv 2002.09128; SNAS-Series/SNAS-Series)."""
    return _decoded("shufflenet", "0,0,3,0,3,2,0,0,3,3,2,3,3,3,2,0,0,3,3,0", width, resolution, num_classes)


def spos_published(width: float, resolution: int, num_classes: int) -> Architecture:
    """The network that Single Path One-Shot found (arXiv 1904.00420; as the authors of DSNAS list it)."""
    return _decoded("shufflenet", "0,1,2,2,1,1,2,1,3,3,0,3,0,3,0,0,2,2,2,1", width, resolution, num_classes)


def fbnet_c(width: float, resolution: int, num_classes: int) -> Architecture:
    """FBNet-C (arXiv 1812.03443; facebookresearch/mobile-vision, `fbnet_modeldef_cls.py`)."""
    code = "0-3-8-0-0-7-6-7-3-7-6-7-7-7-7-7-6-7-7-7-7-3"
    return _decoded("fbnet", code, width, resolution, num_classes)


def proxylessnas_mobile(width: float, resolution: int, num_classes: int) -> Architecture:
    """The network that ProxylessNAS found for the Pixel 1 (arXiv 1812.00332; mit-han-lab/proxylessnas,
    `proxyless_mobile`)."""
    channels, first = scaled(32, width), scaled(16, width)
    blocks: list[Spec] = [
        Conv(3, channels, stride=2, activation="relu6"),
        MBConv(channels, first, kernel=3, expand=1, activation="relu6"),
    ]
    channels = first
    for base, stage_stride, kernels in PROXYLESSNAS_MOBILE:
        for i, (kernel, expand) in enumerate(kernels):
            out_channels = scaled(base, width)
            blocks.append(MBConv(channels, out_channels, kernel, expand, 1 if i else stage_stride, "relu6"))
            channels = out_channels
    blocks.append(Head(channels, scaled(1280, width), num_classes, activation="relu6"))
    return Architecture(tuple(blocks), (3, resolution, resolution))


def _decoded(space: str, code: str, width: float, resolution: int, num_classes: int) -> Architecture:
    return get_space(space, resolution, num_classes, width).decode(code)
