"""The RelativeRegression: latencies as a sum of costs, and deviations from it that are alike for rows that are alike.

    ms = costs @ unit costs + reference ms * (smooth deviation + noise)

The first term adds up and explains most from a dozen rows on; its unit costs have a prior. Its errors are alike for
rows that are alike, and a Gaussian process learns them as there are more rows. Both are fitted at once, on *relative*
errors (a block of 0.1 ms counts as much as one of 10 ms), and how much either counts follows from the data.

Blocks are priced with it (`regression`: costs of the operators that a runtime executes), and networks on a new device
(`transfer`: costs are their latencies on known devices).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from pydantic import BaseModel, Field

from hwnas.errors import HwnasError
from hwnas.foreign import Finite, Ms, Positive, typed
from hwnas.latency.arrays import Floats
from hwnas.latency.conformal import conformal_quantile
from hwnas.latency.fitting.gaussian_process import GaussianProcess, Hyperparameters, covariance

MIN_ROWS = 3
MAX_ROWS = 1000
"""More rows would make fitting slow, with their cube, and tell little more: so many, at random, are taken."""

FOLDS = 5

RIDGES = 10.0 ** np.arange(-5, 1.5, 0.5)
"""How strongly the reference is drawn to the prior: each is tried."""

WILD = 0.3
"""While that is decided, a row that is further off than this counts no more than this."""

LEAST_SHARE = 0.3
"""A prediction below this share of the prior's would be an extrapolation gone wrong: it is held there."""

MOST_RELATIVE_STD, MOST_WIDENING = 1.0, 1e6
"""Where a stray row leaves deviations beyond these, nothing is known of the others either."""

NORMAL_90 = 1.645
"""A normal variable is within so many standard deviations of its mean nine times in ten."""


