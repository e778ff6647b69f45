"""Networks that published searches found, each a code in the space that it was found in."""

from __future__ import annotations

from hwnas.space import Architecture
from hwnas.spaces import get_space


def single_path_published(width: float, resolution: int, num_classes: int) -> Architecture:
    """What Single-Path NAS found for the Pixel 1 (arXiv 1904.02877; dstamoulis/single-path-nas, `nnet-eval`)."""
    return _decoded("single-path", "0,0,0,4,3,0,0,0,3,0,0,0,3,2,2,2,3,3,3,3", width, resolution, num_classes)


def dsnas_published(width: float, resolution: int, num_classes: int) -> Architecture:
    """What DSNAS found for a limit of 327 million FLOPs (arXiv 2002.09128; SNAS-Series/SNAS-Series)."""
    return _decoded("shufflenet", "0,0,3,0,3,2,0,0,3,3,2,3,3,3,2,0,0,3,3,0", width, resolution, num_classes)


def spos_published(width: float, resolution: int, num_classes: int) -> Architecture:
    """What Single Path One-Shot found (arXiv 1904.00420; as the authors of DSNAS list it)."""
    return _decoded("shufflenet", "0,1,2,2,1,1,2,1,3,3,0,3,0,3,0,0,2,2,2,1", width, resolution, num_classes)


def fbnet_c(width: float, resolution: int, num_classes: int) -> Architecture:
    """FBNet-C (arXiv 1812.03443; facebookresearch/mobile-vision, `fbnet_modeldef_cls.py`)."""
    code = "0-3-8-0-0-7-6-7-3-7-6-7-7-7-7-7-6-7-7-7-7-3"
    return _decoded("fbnet", code, width, resolution, num_classes)


def _decoded(space: str, code: str, width: float, resolution: int, num_classes: int) -> Architecture:
    return get_space(space, resolution, num_classes, width).decode(code)
