"""Made latency tables: networks whose blocks deviate in them from their latency alone.

So a fit knows some blocks less than others, and every network has an interval of its own.
"""

import itertools
import random

from hwnas.latency.tables.table import Latency, LatencyTable
from hwnas.space import OneOf, SearchSpace
from hwnas.specs.conv import Conv
from hwnas.specs.head import Head
from hwnas.specs.mbconv import MBConv
from hwnas.specs.skip import Skip

SIZES = (3, 6)


def small_space() -> SearchSpace:
    """Four decisions of five candidates, two of them about blocks of one shape: 625 networks."""
    choices = [MBConv(16, 16, kernel, expand) for kernel in (3, 5) for expand in SIZES]
    decisions = [OneOf(f"block {i}", (*choices, Skip(16, 16))) for i in range(4)]
    return SearchSpace("small", (Conv(3, 16), *decisions, Head(16, 32, 4)), (3, 16, 16))


SMALL = small_space()
CODES = list(itertools.product(range(5), repeat=4))


def row(ms: float) -> Latency:
    return Latency(ms, 0.95 * ms, 1.1 * ms, runs=50, between_visits_percent=0.5)


def made_table(space: SearchSpace, networks: int, seed: int, noise: float = 0.02, deviation: float = 0.2):
    """Blocks deviate in networks from what they take alone by 20 %, and each measurement by 2 %."""
    rng = random.Random(seed)
    table = LatencyTable({block: row(0.02 + block[0].macs(block[1]) / 1e7) for block in space.distinct_blocks()})
    factors = {block: 1 + rng.gauss(0, deviation) for block in table.blocks}
    while len(table.networks) < networks:
        architecture = space.sample(rng)
        blocks = [block for block in architecture.placed_blocks() if not block[0].is_identity]
        ms = 0.03 + sum(factors[block] * table.block_ms(*block) for block in blocks)
        table.networks[architecture] = row(ms * (1 + rng.gauss(0, noise)))
    return table
