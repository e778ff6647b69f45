"""Pictures of a table, a prediction and a search. Needs matplotlib: ``pip install 'hwnas[notebook]'``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hwnas.errors import HwnasError, UsageError
from hwnas.files import check_ours, write_atomically
from hwnas.latency.predictor import LatencyPredictor
from hwnas.latency.space_range import LatencyRange
from hwnas.latency.tables.table import LatencyTable
from hwnas.report.sustained_table import series
from hwnas.space import OneOf, SearchSpace
from hwnas.specs.mbconv import MBConv
from hwnas.specs.spec import Spec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hwnas.campaign.sustained import Sustained

NO_MATPLOTLIB = "pictures need matplotlib; install it with pip install 'hwnas[notebook]'."

PICTURE_MARK = b"Software\0hwnas"
"""A mark in every picture of `_save`, and in no other one."""


def plot_table(table: LatencyTable, space: SearchSpace) -> Figure:
    """The latency of each candidate of each decision, in microseconds: a group of bars per decision."""
    figure, axes = new_figure(9, 3.2)
    decisions = [(node, shape) for node, shape in space.positions() if isinstance(node, OneOf)]
    labels: dict[str, int] = {}
    for position, (one_of, shape) in enumerate(decisions):
        for spec in one_of.candidates:
            index = labels.setdefault(_label(spec), len(labels))
            axes.bar(position + 0.17 * (index - 2), 1000 * table.block_ms(spec, shape), 0.16, color=f"C{index}")
    for label, index in labels.items():
        axes.bar(0, 0, color=f"C{index}", label=label)
    axes.set_xticks(range(len(decisions)), [one_of.name for one_of, _ in decisions])
    axes.set(ylabel="latency (µs)", title="what each candidate costs")
    axes.legend(ncols=len(labels), frameon=False, fontsize="small")
    return figure


def plot_predictions(table: LatencyTable, predictor: LatencyPredictor, space: SearchSpace) -> Figure:
    """Predicted against measured latency of every whole network of the table, with the 90 % interval."""
    figure, axes = new_figure(4.5, 4.2)
    networks = table.networks_of(space)
    measured = np.array([latency.median_ms for latency in networks.values()])
    predicted = np.array([predictor.predict(architecture).ms for architecture in networks])
    ends = np.array([0.95 * min(measured), 1.05 * max(measured)])
    axes.fill_between(ends, ends * (1 - predictor.half_width), ends * (1 + predictor.half_width), alpha=0.2, lw=0)
    axes.plot(ends, ends, lw=1, color="grey")
    axes.plot(measured, predicted, "o", ms=4)
    axes.set(xlabel="measured (ms)", ylabel="predicted (ms)", title=_title(predictor))
    return figure


def plot_search(metrics: Sequence[dict[str, Any]], budget_ms: float) -> Figure:
    """The loss and the expected latency over the steps of a search, with the budget as a line.

    Steps are left out in which one of them was no number, as in a step of float16 that overflows.
    """
    metrics = [each for each in metrics if None not in (each["loss"], each["expected_ms"])]
    figure, (top, bottom) = new_figure(8, 4.5, rows=2)
    steps = [record["step"] for record in metrics]
    epochs: dict[int, list[float]] = defaultdict(list)
    for record in metrics:
        epochs[record["epoch"]].append(record["loss"])
    per_epoch = len(metrics) / len(epochs)
    top.plot(steps, [record["loss"] for record in metrics], lw=0.5, alpha=0.4)
    top.plot([(epoch + 0.5) * per_epoch for epoch in epochs], [np.mean(v) for v in epochs.values()], lw=1.5, color="C0")
    top.set(ylabel="loss", title="the search")
    expected_ms = [each["expected_ms"] for each in metrics]
    bottom.plot(steps, expected_ms, color="C1")
    bottom.axhline(budget_ms, ls="--", lw=1, color="grey")
    bottom.annotate("budget", (steps[-1], budget_ms), ha="right", va="bottom", color="grey")
    bottom.set(xlabel="step", ylabel="expected latency (ms)", ylim=(0, 1.2 * max(budget_ms, *expected_ms)))
    return figure


def save_search_picture(metrics: Sequence[dict[str, Any]], budget_ms: float, path: Path) -> bool:
    """Save `plot_search`; False where there is nothing to draw it from, or matplotlib is not installed.

    Searches that evaluate children one by one, such as ``spos``, expect no latency while they train.
    """
    if find_spec("matplotlib") is None or all(None in (each.get("loss"), each.get("expected_ms")) for each in metrics):
        return False
    _save(plot_search(metrics, budget_ms), path)
    return True


def check_picture(path: Path) -> None:
    """Refuse early, since what is measured for a picture takes minutes.

    Raises UsageError for another format, HwnasError as `new_figure`, and for a picture that hwnas did not make.
    """
    if path.suffix.lower() != ".png":
        raise UsageError(f"a picture is written as PNG, so its name ends in .png, not {path.name!r}.")
    if find_spec("matplotlib") is None:
        raise HwnasError(NO_MATPLOTLIB)
    check_ours(path, PICTURE_MARK)


def plot_range(found: LatencyRange) -> Figure:
    """The latencies of a space as a bar from its fastest to its slowest network, and of the known networks as points.

    A row per resolution of the space and per known network, whose points have their width beside them and the colour
    of their resolution. ms are on a logarithmic scale.
    """
    names = sorted({each.network.network for each in found.known}, reverse=True)
    labels = names + [f"{each.space.name}, {each.space.input_shape[1]} px" for each in reversed(found.spaces)]
    figure, axes = new_figure(9, 1.2 + 0.3 * len(labels))
    for place, each in enumerate(found.spaces):
        resolution, color, row = each.space.input_shape[1], f"C{place}", len(labels) - 1 - place
        axes.plot((each.fastest.ms, each.slowest.ms), (row, row), lw=6, color=color, solid_capstyle="butt")
        for source, marker in (("measured", "o"), ("priced", "s"), ("estimated", "d")):
            own = [k.network for k in found.known if (k.source, k.network.resolution) == (source, resolution)]
            points = [(network.ms, names.index(network.network)) for network in own]
            if own:
                axes.plot(*zip(*points, strict=True), marker, ms=4, color=color, label=f"{source}, {resolution} px")
            for network, point in zip(own, points, strict=True):
                text = f"{network.width:g}"
                axes.annotate(text, point, (0, 4), textcoords="offset points", ha="center", fontsize=6, color=color)
    axes.axvspan(found.fastest_ms, found.slowest_ms, color="grey", alpha=0.08, lw=0)
    axes.set_yticks(range(len(labels)), labels)
    axes.set(xlabel="latency (ms)", xscale="log", ylim=(-0.7, len(labels) - 0.3), title="what the device can do")
    _label_ms(axes)
    if found.known:
        axes.legend(frameon=False, fontsize="small", loc="lower right")
    return figure


def _label_ms(axes: Any) -> None:
    """Label a logarithmic axis by 0.1, 0.2, 0.5, 1, 2, 5 and so on."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())


