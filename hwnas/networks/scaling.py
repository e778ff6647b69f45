"""Known networks scaled to a budget: the widest one at each resolution whose latency is within it.

Channels are multiples of 8, so the latency rises with the width in steps. A search over the steps takes few
measurements: the next width is read off the latencies that are known, over multiply-adds and both as logarithms.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from hwnas.errors import HwnasError, UsageError
from hwnas.networks.registry import get_network
from hwnas.space import Architecture

WIDTHS = tuple(i / 100 for i in range(10, 201))
"""From a tenth to twice the channels."""

NEAR = 0.97
"""A network that takes so much of the budget, or more, is near enough to it."""

MOST_MEASUREMENTS = 8
"""At one resolution, unless none is within the budget by then."""
MOST_INTERPOLATIONS = 4
"""Then the steps in question are halved instead, which always ends."""

USUAL_SLOPE, LEAST_SLOPE, LARGEST_SLOPE = 0.8, 0.3, 1.5
"""Of the logarithm of ms over that of MACs: with one latency known, and the limits where it is extrapolated."""


@dataclass(frozen=True)
class ScaledNetwork:
    """A known network at one width and resolution, and its latency."""

    network: str
    width: float
    resolution: int
    ms: float
    architecture: Architecture

    def __repr__(self) -> str:
        return f"ScaledNetwork({self.network} {self.width:g} at {self.resolution} px, {self.ms:.4g} ms)"

    def to_json(self) -> dict[str, Any]:
        """``network, width, resolution, ms``."""
        return {"network": self.network, "width": self.width, "resolution": self.resolution, "ms": self.ms}


def scaled_to(
    name: str,
    budget_ms: float,
    measured_ms: Callable[[Architecture], float],
    resolutions: Sequence[int],
    num_classes: int,
) -> list[ScaledNetwork]:
    """A known network within a budget: at each resolution the width whose latency is nearest below it, or near enough.

    Args:
        name: one of `hwnas.networks.NETWORKS`.
        budget_ms: limit in ms.
        measured_ms: the latency of an architecture, from a measurement or a predictor; asked a few times a resolution.
        resolutions: sides of the square input image in pixels.
        num_classes: outputs of the classifier.

    Returns:
        One network per resolution, in their order, each as `measured_ms` has it. A resolution at which even a width of
        0.1 is over the budget, or whose images are too small for the network, is left out.

    Raises:
        UsageError: unknown name, a value out of range, or a budget that is no positive number.
    """
    if not (math.isfinite(budget_ms) and budget_ms > 0):
        raise UsageError(f"the budget must be a positive number of milliseconds, not {budget_ms}.")
    found: list[ScaledNetwork] = []
    earlier: list[_Point] = []
    for resolution in dict.fromkeys(resolutions):
        steps = _steps(name, resolution, num_classes)
        search = _Search([network for _, network in steps], budget_ms, measured_ms, earlier)
        chosen = search.run()
        if chosen is not None:
            width, network = steps[chosen]
            found.append(ScaledNetwork(name, width, resolution, search.known_ms[chosen], network))
        earlier = earlier + search.points
    return found


def _steps(name: str, resolution: int, num_classes: int) -> list[tuple[float, Architecture]]:
    """The distinct networks from the narrowest to the widest, each with the roundest of the widths that give it."""
    steps: dict[Architecture, float] = {}
    for width in WIDTHS:
        try:
            network = get_network(name, width, resolution, num_classes)
        except UsageError:
            if width == 1.0:  # which every network has: the name or the resolution is wrong
                raise
            continue
        except HwnasError:  # the image is too small
            return []
        steps[network] = min(steps.get(network, width), width, key=lambda each: (len(f"{each:g}"), each))
    return [(width, get_network(name, width, resolution, num_classes)) for width in steps.values()]


_Point = tuple[float, float]
"""Logarithms of MACs and of ms."""


@dataclass
class _Search:
    """The search for the last of some networks, ordered by MACs, that is within a budget."""

    networks: list[Architecture]
    budget_ms: float
    measured_ms: Callable[[Architecture], float]
    earlier: list[_Point]
    """The known facts of the same network at other resolutions."""
    known_ms: dict[int, float] = field(default_factory=dict)

    @property
    def points(self) -> list[_Point]:
        return [(self._log_macs[i], math.log(ms)) for i, ms in self.known_ms.items()]

    @cached_property
    def _log_macs(self) -> list[float]:
        return [math.log(network.macs) for network in self.networks]

    def run(self) -> int | None:
        """The place of the network; None if the first one is over."""
        within, over = -1, len(self.networks)
        while over - within > 1 and (len(self.known_ms) < MOST_MEASUREMENTS or within < 0):
            i = self._next(within, over)
            self.known_ms[i] = self.measured_ms(self.networks[i])
            if self.known_ms[i] > self.budget_ms:
                over = i
                continue
            within = i
            if self.known_ms[i] >= NEAR * self.budget_ms:
                break
        return None if within < 0 else within

    def _next(self, within: int, over: int) -> int:
        """The place of the network to measure next, between one that is within and one that is over."""
        points = self.points or self.earlier
        if not points or len(self.known_ms) >= MOST_INTERPOLATIONS:
            return (within + over) // 2
        wanted = _log_macs_at(math.log(self.budget_ms * (1 + NEAR) / 2), points)
        place = bisect_right(self._log_macs, wanted) - 1
        return min(max(place, within + 1), over - 1)


def _log_macs_at(log_ms: float, points: Sequence[_Point]) -> float:
    """The MACs that take so long by a line through the two nearest points, one on either side where there is."""
    nearest = sorted(points, key=lambda point: abs(point[1] - log_ms))
    x, y = first = nearest[0]
    other_side = [point for point in nearest if (point[1] > log_ms) != (y > log_ms)]
    slope = USUAL_SLOPE
    for second in (other_side or nearest[1:])[:1]:
        if second[0] != first[0]:
            slope = (second[1] - y) / (second[0] - x)
    slope = min(max(slope, LEAST_SLOPE), LARGEST_SLOPE)
    return x + (log_ms - y) / slope
