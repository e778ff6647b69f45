"""The closing tables of an export: its files, and the layers that int8 hurts most."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from hwnas.exporter.exported import ExportedModel

LAYERS_SHOWN = 8


def export_table(folder: str, models: Sequence[ExportedModel], max_loss: float) -> Table:
    """One row per file: size, difference to PyTorch, accuracy with its interval, loss, how often it says what PyTorch
    says, and how XNNPACK takes it."""
    table = Table(title=f"exported to {folder}", title_justify="left", title_style="bold")
    table.add_column("file", style="cyan", no_wrap=True)
    for head in ("KiB", "from PyTorch", "accuracy %", "points lost", "same class %", "partitions"):
        table.add_column(head, justify="right", no_wrap=head not in ("points lost", "same class %"))
    for model in models:
        accuracy, loss, same = "", Text(), Text()
        if model.accuracy is not None and model.loss_points is not None:
            low, high = model.accuracy.interval
            accuracy = f"{100 * model.accuracy.share:.1f} ±{50 * (high - low):.1f}"
            style = "red" if model.loses_more_than(max_loss) else "green"
            loss = Text(f"{model.loss_points:+.2f}", style)
            same = Text(f"{100 * model.accuracy.agreement:.1f}", "red" if model.disagrees else "green")
        partitions, outside = model.info.execution.partitions, len(model.info.execution.outside)
        whole = "" if partitions is None else f"{partitions} + {outside} op" if outside else str(partitions)
        error = f"{model.max_relative_error:.0e}"
        if model.limit is None:
            error = f"{model.parity.signal_to_noise_db:.0f} dB"
        table.add_row(model.path.name, f"{model.bytes / 1024:.0f}", error, accuracy, loss, same, whole)
    return table


def layers_table(model: ExportedModel) -> Table:
    """The layers that int8 hurts most, worst first, and which of them were kept in float."""
    title = f"{model.path.name}: the layers that int8 hurts most"
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("layer", style="cyan", no_wrap=True)
    table.add_column("signal to noise, int8 alone", justify="right")
    table.add_column("computes in")
    kept = set(model.kept_float)
    for entry in model.noisiest_layers[: max(LAYERS_SHOWN, len(kept))]:
        where = "float32" if entry.layer in kept else "int8"
        table.add_row(entry.layer, f"{entry.signal_to_noise_db:.1f} dB", where)
    return table
