"""Measuring until predictions are good enough: in rounds, each of the blocks and networks that tell most of the rest.

A fit after each round prices the blocks that are not measured from those that are, and says how far off it is on
networks it has not seen. The selection of the next ones depends on the table and on the blocks of the space, not on
chance: a campaign that was stopped and is begun again selects as it would have.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hwnas.campaign.progress import CampaignProgress
from hwnas.devices.device import Device
from hwnas.errors import UsageError
from hwnas.latency.features import NOMINAL_MS, feature_rows
from hwnas.latency.fitting.fit import fit
from hwnas.latency.fitting.selection import most_informative
from hwnas.latency.measuring.measure import spread_sample
from hwnas.latency.measuring.table_campaign import TABLES_FOLDER, SpaceTable, TableCampaign
from hwnas.latency.tables.precision import USUAL_PRECISION
from hwnas.latency.tables.table import Block, LatencyTable
from hwnas.runtimes import Runtime
from hwnas.space import Architecture, SearchSpace

FIRST_BLOCKS, FIRST_NETWORKS = 12, 10
"""The first round: the least that a regression over blocks and a cross-validation over networks need."""
MORE_BLOCKS, MORE_NETWORKS = 6, 5
POOL = 200
"""Random architectures of the space: networks are selected from them, and for the blocks that they spend time in."""


@dataclass(frozen=True)
class Round:
    """Where a campaign stands after a round."""

    blocks: int
    networks: int
    mape: float
    """Error of the fit on networks it has not seen, in percent."""


@dataclass(frozen=True)
class UntilAccurate:
    """The table, and the rounds in which it was measured."""

    measured: SpaceTable
    rounds: list[Round]
    reached: bool
    """Whether the error is at the goal; otherwise all there was to measure, within the limit, is measured."""
    full_entries: int
    """Blocks and networks that a full table would have had."""

    def __repr__(self) -> str:
        goal = "reached" if self.reached else "not reached"
        return f"UntilAccurate({self.used} of {self.full_entries} entries in {len(self.rounds)} rounds, goal {goal})"

    @property
    def used(self) -> int:
        """Blocks and networks of the space that the table holds now."""
        return self.rounds[-1].blocks + self.rounds[-1].networks


def measure_until(
    space: SearchSpace,
    mape: float,
    device: Device | Path | str = "local",
    runtime: Runtime | str | None = None,
    tables: Path | str = TABLES_FOLDER,
    networks: int = 30,
    progress: Callable[[CampaignProgress], None] | None = None,
    on_round: Callable[[Round], None] | None = None,
    precision: str = USUAL_PRECISION,
) -> UntilAccurate:
    """Measure until the cross-validated error is `mape` percent or less, or all blocks and `networks` are measured.

    Args:
        space: the search space.
        mape: the goal, in percent.
        device, runtime, tables, progress, precision: as for `hwnas.measure`.
        networks: how many whole networks at most.
        on_round: called after each round.

    Raises as `hwnas.measure`; UsageError also for a goal that is not positive, or too few networks to tell.
    """
    if not mape > 0 or networks < FIRST_NETWORKS:
        raise UsageError(
            f"measuring until an error is reached takes a goal above 0 % and {FIRST_NETWORKS} networks or more to tell "
            f"by, not {mape:g} % and {networks} networks."
        )
    pool = spread_sample(space, max(POOL, networks))
    limit = min(networks, len(pool))
    rounds: list[Round] = []
    with TableCampaign.begin(device, runtime, tables, progress, precision=precision) as campaign:
        while True:
            if _first_round_done(campaign.table, space, limit):
                rounds.append(_evaluate_round(campaign.table, space))
                if on_round is not None:
                    on_round(rounds[-1])
                if rounds[-1].mape <= mape:
                    break
            blocks, chosen = _select_next(campaign.table, space, pool, limit)
            if not (blocks or chosen):
                break
            campaign.measure(blocks, chosen)
    full = len(space.distinct_blocks()) + limit
    return UntilAccurate(campaign.result, rounds, rounds[-1].mape <= mape, full)


def _first_round_done(table: LatencyTable, space: SearchSpace, limit: int) -> bool:
    """Whether the first round is behind, in this process or an earlier one."""
    blocks = len(space.distinct_blocks())
    known = blocks - len(table.missing(space))
    return known >= min(FIRST_BLOCKS, blocks) and len(table.networks_of(space)) >= min(FIRST_NETWORKS, limit)


def _evaluate_round(table: LatencyTable, space: SearchSpace) -> Round:
    known = len(space.distinct_blocks()) - len(table.missing(space))
    mape = fit(table, space).card.mape
    return Round(known, len(table.networks_of(space)), np.inf if mape is None else mape)


def _select_next(
    table: LatencyTable, space: SearchSpace, pool: list[Architecture], limit: int
) -> tuple[list[Block], list[Architecture]]:
    """The blocks and networks of the next round; nothing where everything is measured."""
    missing, measured = table.missing(space), list(table.networks_of(space))
    known_blocks = len(space.distinct_blocks()) - len(missing)
    first = not _first_round_done(table, space, limit)
    more_blocks = max(0, FIRST_BLOCKS - known_blocks) if first else MORE_BLOCKS
    more_networks = max(0, FIRST_NETWORKS - len(measured)) if first else MORE_NETWORKS
    blocks = _select_blocks(missing, more_blocks, table, space, pool)
    left = [architecture for architecture in pool if architecture not in table.networks]
    return blocks, _select_networks(left, min(more_networks, limit - len(measured)), measured, table, space)


def _select_blocks(
    missing: list[Block], count: int, table: LatencyTable, space: SearchSpace, pool: list[Architecture]
) -> list[Block]:
    """Blocks of which a regression over features would learn most about the blocks that networks spend time in."""
    if not missing or count <= 0:
        return []
    blocks = space.distinct_blocks()
    costs, forms = feature_rows(blocks)
    shares = _shares(pool, blocks).mean(0)
    nominal = costs * np.array(list(NOMINAL_MS.values()))
    rows = np.column_stack([nominal / nominal.sum(1, keepdims=True), (forms - forms.mean(0)) / (forms.std(0) + 0.1)])
    rows *= np.sqrt(shares)[:, None]
    places = {block: i for i, block in enumerate(blocks)}
    known = rows[[places[block] for block in blocks if block in table.blocks]]
    candidates = rows[[places[block] for block in missing]]
    return [missing[i] for i in most_informative(candidates, count, known=known)]


def _select_networks(
    left: list[Architecture], count: int, measured: list[Architecture], table: LatencyTable, space: SearchSpace
) -> list[Architecture]:
    """Networks that tell most about the blocks all networks spend time in, those measured by themselves apart."""
    if not left or count <= 0:
        return []
    blocks = space.distinct_blocks()
    alone = np.eye(len(blocks))[[block in table.blocks for block in blocks]]
    known = np.vstack([_shares(measured, blocks), alone]) if measured else alone
    return [left[i] for i in most_informative(_shares(left, blocks), count, known=known)]


def _shares(architectures: list[Architecture], blocks: list[Block]) -> NDArray[np.float64]:
    """(architectures, blocks): the share of each block in each network's time, nominally."""
    costs, _ = feature_rows(blocks)
    nominal_ms = dict(zip(blocks, (costs @ np.array(list(NOMINAL_MS.values()))).tolist(), strict=True))
    places = {block: place for place, block in enumerate(blocks)}
    shares = np.zeros((len(architectures), len(blocks)))
    for row, architecture in zip(shares, architectures, strict=True):
        for block in architecture.placed_blocks():
            if block in places:
                row[places[block]] += nominal_ms[block]
    return np.asarray(shares / shares.sum(1, keepdims=True))
