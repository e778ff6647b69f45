"""The range of a space on the terminal: its ends, and the known networks in the order of their latency."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from hwnas.latency.space_range import LatencyRange
from hwnas.report.console import key_value_table

END = "bold green"


def range_table(found: LatencyRange) -> Iterator[Table]:
    """The table of all networks, and one of those left out and of the sources of the numbers."""
    name = found.spaces[0].space.name
    shown = _table(f"{name}: {found.fastest_ms:.4g} to {found.slowest_ms:.4g} ms")
    shown.add_column("")
    for ms, cells, style in sorted(_rows(found), key=lambda row: row[0]):
        shown.add_row(f"{ms:.4g}", *cells, style=style)
    yield shown
    yield key_value_table("", _facts(found))


def known_table(known: Sequence[Mapping[str, Any]]) -> Table:
    """Known networks from the JSON of `hwnas measure --networks known`."""
    shown = _table("from the fastest to the slowest")
    for each in known:
        shown.add_row(f"{each['ms']:.4g}", each["network"], f"{each['width']:g}", str(each["resolution"]))
    return shown


def _table(title: str) -> Table:
    shown = Table(title=Text(title), title_justify="left", title_style="bold")
    shown.add_column("ms", justify="right")
    shown.add_column("network", overflow="fold")
    shown.add_column("width", justify="right")
    shown.add_column("px", justify="right")
    return shown


def _rows(found: LatencyRange) -> Iterator[tuple[float, tuple[str, ...], str]]:
    """ms, the other cells and a style: the ends of each resolution, and the known networks."""
    for each in found.spaces:
        side = str(each.space.input_shape[1])
        for name, end in each.ends.items():
            source = "measured" if end.is_measured else "predicted"
            yield end.ms, (f"{name} of {each.space.name}: {end.architecture.code}", "", side, source), END
    between = found.between
    for known in found.known:
        network = known.network
        cells = (network.network, f"{network.width:g}", str(network.resolution), known.source)
        yield network.ms, cells, "" if known in between else "dim"


def _facts(found: LatencyRange) -> dict[str, str | Text]:
    """The table, and the networks that have no ms by the reason."""
    by_reason = defaultdict(list)
    for network, reason in found.left_out.items():
        # every network has MACs of its own, and a table lacks a kind of block at any width
        own = "far outside by their MACs" if reason.endswith("far outside") else reason
        by_reason[own].append(network if own != reason else network.split()[0])
    lines = [f"{', '.join(dict.fromkeys(networks))}: {reason}" for reason, networks in by_reason.items()]
    facts: dict[str, str | Text] = {
        "table": f"{found.table}" + (f" ({found.publication})" if found.publication else "")
    }
    return facts | ({"left out": "\n".join(lines)} if lines else {})
