"""Known networks by name, as Architectures: what one would pick without a search.

Each is a function of (width, resolution, num_classes) in a module of its family, and a line in `NETWORKS`. Channels
are scaled as each paper does; MACs and parameters at full width and 224 px are pinned to what is published by
`tests/test_networks.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hwnas.errors import UsageError, unknown_name
from hwnas.networks.efficientnet import efficientnet_lite0
from hwnas.networks.mnasnet import mnasnet
from hwnas.networks.mobilenet_v1 import mobilenet_v1
from hwnas.networks.mobilenet_v2 import mobilenet_v2
from hwnas.networks.mobilenet_v3 import (
    mobilenet_v3_large,
    mobilenet_v3_large_minimalistic,
    mobilenet_v3_small,
    mobilenet_v3_small_minimalistic,
)
from hwnas.networks.mobilenet_v4 import mobilenet_v4_conv_small
from hwnas.networks.searched import dsnas_published, fbnet_c, single_path_published, spos_published
from hwnas.networks.shufflenet_v2 import shufflenet_v2
from hwnas.networks.squeezenet import squeezenet_1_0, squeezenet_1_1
from hwnas.space import Architecture

NETWORKS: dict[str, Callable[[float, int, int], Architecture]] = {
    "dsnas-published": dsnas_published,
    "efficientnet-lite0": efficientnet_lite0,
    "fbnet-c": fbnet_c,
    "mnasnet": mnasnet,
    "mobilenet-v1": mobilenet_v1,
    "mobilenet-v2": mobilenet_v2,
    "mobilenet-v3-large": mobilenet_v3_large,
    "mobilenet-v3-large-minimalistic": mobilenet_v3_large_minimalistic,
    "mobilenet-v3-small": mobilenet_v3_small,
    "mobilenet-v3-small-minimalistic": mobilenet_v3_small_minimalistic,
    "mobilenet-v4-conv-small": mobilenet_v4_conv_small,
    "shufflenet-v2": shufflenet_v2,
    "single-path-published": single_path_published,
    "spos-published": spos_published,
    "squeezenet-1.0": squeezenet_1_0,
    "squeezenet-1.1": squeezenet_1_1,
}


def get_network(name: str, width: float = 1.0, resolution: int = 224, num_classes: int = 1000) -> Architecture:
    """A known network by name, with fresh weights when built (`hwnas.child.build_child`).

    Args:
        name: one of `NETWORKS`.
        width: multiplier of channel counts.
        resolution: side of the square input image in pixels.
        num_classes: outputs of the classifier.

    Raises:
        UsageError: unknown name, or a value out of range.
    """
    if name not in NETWORKS:
        raise unknown_name("network", name, list(NETWORKS))
    if not 0.05 <= width <= 8:
        raise UsageError(f"the width multiplier must be between 0.05 and 8, not {width}.")
    if not 8 <= resolution <= 1024:
        raise UsageError(f"the resolution must be between 8 and 1024 pixels, not {resolution}.")
    if num_classes < 2:
        raise UsageError(f"a classifier needs 2 classes or more, not {num_classes}.")
    return replace(NETWORKS[name](width, resolution, num_classes), space=name, code=f"{width:g}x{resolution}")
