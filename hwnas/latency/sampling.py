"""Uniformly random architectures among those within a limit, also where next to none of a space is.

Dynamic programming counts, for every decision and every rest of the limit, in how many ways the later decisions can be
made within it; the decisions are then drawn one after the other in proportion to these counts. Latencies are rounded
*down* to a grid, so that nothing within the limit is left out, and the few draws that are over it in truth are drawn
again: what remains is exactly uniform.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Protocol

import numpy as np

from hwnas.errors import HwnasError
from hwnas.latency.predictor import AdditivePredictor
from hwnas.space import Architecture, SearchSpace

BINS = 4096
"""Steps of the grid between the fastest architecture and the limit. Of 22 decisions' draws about 1 in 100 is over."""

ROUNDING = 1e-12
"""What a limit may be exceeded by, relative: sums in another order differ by as much."""

DRAWS = 10_000
"""Draws for one architecture that `accept` takes, at most."""


class Random(Protocol):
    """A seeded ``random.Random`` or numpy Generator."""

    def random(self) -> float: ...


class UniformWithin:
    """Draws architectures of a space, each of those within a limit with the same probability (codes, not networks).

    Args:
        predictor: prices the space, as a sum over its decisions.
        space: what is drawn from.
        limit_ms: limit on the predicted latency.
        accept: what else a drawn architecture must be; None: nothing.

    Raises:
        HwnasError: no architecture is within the limit.
    """

    def __init__(
        self,
        predictor: AdditivePredictor,
        space: SearchSpace,
        limit_ms: float,
        accept: Callable[[Architecture], bool] | None = None,
    ) -> None:
        fixed_ms, costs = predictor.decision_costs(space)
        self._space, self._accept = space, accept
        self._shapes = [cost.shape for cost in costs]
        self._excess_ms = [cost.ravel() - cost.min() for cost in costs]
        fastest_ms = fixed_ms + sum(cost.min() for cost in costs)
        rest_ms = float(predictor.curve.sum_ms(limit_ms) - fastest_ms)
        if rest_ms < -ROUNDING * abs(fastest_ms):
            raise HwnasError(
                f"no architecture of space {space.name!r} is within {limit_ms:.4g} ms; raise the limit to "
                f"{predictor.predict(predictor.extremes(space)[0]).ms:.4g} ms or more."
            )
        self._rest_ms = max(rest_ms, ROUNDING * abs(fastest_ms))
        step_ms = max(self._rest_ms / BINS, np.finfo(float).tiny)
        bins = [np.minimum(excess // step_ms, BINS + 1).astype(int) for excess in self._excess_ms]
        # per decision: its options in the order of their bins, and where each bin begins
        self._options = [np.argsort(own, kind="stable") for own in bins]
        sizes = [np.bincount(own, minlength=BINS + 2)[: BINS + 1].astype(float) for own in bins]
        self._sizes = sizes
        self._starts = [np.concatenate([[0], np.cumsum(own)]).astype(int) for own in sizes]
        self._ways = [np.ones(BINS + 1)]  # to decide nothing, there is one way
        for own in reversed(sizes):
            self._ways.insert(0, np.convolve(own, self._ways[0])[: BINS + 1])

    @property
    def count(self) -> float:
        """About how many codes are within the limit: at least as many, and a percent more at most for 40 decisions."""
        return float(self._ways[0][BINS])

    def __call__(self, rng: Random) -> Architecture:
        """One of them. Raises HwnasError if `accept` takes none of `DRAWS`."""
        for _ in range(DRAWS):
            options = self._draw(rng)
            if sum(excess[k] for excess, k in zip(self._excess_ms, options, strict=True)) > self._rest_ms:
                continue
            code = itertools.chain.from_iterable(
                map(int, np.unravel_index(k, shape)) for k, shape in zip(options, self._shapes, strict=True)
            )
            architecture = self._space.decode(list(code))
            if self._accept is None or self._accept(architecture):
                return architecture
        raise HwnasError(
            f"none of {DRAWS:,} random architectures of space {self._space.name!r} within the limit is acceptable; "
            "raise the budget."
        )

    def _draw(self, rng: Random) -> list[int]:
        """One option per decision, within the limit on the grid."""
        chosen, rest = [], BINS
        for options, sizes, starts, later in zip(self._options, self._sizes, self._starts, self._ways[1:], strict=True):
            weights = np.cumsum(sizes[: rest + 1] * later[rest::-1])
            used = int(np.searchsorted(weights, rng.random() * weights[-1], side="right"))
            used = min(used, int(np.searchsorted(weights, weights[-1])))  # where rounding met the total
            size = starts[used + 1] - starts[used]
            chosen.append(int(options[starts[used] + int(rng.random() * size)]))
            rest -= used
        return chosen