def save_range_picture(found: LatencyRange, path: Path) -> None:
    """Save `plot_range` as PNG. Raises HwnasError where matplotlib is missing or the folder cannot be written."""
    _save(plot_range(found), path)


def save_sustained_picture(found: Sustained, path: Path) -> bool:
    """Save ms, temperature and frequency over the minutes as PNG; False where matplotlib is not installed."""
    if find_spec("matplotlib") is None:
        return False
    known = {name: values for name, values in series(found).items() if values}
    figure, axes = new_figure(8, 1 + 1.6 * len(known), rows=len(known))
    rows = axes if len(known) > 1 else [axes]
    minutes = [each.at_s / 60 for each in found.samples]
    for row, (name, values) in zip(rows, known.items(), strict=True):
        row.plot(minutes, values, ".-", lw=1, ms=3)
        row.set(ylabel=name)
    rows[0].axhline(found.first_ms, ls="--", lw=1, color="grey")
    rows[0].axhline(found.sustained_ms, ls=":", lw=1, color="grey")
    rows[0].set_ylim(bottom=0)  # a percent must not look like a half
    rows[0].set(title=f"{found.sustained_ms:.4g} ms sustained, {found.first_ms:.4g} ms at first")
    rows[-1].set(xlabel="minutes")
    _save(figure, path)
    return True


def _save(figure: Figure, path: Path) -> None:
    from matplotlib import pyplot

    ours = {"Software": "hwnas"}  # a picture that somebody else made is never replaced
    write_atomically(path, lambda part: figure.savefig(part, format="png", dpi=120, metadata=ours))
    pyplot.close(figure)


def _label(spec: Spec) -> str:
    if spec.is_identity:
        return "skip"
    return f"k{spec.kernel} e{spec.expand}" if isinstance(spec, MBConv) else str(spec)


def _title(predictor: LatencyPredictor) -> str:
    card = predictor.card
    return "not evaluated" if card.mape is None else f"{card.mape:.1f} % off on {card.n_networks} networks not seen"


def new_figure(
    width: float, height: float, rows: int = 1, height_ratios: Sequence[float] | None = None
) -> tuple[Figure, Any]:
    """A figure of so many inches, and its axes, one above the other. Raises HwnasError where matplotlib is missing."""
    try:
        from matplotlib import pyplot
    except ModuleNotFoundError:
        raise HwnasError(NO_MATPLOTLIB) from None
    size = {"figsize": (width, height), "height_ratios": height_ratios}
    figure, axes = pyplot.subplots(rows, layout="constrained", sharex=rows > 1, **size)
    return figure, axes
