"""How probable each candidate was over a search: a picture of shares for each block or edge, and the skips counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hwnas.report.operator_names import operator_name
from hwnas.report.page_charts import curve
from hwnas.searches.cyclic_losses import count_skips
from hwnas.space import OneOf, SearchSpace
from hwnas.specs.two_input_cell import CellNode

COLOURS = 8
"""So many candidates are told apart by colour; of more, the least probable ones are one share."""
SAMPLES = 24
"""Points in time that are drawn."""
NO_EDGE, OTHERS = "no edge", "others"

Json = Mapping[str, Any]
Shares = dict[str, float]
"""By the name of a candidate."""


def share_charts(records: Sequence[Json], space: SearchSpace | None) -> Json | None:
    """The pictures of all blocks or edges; None where nothing was recorded, or of another space.

    Args:
        records: of ``probabilities.jsonl``.
        space: that was searched.
    """
    known = _fitting(records, space)
    if space is None or len(known) < 2:
        return None
    picked = [known[round(n * (len(known) - 1) / (SAMPLES - 1))] for n in range(SAMPLES)]
    steps = [record["step"] for record in picked]
    over_time: dict[str, list[Shares]] = {}
    for record in picked:
        for name, shares in _all_shares(space, record["probabilities"]):
            over_time.setdefault(name, []).append(shares)
    names = _names(over_time)
    merged = {name: [_merged(shares, names) for shares in found] for name, found in over_time.items()}
    return {
        "charts": [_chart(name, steps, found, names) for name, found in merged.items()],
        "key": [{"colour": _colour(number, name), "name": name} for number, name in enumerate(names)],
        "of_edges": any(isinstance(d.candidates[0], CellNode) or d.name.startswith("edge ") for d in space.decisions),
        "width": SAMPLES - 1,
        "skips": _skips(known, space),
    }


def _fitting(records: Sequence[Json], space: SearchSpace | None) -> list[Json]:
    """The records that have a share for each candidate of the space."""
    sizes = [] if space is None else [len(one_of.candidates) for one_of in space.decisions]
    return [record for record in records if list(map(len, record.get("probabilities", ()))) == sizes]


def _all_shares(space: SearchSpace, probabilities: Sequence[Sequence[float]]) -> list[tuple[str, Shares]]:
    """The shares of every block, or of every edge where a decision is between pairs of edges."""
    found: list[tuple[str, Shares]] = []
    for one_of, vector in zip(space.decisions, probabilities, strict=True):
        if isinstance(one_of.candidates[0], CellNode):
            found += _edge_shares(one_of, vector)
        else:
            found.append((one_of.name, _summed(zip(map(operator_name, one_of.candidates), vector, strict=True))))
    return found


def _edge_shares(one_of: OneOf, vector: Sequence[float]) -> list[tuple[str, Shares]]:
    """Of each state that a node may take: the probability of each operator on that edge, and of no edge."""
    by_source: dict[int, list[tuple[str, float]]] = {}
    for node, probability in zip(one_of.candidates, vector, strict=True):
        assert isinstance(node, CellNode)
        for source, operator in node.edges:
            by_source.setdefault(source, []).append((operator_name(operator), probability))
    cell, _, target = one_of.name.rpartition(" node ")
    found = []
    for source, parts in sorted(by_source.items()):
        shares = _summed(parts)
        found.append((f"{cell} {source} to {target}", shares | {NO_EDGE: max(0.0, 1 - sum(shares.values()))}))
    return found


def _summed(parts: Iterable[tuple[str, float]]) -> Shares:
    found: Shares = {}
    for name, share in parts:
        found[name] = found.get(name, 0.0) + share
    return found


def _names(over_time: Mapping[str, Sequence[Shares]]) -> list[str]:
    """The candidates that have a colour, in the order in which they first stand; the rest is `OTHERS`."""
    names = list(dict.fromkeys(name for found in over_time.values() for name in found[0]))
    if len(names) <= COLOURS:
        return names
    last = {name: sum(found[-1].get(name, 0.0) for found in over_time.values()) for name in names}
    kept = sorted(names, key=lambda name: -last[name])[: COLOURS - 1]
    return [*(name for name in names if name in kept), OTHERS]


def _merged(shares: Shares, names: Sequence[str]) -> Shares:
    return _summed((name if name in names else OTHERS, share) for name, share in shares.items())


def _chart(name: str, steps: Sequence[int], found: Sequence[Shares], names: Sequence[str]) -> Json:
    """Areas from the bottom to the top of each share, the highest first: each is painted over the one before."""
    areas, tops = [], [0.0] * len(found)
    for number, candidate in enumerate(names):
        tops = [top + 100 * shares.get(candidate, 0.0) for top, shares in zip(tops, found, strict=True)]
        if any(shares.get(candidate, 0.0) >= 0.002 for shares in found):
            line = " ".join(f"{x},{max(0.0, 100 - top):.1f}" for x, top in enumerate(tops))
            areas.append({"colour": _colour(number, candidate), "line": f"0,100 {line} {len(found) - 1},100"})
    told = [f"step {step:,}: {_largest(shares)}" for step, shares in zip(steps, found, strict=True)]
    width = 100 / (len(found) - 1)
    return {
        "name": name,
        "told": f"{name}, from {_largest(found[0])} to {_largest(found[-1])}",
        "areas": areas[::-1],
        "spots": [
            {"x": round(x, 2), "width": round(min(width, 100 - x), 2), "told": text}
            for x, text in ((max(0.0, (n - 0.5) * width), text) for n, text in enumerate(told))
        ],
    }


def _colour(number: int, name: str) -> str:
    """Of a share; what is no operator stays in the background."""
    return "" if name in ("none", NO_EDGE, OTHERS) else str(number)


def _largest(shares: Shares) -> str:
    """The two most probable candidates in words."""
    best = sorted(shares.items(), key=lambda each: -each[1])[:2]
    return ", ".join(f"{name} {100 * share:.0f} %" for name, share in best)


def _skips(records: Sequence[Json], space: SearchSpace) -> Json | None:
    """How many skips the most probable candidates hold over the search; None where the space has no skips."""
    counts = [[count_skips(spec) for spec in one_of.candidates] for one_of in space.decisions]
    if not any(map(any, counts)):
        return None
    found = []
    for record in records:
        vectors = zip(counts, record["probabilities"], strict=True)
        found.append({"step": record["step"], "skips": sum(c[vector.index(max(vector))] for c, vector in vectors)})
    return curve("Skips among the most probable candidates", "", found, "skips")
