"""Model files on the terminal: one that `hwnas inspect` read, with its operators, and those that an export wrote."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from hwnas.inspection.info import EndInfo, ModelInfo, OperatorInfo
from hwnas.report.console import key_value_table

if TYPE_CHECKING:
    from hwnas.exporter.exported import ExportedModel

HEAVIEST = 10
"""Operators that are listed by default."""

LAYERS_SHOWN = 8


def model_tables(info: ModelInfo, all_operators: bool = False) -> Group:
    """A ModelInfo for people: a summary, its operators (the heaviest, or all in order), and advice."""
    multiplying = [pair for pair in enumerate(info.operators) if pair[1].macs]
    heaviest = sorted(multiplying, key=lambda pair: -pair[1].macs)[:HEAVIEST]
    if all_operators:
        operators = operator_table("operators", enumerate(info.operators), info)
    else:
        operators = operator_table(f"the {len(heaviest)} operators with the most MACs", heaviest, info)
    warnings = [Text(f"! {warning}", style="yellow") for warning in info.warnings]
    return Group(_summary(info), operators, *warnings)


def operator_table(title: str, operators: Iterable[tuple[int, OperatorInfo]], info: ModelInfo) -> Table:
    """One row per (position, operator)."""
    table = Table(title=title, title_justify="left", title_style="bold", min_width=60)
    table.add_column("#", justify="right")
    table.add_column("operator", style="cyan", overflow="fold")
    table.add_column("in -> out")
    for name in ("M MACs", "share", "parameters", "weights"):
        table.add_column(name, justify="right")
    for position, operator in operators:
        outside = position in info.execution.outside
        kernel = " " + "x".join(map(str, operator.kernel)) if operator.kernel else ""
        table.add_row(
            str(position),
            Text(f"{operator.kind}{kernel}{' (not in XNNPACK)' if outside else ''}", style="yellow" if outside else ""),
            f"{_shapes(operator.inputs)} -> {_shapes(operator.outputs)}",
            f"{operator.macs / 1e6:.2f}" if operator.macs else "",
            f"{operator.macs / info.macs:.1%}" if operator.macs else "",
            f"{operator.parameters:,}" if operator.parameters else "",
            _size(operator.weight_bytes) if operator.weight_bytes else "",
        )
    return table


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


def _summary(info: ModelInfo) -> Table:
    peak = info.peak_activation_bytes
    rows = {
        "file": f"{info.format} {info.version}, {_size(info.bytes)}, sha256 {info.sha256[:16]}...",
        **{f"input {i}" if i else "input": _end(end) for i, end in enumerate(info.inputs)},
        **{f"output {i}" if i else "output": _end(end) for i, end in enumerate(info.outputs)},
        "size": _costs(info),
        "precision": info.precision,
        "activations": "not known" if peak is None else f"{_size(peak)} at most at once",
        "operators": f"{len(info.operators)}: {_counted(info.histogram)}",
        "executed": f"{info.execution.runtime}: {_executed(info)}",
    }
    if info.metadata.labels:
        labels = info.metadata.labels
        rows["labels"] = f"{len(labels)}: {', '.join(labels[:5])}{' ...' if len(labels) > 5 else ''}"
    if info.metadata.std:
        rows["normalisation"] = f"(value - {list(info.metadata.mean)}) / {list(info.metadata.std)}"
    if (seen := info.metadata.preprocessing) is not None:
        rows["photographs"] = " ".join(seen.steps)
    signatures = [f"{name}({', '.join(ends['inputs'])})" for name, ends in info.metadata.signatures.items()]
    rows |= {"signatures": ", ".join(signatures)} if signatures else {}
    return key_value_table(info.file, rows | _said(info))


def _costs(info: ModelInfo) -> str:
    """MACs and parameters; for which input, where that is not plain: its batch is not 1, or one of its sizes free."""
    least = "at least " if info.is_lower_bound else ""
    odd = [end for end in info.inputs if end.counted_shape != end.shape or (end.shape and end.shape[0] != 1)]
    batch = f" for an input of {_shapes(end.counted_shape for end in info.inputs)}" if odd else ""
    weights = ", ".join(f"{_size(size)} {dtype}" for dtype, size in info.weight_bytes.items())
    macs, parameters = f"{info.macs / 1e6:,.2f} M MACs{batch}", f"{info.parameters:,} parameters"
    return f"{least}{macs}, {least}{parameters} ({weights or 'no weights'})"


def _executed(info: ModelInfo) -> str:
    execution = info.execution
    if execution.refused is not None:
        return execution.refused
    if execution.partitions == 1 and not execution.outside:
        return "XNNPACK takes all of it in one piece"
    return _counted(execution.nodes)


def _said(info: ModelInfo) -> dict[str, str]:
    said = "; ".join(f"{key}: {value}" for key, value in info.metadata.entries.items())
    return {"it says": said} if said else {}


def _end(end: EndInfo) -> str:
    quantised = "" if end.scale is None else f", {end.scale:.4g} * (stored - {end.zero_point or 0})"
    return f"{end.name} {end.dtype} {_shapes([end.shape])}{f' {end.layout}' if end.layout else ''}{quantised}"


def _shapes(shapes: Iterable[tuple[int | str, ...] | None]) -> str:
    return " + ".join("?" if shape is None else "x".join(map(str, shape)) or "scalar" for shape in shapes) or "constant"


def _size(size: int) -> str:
    return f"{size} bytes" if size < 1024 else f"{size / 1024:,.1f} KiB"


def _counted(kinds: dict[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in kinds.items()) or "nothing"