@dataclass(frozen=True, eq=False)
class RelativeRegression:
    """Measured rows and the model that was fitted to them.

    Attributes:
        costs: (n, p), in units in which all unit costs are expected to be of one size.
        places: (n, d), where each row is: rows that are close are alike.
        measured_ms: (n,).
        prior: (p,), unit costs as expected, but for the speed of the device.
        speed: factor of `prior`, by the median row.
        unit_costs: (p,), of the reference, which errors are relative to.
        hyperparameters: of the Gaussian process.
        sample_weight: (n,), about 1; low where a row disagrees with all others.
        widening: how much wider than the process says intervals must be to hold 90 % of unseen rows; 1 or more.
    """

    costs: Floats
    places: Floats
    measured_ms: Floats
    prior: Floats
    speed: float
    unit_costs: Floats
    hyperparameters: Hyperparameters
    sample_weight: Floats
    widening: float = 1.0

    @staticmethod
    def fit(
        costs: Floats, places: Floats, measured_ms: Floats, prior: Floats, expected: Hyperparameters
    ) -> RelativeRegression:
        """Fit all of it; hyper-parameters start from those `expected`.

        Raises HwnasError for fewer than `MIN_ROWS` rows, or a latency that is not positive and finite.
        """
        if len(measured_ms) < MIN_ROWS:
            raise HwnasError(
                f"{len(measured_ms)} measured latencies are too few to predict others from; measure {MIN_ROWS} or more."
            )
        if not (np.isfinite(measured_ms).all() and (measured_ms > 0).all()):
            raise HwnasError("a measured latency is not a positive number of milliseconds; measure it again.")
        rows = np.random.default_rng(0).permutation(len(measured_ms))[:MAX_ROWS]
        data = (costs[rows], places[rows], measured_ms[rows])
        return replace(_fit(*data, prior, expected), widening=_widening(*data, prior, expected))

    def predict(self, costs: Floats, places: Floats) -> tuple[Floats, Floats]:
        """The ms (m,) of rows, and their standard deviations relative to it (m,)."""
        reference, linear, expected = self._relative(costs)
        deviation, std = self._process.predict(linear, places)
        relative = np.maximum(expected + deviation, LEAST_SHARE * expected)
        return reference * relative, np.minimum(self.widening * std / relative, MOST_RELATIVE_STD)

    @property
    def left_out_percent(self) -> float:
        """Mean error of the measured rows when each is predicted from the others; hyper-parameters are those of all."""
        reference, _, _ = self._relative(self.costs)
        errors, _ = self._process.leave_one_out()
        return float(100 * np.mean(np.abs(errors) * reference / self.measured_ms))

    @cached_property
    def _process(self) -> GaussianProcess:
        reference, linear, expected = self._relative(self.costs)
        targets = self.measured_ms / reference - expected
        return GaussianProcess(linear, self.places, targets, self.hyperparameters, self.sample_weight)

    def _relative(self, costs: Floats) -> tuple[Floats, Floats, Floats]:
        """The reference ms (n,); costs (n, p) and what the prior expects of them (n,), both relative to it."""
        costs = self.speed * costs
        reference = np.maximum(costs @ self.unit_costs, LEAST_SHARE * costs @ self.prior)
        reference = np.maximum(reference, np.finfo(float).tiny)  # a row without costs
        linear = costs / reference[:, None]
        return reference, linear, linear @ self.prior

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON data; `from_json` takes it back."""
        arrays = {_IN_FILES.get(name, name): getattr(self, name).tolist() for name in _ARRAYS}
        scalars = {"speed": self.speed, "widening": self.widening}
        return {**scalars, "hyperparameters": asdict(self.hyperparameters), **arrays}

    @staticmethod
    def from_json(data: Any) -> RelativeRegression:
        """The regression that `to_json` wrote. Raises ValueError if it is damaged."""
        found = typed(_Fitted, data)
        arrays: dict[str, Any] = {name: np.array(getattr(found, name), dtype=float) for name in _ARRAYS}
        rows, columns, places = len(found.measured_ms), len(found.prior), len(found.hyperparameters.lengths)
        shapes = {
            "costs": (rows, columns),
            "places": (rows, places),
            "unit_costs": (columns,),
            "sample_weight": (rows,),
        }
        for name, shape in shapes.items():
            if (found_shape := arrays[name].shape) != shape:
                key = _IN_FILES.get(name, name)
                raise ValueError(f"{key}: must have the shape {shape} of the other arrays, not {found_shape}")
        scalars = {"speed": found.speed, "widening": found.widening}
        return RelativeRegression(**arrays, **scalars, hyperparameters=found.hyperparameters)


class _Fitted(BaseModel):
    """The JSON of a RelativeRegression."""

    costs: list[list[Finite]]
    places: list[list[Finite]]
    measured_ms: list[Ms] = Field(min_length=1)
    prior: list[Finite]
    speed: Positive
    unit_costs: list[Finite]
    hyperparameters: Hyperparameters
    sample_weight: list[Positive] = Field(alias="trust")
    widening: float = Field(ge=1, le=MOST_WIDENING)


_ARRAYS = ("costs", "places", "measured_ms", "prior", "unit_costs", "sample_weight")
_IN_FILES = {"sample_weight": "trust"}
"""Fields that JSON data call otherwise."""


def prior_rows(costs: Floats, places: Floats, prior: Floats, expected: Hyperparameters) -> Floats:
    """(n, r) features, weights of standard deviation 1, of the linear model that expects of n rows what this one does.

    `hwnas.latency.fitting.selection` chooses the rows to measure by them.
    """
    linear = costs / np.maximum(costs @ prior, np.finfo(float).tiny)[:, None]
    values, vectors = np.linalg.eigh(covariance(linear, places, linear, places, expected))
    kept = values > 1e-6 * values[-1]
    rows: Floats = vectors[:, kept] * np.sqrt(values[kept])
    return rows


def _fit(
    costs: Floats, places: Floats, measured_ms: Floats, prior: Floats, expected: Hyperparameters
) -> RelativeRegression:
    speed = float(np.median(measured_ms / (costs @ prior)))
    unit_costs = _ridge(speed * costs / measured_ms[:, None], prior)
    ones = np.ones(len(costs))
    start = RelativeRegression(costs, places, measured_ms, prior, speed, unit_costs, expected, ones)
    rough = start._process
    process = GaussianProcess.fit(rough.linear, rough.places, rough.targets, expected)
    return replace(start, hyperparameters=process.hyperparameters, sample_weight=process.sample_weight)


def _ridge(relative: Floats, prior: Floats) -> Floats:
    """Unit costs (p,) that bring every row of costs, relative to its measured ms, to 1; drawn to the prior.

    How strongly is decided by leave-one-out error.
    """
    left, sizes, right = np.linalg.svd(relative, full_matrices=False)
    missing = 1 - relative @ prior
    shrunk = sizes**2 / (sizes**2 + RIDGES[:, None])
    fitted = (shrunk * (left.T @ missing)) @ left.T
    unseen = (missing - fitted) / np.maximum(1 - shrunk @ (left**2).T, 1e-9)
    best = RIDGES[int(np.square(np.minimum(np.abs(unseen), WILD)).mean(1).argmin())]
    correction: Floats = right.T @ (sizes / (sizes**2 + best) * (left.T @ missing))
    return prior + correction


def _widening(costs: Floats, places: Floats, measured_ms: Floats, prior: Floats, expected: Hyperparameters) -> float:
    """Conformal: the 90 % quantile of how many 90 % intervals each row is off when fitted without it (5 folds)."""
    off = np.empty(len(measured_ms))
    folds = np.arange(len(measured_ms)) % FOLDS  # rows are in random order
    for fold in range(min(FOLDS, len(measured_ms))):
        seen, unseen = folds != fold, folds == fold
        ms, std = _fit(costs[seen], places[seen], measured_ms[seen], prior, expected).predict(
            costs[unseen], places[unseen]
        )
        off[unseen] = np.abs(measured_ms[unseen] / ms - 1) / (NORMAL_90 * std)
    return float(np.clip(conformal_quantile(off), 1.0, MOST_WIDENING))
