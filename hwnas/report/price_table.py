"""A price as a table on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from hwnas.latency.tables.table import LatencyTable
    from hwnas.pricing import Price


def price_table(price: Price, table: LatencyTable) -> Table:
    """Every block with its ms and where they are from; the total and its interval below."""
    origin = table.publication or "measured"
    shown = Table(
        title=Text(f"{price.architecture.space} {price.architecture.code} on {table.folder} ({origin})"),
        title_justify="left",
        title_style="bold",
        show_footer=True,
    )
    low, high = price.prediction.interval_ms
    shown.add_column("block", footer="predicted", overflow="fold")
    shown.add_column("input", justify="right")
    shown.add_column("ms", justify="right", footer=f"{price.prediction.ms:.4g}")
    shown.add_column("source", footer=f"90 %: {low:.4g} to {high:.4g} ms")
    for block in price.blocks:
        shape = "x".join(map(str, block.input_shape))
        shown.add_row(Text(str(block.spec)), shape, f"{block.ms:.4f}", block.source)
    if abs(price.shared_ms) > 5e-5:
        shown.add_row("what a network shares", "", f"{price.shared_ms:+.4f}", "whole networks")
    return shown
