"""From a table to a LatencyPredictor: choose how networks are priced by cross-validation, weigh the terms, evaluate it.

Block measurements are the prior, whole networks move it: with none the predictor is the plain sum of blocks, with a few
dozen the sum is scaled, shifted and bent, with hundreds every block and edge has a weight of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from hwnas.arguments import expect
from hwnas.errors import HwnasError
from hwnas.latency.additive import AdditivePredictor
from hwnas.latency.arrays import Floats
from hwnas.latency.card import ErrorCard, noise_floor
from hwnas.latency.fitting.candidate import CandidateModel, FittedCandidate
from hwnas.latency.fitting.ready import ready_regression, unlike
from hwnas.latency.fitting.regression import BlockRegression
from hwnas.latency.predictor import LatencyPredictor
from hwnas.latency.proxy_space import ProxySpacePredictor
from hwnas.latency.tables.measured import measured_digest
from hwnas.latency.tables.table import Block, Latency, LatencyTable, Layer
from hwnas.latency.terms import EXECUTED, EXTRAS, Executed, Extra, Terms
from hwnas.space import Architecture, SearchSpace, check_space
from hwnas.spaces import get_space
from hwnas.specs.cell import Cell

MIN_NETWORKS = 5
"""Fewer say too little of how far off the sum of blocks is."""
MIN_BLOCKS_TO_ESTIMATE = 10
"""How many blocks must be measured for others to be estimated from them."""


def fit(
    table: LatencyTable, space: SearchSpace | None = None, further_blocks: Iterable[Block] = ()
) -> AdditivePredictor:
    """A predictor from a block table, from whole networks, or from both, evaluated on networks it has not seen.

    How cells are priced, whether stray measurements are to be expected, which interactions count and whether large
    networks are slower than their sum is decided by 5-fold cross-validation over the networks; so is the error card,
    for whose choice all networks were seen (`hwnas.latency.fitting.held_out.evaluate` chooses anew without each fold,
    as the command `hwnas fit` does). The 90 % intervals are conformal: scaled so that nine in ten of the unseen
    networks lie within theirs. With fewer than 5 networks the plain sum of blocks is returned, with a wide interval,
    and a card that says so.

    Args:
        table: the measured blocks and networks.
        space: if given, only blocks and networks of this space are used, and those of its blocks that the table lacks
            are estimated from the others.
        further_blocks: blocks that must be priced too, estimated where the table lacks them.

    Raises:
        HwnasError: neither blocks nor 5 networks are measured; the networks hold blocks that are not, and too few are
            to estimate them from.
    """
    expect(table, LatencyTable, "table", "a LatencyTable, such as LatencyTable.load(folder)")
    if space is not None:
        check_space(space)
    networks = table.networks if space is None else table.networks_of(space)
    block_ms, estimated = _block_ms(table, space, networks, further_blocks)
    used = table.blocks if estimated else block_ms or ()
    fitted_to = measured_digest(table, used, networks, estimated)
    if len(networks) < MIN_NETWORKS:
        if block_ms is None:
            raise HwnasError(
                f"there is nothing to fit in {table.folder or 'the table'}: no blocks and {len(networks)} whole "
                f"networks are measured. Measure blocks, or at least {MIN_NETWORKS} networks, with `hwnas measure`."
            )
        plain = AdditivePredictor.block_sum(block_ms, estimated, len(networks))
        return replace(plain, layers_ms=_layers_ms(table, block_ms), fitted_to=fitted_to)
    measured_ms = np.array([latency.median_ms for latency in networks.values()])
    best = select_model(Terms(block_ms, estimated), list(networks), measured_ms)
    n_blocks = 0 if block_ms is None else len(block_ms) - len(estimated)
    card = ErrorCard.evaluated(measured_ms, best.unseen_ms, noise_floor(networks.values()), n_blocks)
    return replace(best.predictor(replace(card, predictor=best.name)), fitted_to=fitted_to)


def predictor_of(table: LatencyTable, space: SearchSpace) -> LatencyPredictor:
    """The predictor of a measured table or a published one; who prices by the latter says which blocks it lacks.

    Raises as `fit` and `published_predictor`.
    """
    return published_predictor(table, space) if table.publication else fit(table, space)


def published_predictor(table: LatencyTable, space: SearchSpace) -> LatencyPredictor:
    """The predictor of a published table for a space, or for a copy of it of another resolution, width or classes.

    A published table is about one space at one size. Where the table has all blocks of `space`, they are priced;
    otherwise `space` is a proxy of the one of its name that the table has. A table with a ready regression also prices
    spaces whose blocks are like its own.

    Raises HwnasError if it can do none of these.
    """
    if not table.missing(space):
        return fit(table, space)
    whole = get_space(space.name)
    if missing := table.missing(whole):
        if ready_regression(table) is not None and not unlike(table, space.distinct_blocks()):
            return fit(table, space)
        raise HwnasError(
            f"{table.folder or 'the table'} ({table.publication}) lacks {len(missing)} of the "
            f"{len(whole.distinct_blocks())} blocks of space {space.name!r}, among them {missing[0][0]}: it is about "
            "another space. Search a space that it covers, or measure this one with `hwnas measure`."
        )
    return ProxySpacePredictor(fit(table, whole), whole)


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
    regression = ready_regression(table) or BlockRegression.fit({b: row.median_ms for b, row in table.blocks.items()})
    estimates_ms, relative_std = (values.tolist() for values in regression.predict_many(missing))
    block_ms |= dict(zip(missing, estimates_ms, strict=True))
    return block_ms, dict(zip(missing, relative_std, strict=True))


def _layers_ms(table: LatencyTable, block_ms: Mapping[Block, float]) -> dict[Layer, float]:
    """The ms that each layer with a number of its own costs more than its block does elsewhere."""
    known = ((at, row) for at, row in table.layers.items() if at[1] in block_ms)
    return {at: row.median_ms - block_ms[at[1]] for at, row in known}


def select_model(terms: Terms, architectures: Sequence[Architecture], measured_ms: Floats) -> FittedCandidate:
    """The candidate model that predicts unseen networks best: what is executed, what interacts, what bends."""
    has_cells = any(isinstance(spec, Cell) for architecture in architectures for spec in architecture.blocks)
    best = FittedCandidate.of(CandidateModel(terms), architectures, measured_ms)
    tried = [best]
    challenges: list[Callable[[CandidateModel], CandidateModel]] = [lambda model: replace(model, heavy_tails=True)]
    if has_cells:
        challenges += [partial(_executing, which) for which in EXECUTED[1:]] + [partial(_with, e) for e in EXTRAS]
    challenges.append(lambda model: replace(model, bent=True))
    for challenge in challenges:
        challenger = FittedCandidate.of(challenge(best.model), architectures, measured_ms)
        tried.append(challenger)
        best = challenger if challenger.is_better(best) else best
    return best.among(tried)


def _executing(executed: Executed, model: CandidateModel) -> CandidateModel:
    return replace(model, terms=replace(model.terms, executed=executed))


def _with(extra: Extra, model: CandidateModel) -> CandidateModel:
    return replace(model, terms=replace(model.terms, extras=(*model.terms.extras, extra)))
