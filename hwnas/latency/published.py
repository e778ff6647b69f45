"""The published latency table of Single-Path NAS as a LatencyTable: 22 layers times four candidates on a Pixel 1."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

from hwnas.errors import HwnasError
from hwnas.files import read_json
from hwnas.latency.table import Block, Latency, LatencyTable
from hwnas.space import OneOf
from hwnas.spaces.single_path import single_path
from hwnas.spec import MBConv

FIXED_MS = 19.5999
"""Stem, first and last MBConv and head together, as in the authors' code."""

LAYERS, CANDIDATES = 22, 4


def read_single_path(path: Path | str) -> LatencyTable:
    """The blocks of space ``single-path`` at 224x224 for 1000 classes, in ms on a Pixel 1, one thread, TFLite.

    Two things differ from what is published. The authors give every layer numbers of its own, where the later blocks
    of a stage are one block, which has the mean of theirs here: uniform networks cost what they do there, others within
    a fraction of a percent. And stem and head, known as one sum only, share it in proportion to their MACs.

    Args:
        path: JSON with ``layers_ms``, 22 rows of four values (3x3-e3, 3x3-e6, 5x5-e3, 5x5-e6), as in
            dstamoulis/single-path-nas, `pixel1_runtime_model.json`.

    Raises HwnasError if the file is missing or holds something else.
    """
    data = read_json(Path(path), "the published latency table")
    rows = data.get("layers_ms") if isinstance(data, dict) else None
    if not isinstance(rows, list) or [len(row) for row in rows] != [CANDIDATES] * LAYERS:
        raise HwnasError(f"{path} must hold layers_ms, {LAYERS} rows of {CANDIDATES} latencies in ms.")
    measured: dict[Block, list[float]] = {}
    fixed: list[Block] = []
    outer: list[Block] = []
    layers = iter(rows)
    for node, shape in single_path().positions():
        if isinstance(node, OneOf):
            for spec, ms in zip(node.candidates, next(layers), strict=False):  # skip, the last, costs nothing
                measured.setdefault((spec, shape), []).append(float(ms))
        elif isinstance(node, MBConv):
            measured[node, shape] = [float(ms) for ms in next(layers)]
            fixed.append((node, shape))
        else:
            outer.append((node, shape))
    block_ms = {block: fmean(values) for block, values in measured.items()}
    outer_ms = FIXED_MS - sum(block_ms[block] for block in fixed)
    macs = sum(spec.macs(shape) for spec, shape in outer)
    block_ms |= {(spec, shape): outer_ms * spec.macs(shape) / macs for spec, shape in outer}
    table = LatencyTable(conditions={"device": "pixel-1", "runtime": "tflite", "threads": 1, "source": "published"})
    table.blocks = {block: Latency(ms, ms, ms, runs=50, between_visits_percent=0.0) for block, ms in block_ms.items()}
    return table
