"""The Transfer: a new device's latencies, from known devices' latencies of the same networks and a few measured on it.

A network that is slow on one phone is slow on the next, but not in one ratio: caches, cores and kernels differ. The
new device's ms are a sum of the known devices' ms and a constant, plus a deviation that is alike for networks that are
alike: of similar ms, similar ratios between the devices, similar arithmetic per ms. Five to twenty networks settle it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwnas.errors import UsageError
from hwnas.latency.arrays import Floats, Ints
from hwnas.latency.fitting.gaussian_process import Hyperparameters
from hwnas.latency.fitting.relative import RelativeRegression, prior_rows
from hwnas.latency.fitting.selection import most_informative

LENGTH = 3.0
"""Deviations fade over so many standard deviations of the networks."""

AMPLITUDES = (0.3, 0.1, 0.05)
"""Each known device's share is about equal, give or take 0.3; likeness is worth 10 %, and noise 5 %."""

SELECTION_SMOOTH, SELECTION_NOISE = 0.2, 0.1
"""When selecting networks, expect stranger devices than most are: the selection then covers all kinds of networks."""

MAX_CANDIDATES = 1000


@dataclass(frozen=True, eq=False)
class Transfer:
    """Maps networks' latencies on known devices to a new one.

    Attributes:
        model: fitted on the networks measured on the new device.
        view: how networks are compared.
    """

    model: RelativeRegression
    view: _View

    @staticmethod
    def fit(known_ms: Floats, measured: Ints, measured_ms: Floats, sizes: Floats | None = None) -> Transfer:
        """Fit the networks measured on the new device.

        Args:
            known_ms: (n, devices), the latencies of all networks of interest on known devices, measured or predicted.
            measured: (k,), which of the n networks were measured on the new device.
            measured_ms: (k,), their latencies there.
            sizes: (n, m) or None, positive sizes of the networks (MACs, bytes of weights) that may explain why devices
                differ.

        Raises:
            UsageError: if the shapes do not fit together, or a latency or size is not positive.
            HwnasError: for fewer than 3 measured networks.
        """
        view = _View.of(known_ms, sizes)
        rows = np.asarray(measured, dtype=int)
        costs, places = view.rows(known_ms, sizes)
        ms = np.asarray(measured_ms, dtype=float)
        if ms.shape != rows.shape:
            raise UsageError(f"{len(rows)} networks were measured, but there are {len(ms)} latencies of them.")
        model = RelativeRegression.fit(costs[rows], places[rows], ms, view.prior, view.expected(*AMPLITUDES))
        return Transfer(model, view)

    def predict(self, known_ms: Floats, sizes: Floats | None = None) -> tuple[Floats, Floats]:
        """The new device's ms (n,) of networks, and their relative standard deviations (n,).

        Nine in ten networks lie within ``ms * (1 +- 1.645 * relative_std)``. Raises UsageError for other devices or
        sizes than those it was fitted with.
        """
        return self.model.predict(*self.view.rows(known_ms, sizes))


def informative_networks(known_ms: Floats, count: int, sizes: Floats | None = None, seed: int = 0) -> list[int]:
    """Which networks to measure on a new device so that a Transfer predicts all of them best, in this order.

    Args:
        known_ms: (n, devices), latencies of the candidates on known devices.
        count: how many to choose.
        sizes: (n, m) or None, as for `Transfer.fit`.
        seed: which candidates are looked at where there are more than 1,000, and the order of equals.
    """
    view = _View.of(known_ms, sizes)
    costs, places = view.rows(known_ms, sizes)
    pool = np.random.default_rng(seed).permutation(len(costs))[: max(MAX_CANDIDATES, count)]
    rows = prior_rows(
        costs[pool], places[pool], view.prior, view.expected(AMPLITUDES[0], SELECTION_SMOOTH, SELECTION_NOISE)
    )
    chosen = most_informative(rows, count, prior_std=np.ones(rows.shape[1]), noise=SELECTION_NOISE, seed=seed)
    return [int(pool[i]) for i in chosen]


@dataclass(frozen=True, eq=False)
class _View:
    """Units in which networks are compared: those of the population that a transfer is made for.

    Attributes:
        typical_ms: (devices,), geometric mean.
        centre: (d,), mean of the places.
        spread: (d,), their standard deviation.
    """

    typical_ms: Floats
    centre: Floats
    spread: Floats

    @staticmethod
    def of(known_ms: Floats, sizes: Floats | None) -> _View:
        places = _places(known_ms, sizes)
        spread = places.std(0)
        typical_ms = np.exp(np.log(known_ms).mean(0))
        return _View(typical_ms, places.mean(0), np.where(spread > 1e-9, spread, 1.0))

    @property
    def prior(self) -> Floats:
        """Equal shares of every device, and nothing that is the same for all networks."""
        devices = len(self.typical_ms)
        return np.append(np.full(devices, 1 / devices), 0.0)

    def expected(self, linear: float, smooth: float, noise: float) -> Hyperparameters:
        return Hyperparameters(linear, smooth, noise, (LENGTH,) * len(self.centre))

    def rows(self, known_ms: Floats, sizes: Floats | None) -> tuple[Floats, Floats]:
        """Costs (n, devices + 1) and places (n, d). Raises UsageError for another number of devices or sizes."""
        places = _places(known_ms, sizes)
        if known_ms.shape[1] != len(self.typical_ms) or places.shape[1] != len(self.centre):
            raise UsageError(
                f"this transfer was fitted on {len(self.typical_ms)} known devices, and with or without sizes of the "
                f"networks; give it the same, not {known_ms.shape[1]} devices and {places.shape[1]} comparisons."
            )
        costs = np.column_stack([known_ms / self.typical_ms, np.ones(len(known_ms))])
        return costs, (places - self.centre) / self.spread


def _places(known_ms: Floats, sizes: Floats | None) -> Floats:
    """(n, d) logarithms: the mean ms, the ratios between devices, and sizes per ms."""
    if known_ms.ndim != 2 or not known_ms.shape[1]:
        raise UsageError(f"latencies on known devices must be (networks, devices), not {known_ms.shape}.")
    if not (np.isfinite(known_ms).all() and (known_ms > 0).all()):
        raise UsageError("a latency on a known device is not a positive number of milliseconds; leave its network out.")
    logs = np.log(known_ms)
    level = logs.mean(1, keepdims=True)
    columns = [level, (logs - level)[:, :-1]]
    if sizes is not None:
        if sizes.ndim != 2 or len(sizes) != len(known_ms) or not (np.isfinite(sizes).all() and (sizes > 0).all()):
            raise UsageError(f"sizes must be positive numbers, one row per network, not an array of {sizes.shape}.")
        columns.append(np.log(sizes) - level)
    return np.column_stack(columns)
