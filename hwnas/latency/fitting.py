"""From a table to a LatencyPredictor: choose how networks are priced by cross-validation, weigh the terms, judge it.

Block measurements are the prior, whole networks move it: with none the predictor is the plain sum of blocks, with a few
dozen the sum is scaled and shifted, with hundreds every block and edge has a weight of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from hwnas.cell import Cell
from hwnas.errors import HwnasError
from hwnas.latency.bayes import Posterior, fit_weights
from hwnas.latency.card import ErrorCard, noise_floor
from hwnas.latency.predictor import AdditivePredictor, Uncertainty, count_blocks
from hwnas.latency.regression import BlockRegression
from hwnas.latency.table import Block, Latency, LatencyTable
from hwnas.latency.terms import BIAS, EXECUTED, EXTRAS, OWN_GROUPS, SUM, Executed, Extra, Term, Terms
from hwnas.space import Architecture, SearchSpace

MIN_NETWORKS = 5
"""Fewer say too little of how far off the sum of blocks is."""
FOLDS = 5
COVERAGE = 0.9
STRAY_QUANTILE = 0.95
UNSEEN_VARIANCE = dict(zip(OWN_GROUPS, (0.05**2, 1.0), strict=True))
"""Of the own deviation of a block that no network held, where no other block of its group tells: 5 % of a measured one;
that of an estimated one counts in standard deviations of its estimate."""
MANY_NETWORKS = 200
"""From here on the folds of a cross-validation start from the variances of all networks, which saves time; with fewer,
these variances would give away some of what the fold must not know."""
MIN_BLOCKS_TO_ESTIMATE = 10
"""How many blocks must be measured for others to be estimated from them."""


def fit(
    table: LatencyTable, space: SearchSpace | None = None, further_blocks: Iterable[Block] = ()
) -> AdditivePredictor:
    """A predictor from a block table, from whole networks, or from both, judged on networks it has not seen.

    How cells are priced, whether stray measurements are to be expected and which interactions count is decided by
    5-fold cross-validation over the networks; so is the error card. The 90 % intervals are conformal: scaled so that
    nine in ten of the unseen networks lie within theirs. With fewer than 5 networks the plain sum of blocks is
    returned, with a wide interval, and a card that says so.

    Args:
        table: the measured blocks and networks.
        space: if given, only blocks and networks of this space are used, and those of its blocks that the table lacks
            are estimated from the others.
        further_blocks: blocks that must be priced too, estimated where the table lacks them.

    Raises:
        HwnasError: neither blocks nor 5 networks are measured; the networks hold blocks that are not, and too few are
            to estimate them from.
    """
    networks = table.networks if space is None else table.networks_of(space)
    block_ms, estimated = _block_ms(table, space, networks, further_blocks)
    if len(networks) < MIN_NETWORKS:
        if block_ms is None:
            raise HwnasError(
                f"there is nothing to fit: no blocks and {len(networks)} whole networks are measured. Measure blocks, "
                f"or at least {MIN_NETWORKS} networks, with `hwnas measure`."
            )
        return AdditivePredictor.block_sum(block_ms, estimated, len(networks))
    measured_ms = np.array([latency.median_ms for latency in networks.values()])
    best = choose(Terms(block_ms, estimated), list(networks), measured_ms)
    n_blocks = 0 if block_ms is None else len(block_ms) - len(estimated)
    card = ErrorCard.judge(measured_ms, best.unseen_ms, noise_floor(networks.values()), n_blocks)
    return best.predictor(replace(card, predictor=best.name))


def _block_ms(
    table: LatencyTable,
    space: SearchSpace | None,
    networks: Mapping[Architecture, Latency],
    further_blocks: Iterable[Block],
) -> tuple[dict[Block, float] | None, dict[Block, float]]:
    """The ms of every block that is needed, None if none was measured; and the relative deviation of estimates."""
    if not table.blocks:
        return None, {}
    wanted: dict[Block, None] = dict.fromkeys(table.blocks if space is None else space.distinct_blocks())
    for architecture in networks:
        wanted |= dict.fromkeys(block for block in architecture.placed_blocks() if not block[0].is_identity)
    wanted |= dict.fromkeys(further_blocks)
    missing = [block for block in wanted if block not in table.blocks]
    if missing and len(table.blocks) < MIN_BLOCKS_TO_ESTIMATE:
        table.block_ms(*missing[0])  # raises, naming the block and the cure
    block_ms = {block: table.blocks[block].median_ms for block in wanted if block in table.blocks}
    if not missing:
        return block_ms, {}
    regression = BlockRegression.fit({block: row.median_ms for block, row in table.blocks.items()})
    estimates_ms, relative_std = (values.tolist() for values in regression.predict_many(missing))
    block_ms |= dict(zip(missing, estimates_ms, strict=True))
    return block_ms, dict(zip(missing, relative_std, strict=True))


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


@dataclass(frozen=True, eq=False)
class Fit:
    """One way to price networks, fitted to all of them, and what it said of each before it had seen it."""

    terms: Terms
    heavy_tails: bool
    design: Design
    posterior: Posterior
    measured_ms: np.ndarray
    unseen_ms: np.ndarray
    unseen_deviation: np.ndarray

    @property
    def errors(self) -> np.ndarray:
        """(networks,) relative."""
        return np.abs(self.unseen_ms - self.measured_ms) / self.measured_ms

    @property
    def name(self) -> str:
        """How it prices, in words for the card."""
        words = "block costs" if self.terms.block_ms is None else "calibrated block sum"
        if any(group == "edge" for group, _ in self.design.names):
            executed = {"live": "edges on a path", "needed": "edges the output needs", "written": "all edges"}
            words += f", cells: {executed[self.terms.executed]}"
            words += "".join(f", {extra}" for extra in self.terms.extras)
        return words + (", robust" if self.heavy_tails else "")

    def predictor(self, card: ErrorCard) -> AdditivePredictor:
        design, posterior = self.design, self.posterior
        weights = dict(zip(design.names, posterior.mean.tolist(), strict=True))
        covariance = self._with_unseen(weights)
        noise = float(np.sqrt(posterior.noise_variance))
        surprise = np.abs(self.unseen_ms - self.measured_ms) / np.maximum(self.unseen_ms, 1e-12) / self.unseen_deviation
        spread = _conformal_quantile(surprise)
        fitted_ms = design.values @ posterior.mean
        typical = np.sqrt(noise**2 + posterior.relative_variance(design.values, fitted_ms))
        uncertainty = Uncertainty(spread * float(np.median(typical)), noise, spread, covariance)
        return AdditivePredictor(self.terms, weights, uncertainty, card)

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


def _conformal_quantile(surprise: np.ndarray) -> float:
    """What nine in ten of the errors of unseen networks stay below; between two of them, interpolated.

    Half a standard error more, since few networks say little of a quantile and chose the way to price them, too.
    """
    n = len(surprise)
    share = COVERAGE + 0.5 * np.sqrt(COVERAGE * (1 - COVERAGE) / n)
    return float(np.interp(share * (n + 1), np.arange(1, n + 1), np.sort(surprise)))


def choose(terms: Terms, architectures: Sequence[Architecture], measured_ms: np.ndarray) -> Fit:
    """The way to price networks that predicts unseen ones best: first what is executed, then what interacts."""
    has_cells = any(isinstance(spec, Cell) for architecture in architectures for spec in architecture.blocks)
    best = _try(terms, False, architectures, measured_ms)
    challenges: list[Callable[[Fit], tuple[Terms, bool]]] = [lambda fit: (fit.terms, True)]
    if has_cells:
        challenges += [partial(_executing, which) for which in EXECUTED[1:]] + [partial(_with, e) for e in EXTRAS]
    for challenge in challenges:
        challenger = _try(*challenge(best), architectures, measured_ms)
        best = challenger if _is_better(challenger, best) else best
    return best


def _is_better(challenger: Fit, best: Fit) -> bool:
    """Whether it errs less by more than the standard error of that: what is simple stays until it is disproved.

    The largest errors count as the 95 % quantile, or a few stray measurements would decide.
    """
    stray = np.quantile(best.errors, STRAY_QUANTILE)
    gain = np.minimum(best.errors, stray) - np.minimum(challenger.errors, stray)
    return bool(gain.mean() > gain.std() / np.sqrt(len(gain)))


def _executing(executed: Executed, fit: Fit) -> tuple[Terms, bool]:
    return replace(fit.terms, executed=executed), fit.heavy_tails


def _with(extra: Extra, fit: Fit) -> tuple[Terms, bool]:
    return replace(fit.terms, extras=(*fit.terms.extras, extra)), fit.heavy_tails


def _try(terms: Terms, heavy_tails: bool, architectures: Sequence[Architecture], measured_ms: np.ndarray) -> Fit:
    """Fit one way to price networks, and cross-validate it."""
    from sklearn.model_selection import KFold

    design = Design.of(terms, architectures)
    posterior = fit_weights(design.values, design.groups, measured_ms, design.prior, heavy_tails)
    unseen_ms, deviation = np.empty_like(measured_ms), np.empty_like(measured_ms)
    for train, test in KFold(FOLDS, shuffle=True, random_state=0).split(design.values):
        start = replace(posterior, say=posterior.say[train]) if len(measured_ms) >= MANY_NETWORKS else None
        fold = fit_weights(design.values[train], design.groups, measured_ms[train], design.prior, heavy_tails, start)
        unseen_ms[test] = design.values[test] @ fold.mean
        variance = fold.relative_variance(design.values[test], np.maximum(unseen_ms[test], 1e-12))
        deviation[test] = np.sqrt((posterior if start else fold).noise_variance + variance)
    return Fit(terms, heavy_tails, design, posterior, measured_ms, unseen_ms, deviation)
