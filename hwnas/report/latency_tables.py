"""Latency on the terminal: measurements, the error card, the price of a network, the profile of its operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from hwnas.latency.tables.precision import precision_of
from hwnas.report.console import key_value_table

if TYPE_CHECKING:
    from hwnas.latency.card import ErrorCard
    from hwnas.latency.tables.table import LatencyTable
    from hwnas.pricing import Price
    from hwnas.runners.operator_profile import OperatorProfile

LEAST_SHARED_MS = 5e-5
"""What a network costs beyond its blocks has a row where it is more than that."""


def measured_table(title: str, result: dict[str, Any]) -> Table:
    """The JSON of `hwnas measure` as a table."""
    summary = result["summary"]
    rows = {
        "table": result["table"],
        "entries": f"{result['entries']}: {result['measured']} measured now, {result['reused']} known already",
        "time": f"{result['seconds']:.0f} s, {summary['inference_share']:.0%} of measuring inside inference",
        "drift of the reference": f"{summary['drift_min_percent']:+.1f} to {summary['drift_max_percent']:+.1f} %",
    }
    drift = summary["drift"]
    if drift["corrected_spread_percent"] is not None:
        spread = f"{drift['spread_percent']:.2f} %, {drift['corrected_spread_percent']:.2f} % with the drift taken off"
        rows["repetitions of one model"] = f"differ by {spread}"
    if "reached" in result:
        verdict = "reached" if result["reached"] else "not reached with all there is, or --networks allows, to measure"
        rows["error"] = (
            f"{result['mape']:.1f} % on networks not seen: the goal of {result['goal_mape']:g} % is {verdict}"
        )
        rows["used"] = f"{result['used_entries']} of {result['full_entries']} blocks and networks"
    if "fastest_ms" in result:
        rows["networks of this space"] = f"{result['fastest_ms']:.3f} to {result['slowest_ms']:.3f} ms, predicted"
    return key_value_table(title, rows)


def card_table(card: ErrorCard) -> Table:
    """The error card as a table."""
    percent = {
        "mean error (MAPE)": card.mape,
        "own table alone": card.own_mape,
        "within 5 %": card.hit5,
        "within 10 %": card.hit10,
        "within the 90 % interval": card.coverage90,
        "noise floor": card.noise_floor,
    }
    rows: dict[str, str | Text] = {
        "predictor": f"{card.predictor}: {card.n_blocks} blocks, {card.n_networks} whole networks"
    }
    if precision := (card.measured_on or {}).get("precision"):
        rows["files"] = str(precision)
    if left := (card.measured_on or {}).get("left_to_cpu"):
        rows["left to the CPU"] = Text("; ".join(left), "bold yellow")
    rows |= {name: f"{value:.2f} %" for name, value in percent.items() if value is not None}
    if card.spearman is not None:
        rows["rank correlation"] = f"{card.spearman:.4f} (Spearman)"
    rows["evaluated by"] = card.protocol
    return key_value_table("error card", rows)


def price_table(price: Price, table: LatencyTable) -> Table:
    """Every block with its ms and where they are from; the total and its interval below."""
    origin = table.publication or f"{precision_of(table)} files, measured"
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
    if abs(price.shared_ms) > LEAST_SHARED_MS:
        shown.add_row("shared by the network", "", f"{price.shared_ms:+.4f}", "whole networks")
    return shown


def profile_table(profile: OperatorProfile, title: str) -> Table:
    """Every operator with its ms of one inference; below, the ms outside of them and the cost of profiling."""
    shown = Table(
        title=Text(title),
        title_justify="left",
        title_style="bold",
        caption=(
            f"{profile.inference_ms:.4g} ms per inference, {profile.profiled_ms:.4g} ms while it is profiled, "
            f"{profile.outside_percent:.1f} % of that in no operator"
        ),
        caption_justify="left",
    )
    shown.add_column("operator", overflow="fold")
    shown.add_column("name", overflow="fold")
    for heading in ("calls", "ms", "%"):
        shown.add_column(heading, justify="right")
    for row in profile.operators:
        ms, share = f"{row.per_inference_ms:.4f}", f"{row.percent:.1f}"
        shown.add_row(Text(row.type), Text(row.name), str(row.times_called), ms, share)
    return shown
