"""The error card for people: CARD.md with two pictures, and card.json for programs, beside the table they are about."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hwnas.errors import HwnasError
from hwnas.files import write_atomically, write_json, write_page
from hwnas.latency.card import ErrorCard
from hwnas.report.pictures import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CARD_FILE, TEXT_FILE = "card.json", "CARD.md"
PREDICTIONS_FILE, CURVE_FILE = "predictions.png", "learning_curve.png"
WORST = 10


def write_card(card: ErrorCard, folder: Path, interval_percent: float) -> list[Path]:
    """Write the card beside its table; returns the files. The pictures are left out where matplotlib is missing.

    Args:
        card: from `hwnas.latency.fitting.held_out.evaluate`.
        folder: of the table.
        interval_percent: half of the predictor's 90 % interval.

    Raises HwnasError if the folder cannot be written.
    """
    written = [folder / CARD_FILE, folder / TEXT_FILE]
    write_json(written[0], card.to_json() | {"interval_percent": interval_percent})
    pictures: list[Path] = []
    if card.held_out:
        try:
            pictures.append(_save(plot_held_out(card), folder / PREDICTIONS_FILE))
            if card.learning_curve:
                pictures.append(_save(plot_curve(card), folder / CURVE_FILE))
        except HwnasError:
            pictures = []  # no matplotlib: the numbers say the same
    text = card_text(card, interval_percent, [path.name for path in pictures])
    write_page(written[1], text)
    return written + pictures


def card_text(card: ErrorCard, interval_percent: float, pictures: list[str]) -> str:
    """The card in Markdown."""
    lines = ["# Error card", "", f"{card.predictor}: {card.n_blocks} blocks, {card.n_networks} whole networks.", ""]
    lines += _table(["measured on", ""], [[name, _cell(str(value))] for name, value in _conditions(card)])
    if card.mape is None:
        return "\n".join([*lines, f"{card.protocol}; the 90 % interval is ±{interval_percent:.0f} %.", ""])
    lines += _table(["on networks not seen", ""], _statistics(card, interval_percent))
    lines += [f"Evaluated by {card.protocol}.", ""]
    lines += [line for name in pictures for line in (f"![{name.partition('.')[0].replace('_', ' ')}]({name})", "")]
    if card.learning_curve:
        lines += ["## What more networks bring", ""]
        rows = [[str(point.networks), f"{point.mape:.2f} %"] for point in card.learning_curve]
        lines += _table(["networks measured", "mean error on others"], rows)
    if card.held_out:
        lines += [f"## The {min(WORST, len(card.held_out))} farthest off", ""]
        rows = [
            [f"`{n.code}`", f"{n.predicted_ms:.4g}", f"{n.measured_ms:.4g}", f"{n.error_percent:+.1f} %", n.reason]
            for n in card.held_out[:WORST]
        ]
        lines += _table(["code", "predicted (ms)", "measured (ms)", "error", "about its blocks"], rows)
    return "\n".join(lines)


def plot_held_out(card: ErrorCard) -> Figure:
    """Predicted against measured latency of every network, with its 90 % interval, and the errors below."""
    figure, (top, bottom) = new_figure(5.2, 5.6, rows=2, height_ratios=(3, 1.2))
    measured = np.array([network.measured_ms for network in card.held_out])
    predicted = np.array([network.predicted_ms for network in card.held_out])
    error = 100 * (predicted / measured - 1)
    low = 100 * (np.array([network.low_ms for network in card.held_out]) / measured - 1)
    high = 100 * (np.array([network.high_ms for network in card.held_out]) / measured - 1)
    ends = np.array([0.97 * measured.min(), 1.03 * measured.max()])
    top.fill_between(ends, 0.95 * ends, 1.05 * ends, color="C0", alpha=0.15, lw=0, label="within 5 %")
    top.plot(ends, ends, lw=1, color="grey")
    top.plot(measured, predicted, "o", ms=3.5, alpha=0.8, mew=0)
    top.set(ylabel="predicted (ms)", title=f"{card.mape:.2f} % off on {card.n_networks} networks not seen")
    top.legend(frameon=False, loc="upper left")
    bottom.axhspan(-5, 5, color="C0", alpha=0.15, lw=0)
    bottom.axhline(0, lw=1, color="grey")
    bottom.vlines(measured, low, high, lw=0.8, color="C0", alpha=0.4)
    bottom.plot(measured, error, "o", ms=3, mew=0)
    limit = max(
        10, 1.2 * np.abs(error).max()
    )  # by the errors: an interval that leaves the picture is wide, and shown so
    bottom.set(xlabel="measured (ms)", ylabel="error (%)", ylim=(-limit, limit))
    return figure


def plot_curve(card: ErrorCard) -> Figure:
    """The error against the number of networks measured, and the noise below which it cannot fall."""
    figure, axes = new_figure(5.2, 3.2)
    counts = [point.networks for point in card.learning_curve]
    mapes = [point.mape for point in card.learning_curve]
    axes.plot(range(len(counts)), mapes, "o-", ms=4)
    for place, mape in enumerate(mapes):
        axes.annotate(f"{mape:.1f}", (place, mape), xytext=(0, 6), textcoords="offset points", ha="center")
    if card.noise_floor is not None:
        axes.axhline(card.noise_floor, ls="--", lw=1, color="grey")
        axes.annotate("noise of measuring", (len(counts) - 1, card.noise_floor), ha="right", va="bottom", color="grey")
    axes.set_xticks(range(len(counts)), [str(count) for count in counts])
    axes.set(xlabel="whole networks measured", ylabel="error on others (%)", ylim=(0, 1.2 * max(mapes)))
    axes.set_title("what more networks bring")
    return figure


def _save(figure: Figure, path: Path) -> Path:
    """Write a picture: the same bytes for the same card."""
    from matplotlib import pyplot

    write_atomically(
        path,
        lambda part: figure.savefig(part, format="png", dpi=120, metadata={"Software": None}),
    )
    pyplot.close(figure)
    return path


def _statistics(card: ErrorCard, interval_percent: float) -> list[list[str]]:
    percent = {
        "mean error (MAPE)": card.mape,
        "the same, fitted to this table alone": card.own_mape,
        "within 5 %": card.hit5,
        "within 10 %": card.hit10,
        "within their 90 % interval": card.coverage90,
        "90 % interval, plus or minus": interval_percent,
        "noise floor": card.noise_floor,
    }
    rows = [[name, f"{value:.2f} %"] for name, value in percent.items() if value is not None]
    plain = {"error / noise floor": card.over_noise, "Spearman": card.spearman, "Kendall": card.kendall}
    return rows + [[name, f"{value:.4g}"] for name, value in plain.items() if value is not None]


def _conditions(card: ErrorCard) -> list[tuple[str, Any]]:
    shown = dict(card.measured_on or {})
    if left := shown.pop("left_to_cpu", None):
        shown["operators that the GPU left to the CPU"] = "; ".join(left)
    drift = shown.pop("drift", None) or {}
    low, high = shown.pop("drift_min_percent", None), shown.pop("drift_max_percent", None)
    if low is not None and high is not None:
        shown["drift of the machine"] = f"{low:+.1f} to {high:+.1f} %"
    if drift.get("corrected_spread_percent") is not None:
        before, after = drift["spread_percent"], drift["corrected_spread_percent"]
        shown["repetitions of one model differ by"] = (
            f"{before:.2f} %, with {drift['coefficient']:.2f} of the drift taken off {after:.2f} %"
        )
    return [(name.replace("_", " "), value) for name, value in shown.items()]


def _table(heads: list[str], rows: list[list[str]]) -> list[str]:
    lines = ["| " + " | ".join(row) + " |" for row in (heads, ["---"] * len(heads), *rows)]
    return [*lines, ""]


def _cell(text: str) -> str:
    """Text that a table of Markdown shows as it is, in one line, whatever a device calls itself."""
    return " ".join("".join(f"\\{c}" if c in "\\`*_[]<>|#" else c for c in text).split())
