"""The Uncertainty of a predictor: how wide the 90 % interval of a prediction is, and where it ends.

Two things widen an interval, and the wider one counts. The model's own deviation says which networks it knows less of;
it is scaled so that nine in ten networks that a fold had not seen lie within (conformal). With few networks that scale
and that deviation are themselves guesses, so no interval is narrower than the errors on unseen networks support: by
Student's t, which knows how few they were, relative to the square root of the latency (an error that is the same share
of every network would not depend on it, one of so many microseconds would fall with it; tables show something between),
and never narrower than the mean error. For both the errors count as large as they would be without luck: the model was
chosen for making few.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwnas.foreign import NotNegative, Positive
from hwnas.latency.arrays import Floats
from hwnas.latency.conformal import COVERAGE
from hwnas.latency.curve import Curve


@dataclass(frozen=True)
class Floor:
    """The least half width of an interval, relative.

    Attributes:
        half_width: of a network of `usual_ms`; of others it falls with the square root of the latency.
        usual_ms: the latency of a usual network.
        least: the half width that none falls below.
    """

    half_width: NotNegative = 0.0
    usual_ms: Positive = 1.0
    least: NotNegative = 0.0

    @staticmethod
    def of(measured_ms: Floats, unseen_ms: Floats, luck: float = 1.0) -> Floor:
        """The floor that the errors on unseen networks support; both arrays (n,), n at least 3, in ms.

        Student's t has n - 2 degrees of freedom: a bias and a scale, at least, were fitted to the networks.

        Args:
            luck: how many times as large as these the errors are, for all that is known; see `FittedCandidate.among`.
        """
        from scipy.stats import t

        n, usual_ms = len(measured_ms), float(np.median(measured_ms))
        off = luck * np.abs(unseen_ms - measured_ms)
        scaled = off / unseen_ms * np.sqrt(unseen_ms / usual_ms)
        quantile = float(t.ppf((1 + COVERAGE) / 2, n - 2))
        half_width = quantile * float(np.sqrt((1 + 1 / n) * np.square(scaled).mean()))
        least = float((off / measured_ms).mean())
        return Floor(max(half_width, least), usual_ms, least)

    def half_widths(self, ms: Floats) -> Floats:
        """(n,), of predictions of `ms` (n,)."""
        falling: Floats = self.half_width * np.sqrt(self.usual_ms / np.maximum(ms, 1e-12))
        return np.maximum(falling, self.least)

    def largest_ms(self, end_ms: float) -> float:
        """The largest prediction whose interval is no wider than this and ends within `end_ms`."""
        slope = self.half_width * np.sqrt(self.usual_ms)
        root = 2 * end_ms / (slope + np.sqrt(slope**2 + 4 * end_ms))  # of x * x + slope * x = end_ms
        return float(min(root**2, end_ms / (1 + self.least)))


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """How far off predictions are.

    Attributes:
        half_width: half of the 90 % interval of a network like those measured, relative to its ms.
        noise: relative standard deviation of the error of the sum that the model expects of a network whose weights it
            knows.
        spread: half width of the 90 % interval per unit of the model's standard deviation (conformal: from errors on
            networks it had not seen).
        covariance: (terms, terms) of the weights, in the order of the weights; None if only `half_width` is known.
        floor: the least width of an interval.
    """

    half_width: float
    noise: float = 0.0
    spread: float = 0.0
    covariance: Floats | None = None
    floor: Floor = Floor()

    def half_ms(self, values: Floats, sums: Floats, curve: Curve) -> Floats:
        """(n,): half of the interval of each of n predictions in ms, from their terms (n, terms) and sums (n,)."""
        ms = curve.ms(sums)
        if self.covariance is None:
            return self.half_width * ms
        return np.maximum(self.own_half_ms(values, sums, curve), ms * self.floor.half_widths(ms))

    def own_half_ms(self, values: Floats, sums: Floats, curve: Curve) -> Floats:
        """The same without the floor: by the model's own deviation."""
        assert self.covariance is not None
        # a saved covariance is rounded, and may give a variance a little below 0 where it is 0
        variance = ((values @ self.covariance) * values).sum(1).clip(min=0.0)
        sums = curve.floored(sums)
        half_ms: Floats = self.spread * curve.slope(sums) * np.sqrt((self.noise * sums) ** 2 + variance)
        return half_ms

    def largest_ms(self, end_ms: float) -> float:
        """The largest prediction whose interval can end within `end_ms`: that of a network known well enough does."""
        return end_ms / (1 + self.half_width) if self.covariance is None else self.floor.largest_ms(end_ms)

    def end_gradient(self, values: Floats, weights: Floats, curve: Curve) -> Floats:
        """(terms,): what the end of the model's own interval gains per unit of each term, at a network of `values`.

        That end is ``curve(s) + spread * curve'(s) * sqrt((noise * s)^2 + v' covariance v)`` with ``s = weights' v``:
        convex in the terms v of a network, but for the bend. Where the sum is below the curve's least, s stays at that.
        """
        assert self.covariance is not None
        total = float(values @ weights)
        if total < curve.least_ms:
            total, weights = curve.least_ms, np.zeros_like(weights)
        slope, bend = curve.slope(total), curve.slope(total + 1.0) - curve.slope(total)
        wide = self.covariance @ values
        deviation = float(np.sqrt((self.noise * total) ** 2 + max(float(values @ wide), 0.0)))
        sideways = (self.noise**2 * total * weights + wide) / max(deviation, 1e-12)
        return (slope + self.spread * bend * deviation) * weights + self.spread * slope * sideways
