"""Trials: one way to price networks, fitted to those that were measured and judged on those that a fold left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hwnas.latency.card import ErrorCard
from hwnas.latency.curve import LARGEST_BEND, Curve
from hwnas.latency.fitting.bayes import Posterior, fit_weights
from hwnas.latency.predictor import AdditivePredictor, count_blocks
from hwnas.latency.terms import BIAS, OWN_GROUPS, SUM, Term, Terms
from hwnas.latency.uncertainty import COVERAGE, Floor, Uncertainty
from hwnas.space import Architecture

FOLDS = 5
UNSEEN_VARIANCE = dict(zip(OWN_GROUPS, (0.05**2, 1.0), strict=True))
"""Of the own deviation of a block that no network held, where no other block of its group tells: 5 % of a measured one;
that of an estimated one counts in standard deviations of its estimate."""
MANY_NETWORKS = 200
"""From here on the folds of a cross-validation start from the variances of all networks, and share their curve, which
saves time; with fewer, these would give away some of what the fold must not know."""
STRAY_QUANTILE = 0.95
LEAST_OF_FASTEST = 0.1
"""No network is predicted to take less than this share of the fastest one that was fitted to. In the public tables the
fastest of thousands takes a quarter or more of the fastest of five, but for interrupted measurements."""
LUCK = 2.0
"""By so many standard errors of their root mean square may the errors of the best of several ways be too small."""
BEND_STEPS = 3
"""How often the bend of the curve and the weights of the sum are fitted in turn."""


@dataclass(frozen=True)
class Way:
    """A way to price networks: the terms, whether stray measurements are to be expected, and whether a curve is."""

    terms: Terms
    heavy_tails: bool = False
    bent: bool = False


@dataclass(frozen=True, eq=False)
class Design:
    """Networks as rows of terms, and which terms go together.

    Attributes:
        terms: one per column.
        values: (networks, terms).
        groups: (terms,), number of each term's group.
        prior: (terms,), mean of the weights a priori.
    """

    names: list[Term]
    values: np.ndarray
    groups: np.ndarray
    prior: np.ndarray

    @staticmethod
    def of(terms: Terms, architectures: Sequence[Architecture]) -> Design:
        blocks, counts = count_blocks(architectures)
        columns = {BIAS: np.ones(len(architectures))}
        columns |= {term: counts @ values for term, values in terms.columns(blocks).items()}
        columns = {term: values for term, values in columns.items() if values.any()}
        names = list(columns)
        values = np.array(list(columns.values())).T
        in_order = list(dict.fromkeys(group for group, _ in names))
        groups = np.array([in_order.index(group) for group, _ in names])
        prior = np.array([1.0 if term == SUM else 0.0 for term in names])
        return Design(names, values, groups, prior)

    def rows(self, which: np.ndarray) -> Design:
        """Some of the networks."""
        return replace(self, values=self.values[which])

    def fit(
        self, way: Way, measured_ms: np.ndarray, given: tuple[Posterior, Curve] | None = None
    ) -> tuple[Posterior, Curve]:
        """Weights of the terms, and the curve from their sum to the latency, for networks that took `measured_ms`.

        Args:
            given: of these networks and some more, to start from; the curve is taken as it is.
        """
        start, curve = given or (None, Curve(0.0, float(np.median(measured_ms))))
        posterior = self._weights(way, curve.sums(measured_ms), start)
        for _ in range(BEND_STEPS if way.bent and given is None else 0):
            sums = self.values @ posterior.mean
            wider = Design(
                self.names,
                np.column_stack([self.values, curve.deviation(sums)]),
                np.append(self.groups, self.groups.max() + 1),
                np.append(self.prior, 0.0),
            )
            more = wider._weights(way, curve.sums(measured_ms)).mean[-1]
            curve = replace(curve, bend=float(np.clip(curve.bend + more, 0.0, LARGEST_BEND)))
            posterior = self._weights(way, curve.sums(measured_ms))
        least_ms = float(curve.sums(LEAST_OF_FASTEST * measured_ms.min()))
        return posterior, curve if given else replace(curve, least_ms=least_ms)

    def _weights(self, way: Way, sums: np.ndarray, start: Posterior | None = None) -> Posterior:
        return fit_weights(self.values, self.groups, sums, self.prior, way.heavy_tails, start)


@dataclass(frozen=True, eq=False)
class Trial:
    """A way to price networks, fitted to all of them, and what it said of each before it had seen it."""

    way: Way
    design: Design
    posterior: Posterior
    """Of the weights that make the sum, which `curve` makes a latency of."""
    curve: Curve
    measured_ms: np.ndarray
    unseen_ms: np.ndarray
    unseen_deviation: np.ndarray
    luck: float = 1.0
    """How many times larger its errors would have been if it had not been chosen for them."""

    @property
    def errors(self) -> np.ndarray:
        """(networks,) relative."""
        return np.abs(self.unseen_ms - self.measured_ms) / self.measured_ms

    @property
    def name(self) -> str:
        """How it prices, in words for the card."""
        words = "block costs" if self.way.terms.block_ms is None else "calibrated block sum"
        if any(group == "edge" for group, _ in self.design.names):
            executed = {"live": "edges on a path", "needed": "edges the output needs", "written": "all edges"}
            words += f", cells: {executed[self.way.terms.executed]}"
            words += "".join(f", {extra}" for extra in self.way.terms.extras)
        words += f", bent by {100 * self.curve.bend:.0f} %" if self.curve.bend else ""
        return words + (", robust" if self.way.heavy_tails else "")

    def predictor(self, card: ErrorCard) -> AdditivePredictor:
        design, posterior = self.design, self.posterior
        weights = dict(zip(design.names, posterior.mean.tolist(), strict=True))
        covariance = self._with_unseen(weights)
        noise = float(np.sqrt(posterior.noise_variance))
        surprise = np.abs(self.unseen_ms - self.measured_ms) / self.unseen_ms / self.unseen_deviation
        spread = _conformal_quantile(self.luck * surprise)
        floor = Floor.of(self.measured_ms, self.unseen_ms, self.luck)
        # of networks that were not fitted to, as those will be that are asked for
        typical = np.median(np.maximum(spread * self.unseen_deviation, floor.half_widths(self.unseen_ms)))
        uncertainty = Uncertainty(float(typical), noise, spread, covariance, floor)
        return AdditivePredictor(self.way.terms, weights, uncertainty, card, self.curve)

    def _with_unseen(self, weights: dict[Term, float]) -> np.ndarray:
        """The covariance of the weights, to which a weight of 0 is added for the deviation of blocks not seen yet."""
        in_order = list(dict.fromkeys(group for group, _ in self.design.names))
        variances = dict(zip(in_order, self.posterior.variances.tolist(), strict=True))
        unseen = {("unseen", group): variances.get(group, guess) for group, guess in UNSEEN_VARIANCE.items()}
        weights |= dict.fromkeys(unseen, 0.0)
        size = len(self.design.names)
        covariance = np.diag([0.0] * size + list(unseen.values()))
        covariance[:size, :size] = self.posterior.covariance
        return covariance

    @staticmethod
    def of(way: Way, architectures: Sequence[Architecture], measured_ms: np.ndarray) -> Trial:
        """Fit it, and cross-validate it."""
        from sklearn.model_selection import KFold

        design = Design.of(way.terms, architectures)
        posterior, curve = design.fit(way, measured_ms)
        unseen_ms, deviation = np.empty_like(measured_ms), np.empty_like(measured_ms)
        for train, test in KFold(FOLDS, shuffle=True, random_state=0).split(design.values):
            start = replace(posterior, say=posterior.say[train]) if len(measured_ms) >= MANY_NETWORKS else None
            given = (start, curve) if start else None
            fold, fold_curve = design.rows(train).fit(way, measured_ms[train], given)
            sums = fold_curve.floored(design.values[test] @ fold.mean)
            unseen_ms[test] = fold_curve.ms(sums)
            variance = fold.relative_variance(design.values[test], sums)
            noise_variance = (posterior if start else fold).noise_variance
            deviation[test] = fold_curve.elasticity(sums) * np.sqrt(noise_variance + variance)
        return Trial(way, design, posterior, curve, measured_ms, unseen_ms, deviation)

    def among(self, tried: Sequence[Trial]) -> Trial:
        """This one, as it was chosen from several: the smallest of several errors is too small, by luck.

        The errors of the median way stand for those without luck, as far as luck explains them: of n errors the root
        mean square has a relative standard error of 1 / sqrt(2 n). So it counts with 5 networks, and not with hundreds.
        """
        sizes = [float(np.sqrt(np.square(trial.errors).mean())) for trial in (self, *tried)]
        ratio = np.median(sizes[1:]) / max(sizes[0], 1e-12)
        return replace(self, luck=float(np.clip(ratio, 1.0, 1 + LUCK / np.sqrt(2 * len(self.errors)))))

    def is_better(self, other: Trial) -> bool:
        """Whether it errs less by more than the standard error of that: what is simple stays until it is disproved.

        The largest errors count as the 95 % quantile, or a few stray measurements would decide.
        """
        stray = np.quantile(other.errors, STRAY_QUANTILE)
        gain = np.minimum(other.errors, stray) - np.minimum(self.errors, stray)
        return bool(gain.mean() > gain.std() / np.sqrt(len(gain)))


def _conformal_quantile(surprise: np.ndarray) -> float:
    """What nine in ten of the errors of unseen networks stay below; between two of them, interpolated.

    Half a standard error more, since few networks say little of a quantile and chose the way to price them, too.
    """
    n = len(surprise)
    share = COVERAGE + 0.5 * np.sqrt(COVERAGE * (1 - COVERAGE) / n)
    return float(np.interp(share * (n + 1), np.arange(1, n + 1), np.sort(surprise)))
