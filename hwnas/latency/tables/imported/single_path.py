"""The published latency table of Single-Path NAS (arXiv 1904.02877): 22 layers times four candidates on a Pixel 1."""

from __future__ import annotations

from hwnas.errors import HwnasError
from hwnas.latency.tables.imported.content import Content
from hwnas.latency.tables.imported.rows import Publication, Rows, published_latency
from hwnas.latency.tables.table import Latency
from hwnas.space import OneOf
from hwnas.spaces.single_path import single_path
from hwnas.specs.mbconv import MBConv
from hwnas.text import excerpt

PUBLICATION = Publication(
    name="single-path-nas",
    title="Single-Path NAS, arXiv 1904.02877",
    source="github.com/dstamoulis/single-path-nas, nas-search/pixel1_runtime_model.json",
    licence="Apache-2.0",
    runtime="TFLite",
    protocol="FAI-PEP, 1 warm-up run, 50 runs, 30 s of rest; layers of four uniform networks, not blocks alone",
    stated={"threads": 1, "cores": [3]},
)
EXAMPLE = 'JSON {"layers_ms": [[3.98, 3.95, 3.86, 3.93], ...]} or CSV "layer,k3e3_ms,k3e6_ms,k5e3_ms,k5e6_ms"'

CANDIDATES = ("k3e3_ms", "k3e6_ms", "k5e3_ms", "k5e6_ms")
LAYERS, RUNS = 22, 50

OUTSIDE_MS = 19.5999
"""Stem, first and last MBConv and head together, as in the authors' code."""


def recognises(content: Content) -> bool:
    """Whether this is the table, damaged or not."""
    in_json = isinstance(content.data, dict) and "layers_ms" in content.data
    return in_json or set(content.columns) == {"layer", *CANDIDATES}


def read(content: Content, _device: str | None) -> Rows:
    """The 20 searched layers, each with its own numbers, and the blocks around them.

    Of the layers outside the search the authors publish the sum: the first and the last MBConv have the mean of the
    four numbers in their rows (one block in four networks), stem and head share the rest in proportion to their MACs.

    Raises HwnasError if it is not 22 rows of 4 latencies.
    """
    layers_ms = _layers_ms(content)
    rows = Rows(PUBLICATION, "pixel-1")
    rows.notes = [
        "Numbers are means. Every searched layer has its own, in layers.csv; blocks.csv has the mean over the layers "
        "that are one block, for other networks that hold it.",
        f"Stem and head are known only within the sum {OUTSIDE_MS} ms of all layers that are not searched: they share, "
        "by MACs, the rest that the first and the last MBConv leave.",
        "Whether the networks were float or quantised is not published.",
    ]
    coming = iter(layers_ms)
    outer, outer_ms = [], OUTSIDE_MS
    for place, (node, shape) in enumerate(single_path().positions()):
        if isinstance(node, OneOf):
            for spec, latency in zip(node.candidates, next(coming), strict=False):  # skip, the last, costs nothing
                rows.add_layer(place, (spec, shape), latency)
        elif isinstance(node, MBConv):
            for latency in next(coming):
                rows.add((node, shape), latency)
            outer_ms -= rows.blocks[node, shape].median_ms
        else:
            outer.append((node, shape))
    if outer_ms <= 0:
        raise HwnasError(
            f"{content.name}: the first and the last of the {LAYERS} layers take {OUTSIDE_MS - outer_ms:g} ms, more "
            f"than the {OUTSIDE_MS} ms of all layers that are not searched. Correct them, or fetch the file again."
        )
    macs = sum(spec.macs(shape) for spec, shape in outer)
    for spec, shape in outer:
        share_ms = outer_ms * spec.macs(shape) / macs
        rows.derived[spec, shape] = published_latency(f"{content.name}, {spec}", share_ms, count=RUNS)
    return rows


def _layers_ms(content: Content) -> list[list[Latency]]:
    """(22, 4) latencies. Raises HwnasError naming the place of a number that is none."""
    if content.lines:
        numbers = [str(i) for i in range(len(content.data))]
        if [row["layer"] for row in content.data] != numbers:
            found = excerpt([row["layer"] for row in content.data])
            raise HwnasError(f"{content.name}: its column layer must count the layers from 0, and is {found}.")
        table = [[row[name] for name in CANDIDATES] for row in content.data]
    else:
        table = content.data["layers_ms"]
    is_table = isinstance(table, list) and all(isinstance(row, list) for row in table)
    if not is_table or [len(row) for row in table] != [len(CANDIDATES)] * LAYERS:
        raise HwnasError(f"{content.name} must hold layers_ms, {LAYERS} rows of {len(CANDIDATES)} latencies in ms.")

    def place(i: int, j: int) -> str:
        return content.place(i, CANDIDATES[j]) if content.lines else f"{content.name}, layers_ms[{i}][{j}]"

    return [[published_latency(place(i, j), ms, count=RUNS) for j, ms in enumerate(row)] for i, row in enumerate(table)]
