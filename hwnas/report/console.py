"""Results as tables on the terminal, on stderr."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from hwnas.text import shown

if TYPE_CHECKING:
    from hwnas.designer.result import DesignResult
    from hwnas.latency.card import ErrorCard

MISSED = "the measured latency is outside the interval"


class SafeConsole(Console):
    """A console for text from outside: in a str nothing is markup or an emoji's name, and nothing is a control code.

    What is to be coloured is given as a rich `Text`, or with a style.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """As of every Console; safe before it is laid out, so that columns are as wide as what they show."""
        return super().render_str(shown(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """As of every Console; whatever the text comes in, it is made safe here at the latest."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(shown(segment.text), segment.style)


CONSOLE = SafeConsole(stderr=True, soft_wrap=False)


def key_value_table(title: str, rows: Mapping[str, str | Text]) -> Table:
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


def _latency_rows(result: DesignResult) -> dict[str, str | Text]:
    """The budget, the prediction, and what was measured, if it was."""
    target, budget_ms = result.runtime, result.config.budget_ms
    low, high = result.prediction.interval_ms
    predicted = f"{result.prediction.ms:.3f} ms, 90 % interval {low:.3f} to {high:.3f} ms"
    if result.publication:
        rows: dict[str, str | Text] = {"budget": f"{budget_ms:g} ms on {result.config.device}", "predicted": predicted}
        rows["measured"] = f"not: the latency table is published ({result.publication})"
        if result.price.architecture != result.architecture:
            shape = "x".join(map(str, result.price.architecture.input_shape))
            rows["priced as"] = f"{result.price.architecture.space} on {shape}, the network of the same code"
        return rows
    measured = result.measured_ms[target]
    error = 100 * (result.prediction.ms - measured) / measured
    within = result.status == "within"
    verdict = ("within", "bold green") if within else ("over", "bold red")
    return {
        "budget": f"{budget_ms:g} ms on {result.config.device}, {target}",
        "measured": Text.assemble(
            f"{measured:.3f} ms: ", verdict, f" the budget ({100 * measured / budget_ms:.1f} % of it)"
        ),
        "predicted": Text.assemble(
            f"{predicted} ({error:+.1f} % off)", *(() if result.in_interval else ("; ", (MISSED, "bold red")))
        ),
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
    if result.data_warnings:
        rows["images"] = Text("\n".join(result.data_warnings), "bold yellow")
    accuracy = f"{100 * result.accuracy:.1f} % of the test images"
    if result.accuracy_without_leaked is not None:
        accuracy += f"; {100 * result.accuracy_without_leaked:.1f} % without those that are copies"
    rows |= {
        "accuracy": accuracy,
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
    threads = result.training_threads
    trained = "" if threads is None else f", trained with {threads} thread{'s' * (threads > 1)}"
    rows["run"] = f"{result.run} ({result.seconds:.0f} s{trained})"
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
