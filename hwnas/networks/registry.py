"""Known networks by name, as Architectures: what one would pick without a search.

Each is a function of (width, resolution, num_classes) in a module of its family, and a line in `NETWORKS`. Channels
are scaled as each paper does; MACs and parameters at full width and 224 px are pinned to what is published by
`tests/test_networks.py`. `plain-cnn` is in no paper: it is what one would write by hand.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hwnas.errors import HwnasError, UsageError, unknown_name
from hwnas.registered import Registered
from hwnas.space import Architecture
from hwnas.spaces.options import checked_options

if TYPE_CHECKING:
    from collections.abc import Callable

NETWORKS: Registered[Callable[[float, int, int], Architecture]] = Registered(
    {
        "dsnas-published": "hwnas.networks.searched:dsnas_published",
        "efficientnet-lite0": "hwnas.networks.efficientnet:efficientnet_lite0",
        "fbnet-c": "hwnas.networks.searched:fbnet_c",
        "mnasnet": "hwnas.networks.mnasnet:mnasnet",
        "mobilenet-v1": "hwnas.networks.mobilenet_v1:mobilenet_v1",
        "mobilenet-v2": "hwnas.networks.mobilenet_v2:mobilenet_v2",
        "mobilenet-v3-large": "hwnas.networks.mobilenet_v3:mobilenet_v3_large",
        "mobilenet-v3-large-minimalistic": "hwnas.networks.mobilenet_v3:mobilenet_v3_large_minimalistic",
        "mobilenet-v3-small": "hwnas.networks.mobilenet_v3:mobilenet_v3_small",
        "mobilenet-v3-small-minimalistic": "hwnas.networks.mobilenet_v3:mobilenet_v3_small_minimalistic",
        "mobilenet-v4-conv-small": "hwnas.networks.mobilenet_v4:mobilenet_v4_conv_small",
        "plain-cnn": "hwnas.networks.plain_cnn:plain_cnn",
        "proxylessnas-mobile": "hwnas.networks.searched:proxylessnas_mobile",
        "shufflenet-v2": "hwnas.networks.shufflenet_v2:shufflenet_v2",
        "single-path-published": "hwnas.networks.searched:single_path_published",
        "spos-published": "hwnas.networks.searched:spos_published",
        "squeezenet-1.0": "hwnas.networks.squeezenet:squeezenet_1_0",
        "squeezenet-1.1": "hwnas.networks.squeezenet:squeezenet_1_1",
    }
)
"""Every network by the name people type: the function that makes it."""

USUAL_WIDTHS = {
    "mnasnet": (0.5, 0.75, 1.0),
    "mobilenet-v1": (0.25, 0.5, 0.75, 1.0),
    "mobilenet-v2": (0.35, 0.5, 0.75, 1.0),
    "mobilenet-v3-large": (0.75, 1.0),
    "mobilenet-v3-small": (0.75, 1.0),
    "mobilenet-v4-conv-small": (0.5, 1.0),
    "plain-cnn": (0.25, 0.5, 0.75, 1.0),
    "shufflenet-v2": (0.5, 1.0, 1.5, 2.0),
}
"""The widths that weights are published at, up to the full one; of all others that is the full width alone."""


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
    given = checked_options(resolution, num_classes, width)
    resolution, num_classes, width = given  # type: ignore[assignment]  # none is missing
    return replace(NETWORKS[name](width, resolution, num_classes), space=name, code=f"{width:g}x{resolution}")


def usual_networks(resolution: int, num_classes: int) -> dict[tuple[str, float], Architecture]:
    """Every known network at its usual widths, by name and width: those that take images of this size.

    Raises UsageError for a value out of range.
    """
    found: dict[tuple[str, float], Architecture] = {}
    for name in NETWORKS:
        for width in USUAL_WIDTHS.get(name, (1.0,)):
            try:
                found[name, width] = get_network(name, width, resolution, num_classes)
            except UsageError:
                raise
            except HwnasError:  # the images are smaller than its windows
                continue
    return found
