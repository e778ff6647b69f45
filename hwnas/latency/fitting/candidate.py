"""Candidate models of latency: each is fitted to measured networks and evaluated on those that a fold left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hwnas.latency.additive import AdditivePredictor
from hwnas.latency.arrays import Floats, Ints
from hwnas.latency.card import ErrorCard
from hwnas.latency.conformal import conformal_quantile
from hwnas.latency.curve import LARGEST_BEND, Curve
from hwnas.latency.fitting.bayes import Posterior, fit_weights
from hwnas.latency.terms import BIAS, OWN_GROUPS, SUM, Term, Terms, count_blocks
from hwnas.latency.uncertainty import Floor, Uncertainty
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
"""The errors of the best of several candidates may be too small by so many standard errors of their size."""
BEND_STEPS = 3
"""How often the bend of the curve and the weights of the sum are fitted in turn."""


@dataclass(frozen=True)
class CandidateModel:
    """The form of a model: its terms, whether stray measurements are to be expected, and whether a curve is."""

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
    values: Floats
    groups: Ints
    prior: Floats

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

    def rows(self, which: Ints) -> Design:
        """Some of the networks."""
        return replace(self, values=self.values[which])

    def fit(
        self, model: CandidateModel, measured_ms: Floats, given: tuple[Posterior, Curve] | None = None
    ) -> tuple[Posterior, Curve]:
        """Weights of the terms, and the curve from their sum to the latency, for networks that took `measured_ms`.

        Args:
            given: of these networks and some more, to start from; the curve is taken as it is.
        """
        start, curve = given or (None, Curve(0.0, float(np.median(measured_ms))))
        posterior = self._weights(model, curve.sums(measured_ms), start)
        for _ in range(BEND_STEPS if model.bent and given is None else 0):
            sums = self.values @ posterior.mean
            wider = Design(
                self.names,
                np.column_stack([self.values, curve.deviation(sums)]),
                np.append(self.groups, self.groups.max() + 1),
                np.append(self.prior, 0.0),
            )
            more = wider._weights(model, curve.sums(measured_ms)).mean[-1]
            curve = replace(curve, bend=float(np.clip(curve.bend + more, 0.0, LARGEST_BEND)))
            posterior = self._weights(model, curve.sums(measured_ms))
        least_ms = float(curve.sums(LEAST_OF_FASTEST * measured_ms.min()))
        return posterior, curve if given else replace(curve, least_ms=least_ms)

    def _weights(self, model: CandidateModel, sums: Floats, start: Posterior | None = None) -> Posterior:
        return fit_weights(self.values, self.groups, sums, self.prior, model.heavy_tails, start)


@dataclass(frozen=True, eq=False)
class FittedCandidate:
    """A candidate model fitted to all networks, and its predictions of each by a fit that had not seen it."""

    model: CandidateModel
    design: Design
    posterior: Posterior
    """Of the weights that make the sum, which `curve` makes a latency of."""
    curve: Curve
    measured_ms: Floats
    unseen_ms: Floats
    unseen_deviation: Floats
    luck: float = 1.0
    """How many times larger its errors would have been if it had not been chosen for them."""

    @property
    def errors(self) -> Floats:
        """(networks,) relative."""
        errors: Floats = np.abs(self.unseen_ms - self.measured_ms) / self.measured_ms
        return errors

    @property
    def name(self) -> str:
        """How it prices, in words for the card."""
        words = "block costs" if self.model.terms.block_ms is None else "calibrated block sum"
        if any(group == "edge" for group, _ in self.design.names):
            executed = {"live": "edges on a path", "needed": "edges the output needs", "written": "all edges"}
            words += f", cells: {executed[self.model.terms.executed]}"
            words += "".join(f", {extra}" for extra in self.model.terms.extras)
        words += f", bent by {100 * self.curve.bend:.0f} %" if self.curve.bend else ""
        return words + (", robust" if self.model.heavy_tails else "")

    def predictor(self, card: ErrorCard) -> AdditivePredictor:
        design, posterior = self.design, self.posterior
        weights = dict(zip(design.names, posterior.mean.tolist(), strict=True))
        covariance = self._with_unseen(weights)
        noise = float(np.sqrt(posterior.noise_variance))
        surprise = np.abs(self.unseen_ms - self.measured_ms) / self.unseen_ms / self.unseen_deviation
        spread = conformal_quantile(self.luck * surprise)
        floor = Floor.of(self.measured_ms, self.unseen_ms, self.luck)
        # of networks that were not fitted to, as those will be that are asked for
        typical = np.median(np.maximum(spread * self.unseen_deviation, floor.half_widths(self.unseen_ms)))
        uncertainty = Uncertainty(float(typical), noise, spread, covariance, floor)
        return AdditivePredictor(self.model.terms, weights, uncertainty, card, self.curve)

    def _with_unseen(self, weights: dict[Term, float]) -> Floats:
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
    def of(model: CandidateModel, architectures: Sequence[Architecture], measured_ms: Floats) -> FittedCandidate:
        """Fit it, and cross-validate it."""
        from sklearn.model_selection import KFold

        design = Design.of(model.terms, architectures)
        posterior, curve = design.fit(model, measured_ms)
        unseen_ms, deviation = np.empty_like(measured_ms), np.empty_like(measured_ms)
        for train, test in KFold(FOLDS, shuffle=True, random_state=0).split(design.values):
            given = None
            if len(measured_ms) >= MANY_NETWORKS:
                given = replace(posterior, sample_weight=posterior.sample_weight[train]), curve
            fold, fold_curve = design.rows(train).fit(model, measured_ms[train], given)
            sums = fold_curve.floored(design.values[test] @ fold.mean)
            unseen_ms[test] = fold_curve.ms(sums)
            variance = fold.relative_variance(design.values[test], sums)
            noise_variance = (posterior if given else fold).noise_variance
            deviation[test] = fold_curve.elasticity(sums) * np.sqrt(noise_variance + variance)
        return FittedCandidate(model, design, posterior, curve, measured_ms, unseen_ms, deviation)

    def among(self, tried: Sequence[FittedCandidate]) -> FittedCandidate:
        """This one, as it was chosen from several: the smallest of several errors is too small, by luck.

        The errors of the median candidate stand for those without luck, as far as luck explains them: of n errors the
        root mean square has a relative standard error of 1 / sqrt(2 n). So it counts with 5 networks, and not with
        hundreds.
        """
        sizes = [float(np.sqrt(np.square(candidate.errors).mean())) for candidate in (self, *tried)]
        ratio = np.median(sizes[1:]) / max(sizes[0], 1e-12)
        return replace(self, luck=float(np.clip(ratio, 1.0, 1 + LUCK / np.sqrt(2 * len(self.errors)))))

    def is_better(self, other: FittedCandidate) -> bool:
        """Whether it errs less by more than the standard error of that: what is simple stays until it is disproved.

        The largest errors count as the 95 % quantile, or a few stray measurements would decide.
        """
        stray = np.quantile(other.errors, STRAY_QUANTILE)
        gain = np.minimum(other.errors, stray) - np.minimum(self.errors, stray)
        return bool(gain.mean() > gain.std() / np.sqrt(len(gain)))
