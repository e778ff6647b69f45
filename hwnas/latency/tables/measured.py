"""A hash of a fit's measurements: the costs that follow from them differ in their last digits with BLAS threads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable
from typing import Any

from hwnas.latency.tables.table import Block, LatencyTable
from hwnas.space import Architecture


def measured_digest(
    table: LatencyTable,
    blocks: Collection[Block] | None = None,
    networks: Collection[Architecture] | None = None,
    estimated: Iterable[Block] = (),
) -> str:
    """SHA-256 of the medians of a table, and of the conditions that they were measured under.

    Args:
        table: the measurements.
        blocks, networks: those that count; None: all.
        estimated: blocks that are estimated from the others.
    """
    chosen_blocks = table.blocks if blocks is None else blocks
    chosen_networks = table.networks if networks is None else networks
    rows = [
        sorted([*_block(block), table.blocks[block].median_ms] for block in chosen_blocks),
        sorted([network.digest, table.networks[network].median_ms] for network in chosen_networks),
        sorted([place, *_block(block), row.median_ms] for (place, block), row in table.layers.items()),
        sorted(_block(block) for block in estimated),
        table.conditions.get("identity"),
    ]
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()


def _block(block: Block) -> list[Any]:
    spec, shape = block
    return [json.dumps(spec.to_json(), sort_keys=True), list(shape)]
