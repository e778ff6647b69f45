"""Results as tables on the terminal, and progress bars with the time left. All of it goes to stderr."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table
from rich.text import Text

if TYPE_CHECKING:
    from hwnas.design import DesignResult
    from hwnas.latency.card import ErrorCard

MISSED = "the measured latency is outside the interval"

CONSOLE = Console(stderr=True, soft_wrap=False)


class FiguresColumn(TextColumn):
    """Text that is cut off where the terminal is too narrow, so that counts and times are not."""

    def render(self, task: Task) -> Text:
        text = super().render(task)
        text.no_wrap, text.overflow = True, "ellipsis"
        return text


@contextmanager
def progress_bars() -> Iterator[Any]:
    """A function (stage, done, total, text) that keeps one bar per stage, with the time left."""
    columns = (
        TextColumn("{task.description:<14}"),
        BarColumn(bar_width=16, table_column=Column(no_wrap=True)),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        FiguresColumn("{task.fields[text]}", markup=False, table_column=Column()),  # alone in giving way
    )
    with Progress(*columns, console=CONSOLE) as bars:
        tasks: dict[str, Any] = {}

        def update(stage: str, done: int, total: int, text: str) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total, text=text)
            bars.update(tasks[stage], completed=done, total=total, text=text)

        yield update


def key_value_table(title: str, rows: dict[str, str]) -> Table:
    """Two columns: what, and how much."""
    table = Table(title=title, show_header=False, title_justify="left", title_style="bold", min_width=60)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def measured_table(title: str, result: dict[str, Any]) -> Table:
    """What `hwnas measure` did: its JSON for people."""
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
        rows["visits to one model"] = f"differ by {spread}"
    if "reached" in result:
        verdict = "reached" if result["reached"] else "not reached with all there is, or --networks allows, to measure"
        rows["error"] = (
            f"{result['mape']:.1f} % on networks not seen: the goal of {result['goal_mape']:g} % is {verdict}"
        )
        rows["used"] = f"{result['used_entries']} of {result['full_entries']} blocks and networks"
    if "fastest_ms" in result:
        rows["networks of this space"] = f"{result['fastest_ms']:.3f} to {result['slowest_ms']:.3f} ms, predicted"
    return key_value_table(title, rows)


def _latency_rows(result: DesignResult) -> dict[str, str]:
    """The budget, the prediction, and what was measured, if it was."""
    target, budget_ms = result.runtime, result.config.budget_ms
    low, high = result.prediction.interval_ms
    predicted = f"{result.prediction.ms:.3f} ms, 90 % interval {low:.3f} to {high:.3f} ms"
    if result.publication:
        rows = {"budget": f"{budget_ms:g} ms on {result.config.device}", "predicted": predicted}
        rows["measured"] = f"not: the latency table is published ({result.publication})"
        if result.price.architecture != result.architecture:
            shape = "x".join(map(str, result.price.architecture.input_shape))
            rows["priced as"] = f"{result.price.architecture.space} on {shape}, the network of the same code"
        return rows
    measured = result.measured_ms[target]
    error = 100 * (result.prediction.ms - measured) / measured
    verdict = "[bold green]within[/]" if result.status == "within" else "[bold red]over[/]"
    return {
        "budget": f"{budget_ms:g} ms on {result.config.device}, {target}",
        "measured": f"{measured:.3f} ms: {verdict} the budget ({100 * measured / budget_ms:.1f} % of it)",
        "predicted": f"{predicted} ({error:+.1f} % off)" + ("" if result.in_interval else f"; [bold red]{MISSED}[/]"),
    }


def design_table(result: DesignResult) -> Table:
    """The closing table of a design: the budget, what was predicted, what was measured, and what came out."""
    target = result.runtime
    rows = _latency_rows(result)
    if result.drift_percent is not None:
        changed = "slower" if result.drift_percent > 0 else "faster"
        rows["machine"] = f"{abs(result.drift_percent):.1f} % {changed} than for the table, by the reference model"
    others = {name: ms for name, ms in result.measured_ms.items() if name != target}
    if others:
        rows["elsewhere"] = ", ".join(f"{ms:.3f} ms on {name}" for name, ms in others.items())
    rows |= {
        "accuracy": f"{100 * result.accuracy:.1f} % of the test images",
        "size": f"{result.architecture.macs / 1e6:.2f} M MACs, {result.architecture.params / 1e3:.1f} k parameters",
        "architecture": f"{result.architecture.space} {result.architecture.code}",
    }
    for model in result.models:
        checked = f"{model.bytes / 1024:.0f} KiB, {model.max_relative_error:.0e} from PyTorch"
        rows[f"{model.format} {model.precision}"] = f"{model.path} ({checked})"
    for point in result.frontier:
        ms = f"{point.prediction.ms:.3f} ms predicted"
        if point.measured_ms is not None:
            ms = f"{point.measured_ms:.3f} ms: {point.status}" + ("" if point.in_interval else f", {MISSED}")
        rows[f"for {point.budget_ms:g} ms"] = f"{ms}, {100 * point.accuracy:.1f} %, {point.folder}"
    rows["run"] = f"{result.run} ({result.seconds:.0f} s)"
    return key_value_table("hwnas design", rows)


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
    rows = {"predictor": f"{card.predictor}: {card.n_blocks} blocks, {card.n_networks} whole networks"}
    rows |= {name: f"{value:.2f} %" for name, value in percent.items() if value is not None}
    if card.spearman is not None:
        rows["rank correlation"] = f"{card.spearman:.4f} (Spearman)"
    rows["judged by"] = card.protocol
    return key_value_table("error card", rows)
