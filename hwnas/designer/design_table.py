"""The closing table of `hwnas design` and `hwnas search` on the terminal."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from hwnas.designer.limit_records import LimitRecord
from hwnas.designer.result import DesignResult
from hwnas.latency.tables.precision import USUAL_PRECISION
from hwnas.latency.wanted_budget import told_in_ms
from hwnas.report.console import key_value_table

MISSED = "the measured latency is outside the interval"
VERDICT_STYLES = {"within": "bold green", "over": "bold red"}


def _budget_rows(result: DesignResult, where: str) -> dict[str, str | Text]:
    """The budget in ms, as it was asked for, and whether it limits anything."""
    rows: dict[str, str | Text] = {"budget": f"{result.budget_ms:g} ms on {where}"}
    if asked := told_in_ms(result.config.budget_ms, result.budget_ms):
        rows["asked for"] = asked
    if result.budget_hint:
        rows["hint"] = Text(result.budget_hint, "bold yellow")
    return rows


def _latency_rows(result: DesignResult) -> dict[str, str | Text]:
    """The budget, the prediction, and what was measured, if it was."""
    target = result.runtime
    file = "" if result.precision == USUAL_PRECISION else f", {result.precision} file"
    rows = _budget_rows(result, f"{result.config.device}, {target}{file}")
    if result.prediction is None or result.price is None:  # a known network, which no table predicts
        return rows | {"measured": _measured_row(result)}
    low, high = result.prediction.interval_ms
    predicted = f"{result.prediction.ms:.3f} ms, 90 % interval {low:.3f} to {high:.3f} ms"
    if result.publication:
        rows = _budget_rows(result, result.config.device) | {"predicted": predicted}
        rows["measured"] = f"never: the latency table is published ({result.publication})"
        if result.price.architecture != result.architecture:
            shape = "x".join(map(str, result.price.architecture.input_shape))
            rows["priced as"] = f"{result.price.architecture.space} on {shape}, the network of the same code"
        return rows
    measured = result.measured_ms[target]
    error = 100 * (result.prediction.ms - measured) / measured
    return rows | {
        "measured": _measured_row(result),
        "predicted": Text.assemble(
            f"{predicted} ({error:+.1f} % off)", *(() if result.in_interval else ("; ", (MISSED, "bold red")))
        ),
    }


def _measured_row(result: DesignResult) -> Text:
    measured = result.measured_ms[result.runtime]
    status = result.limits[0].status if result.limits else result.status  # of this budget alone
    verdict = "within" if status == "within" else "over"
    share = f" the budget ({100 * measured / result.budget_ms:.1f} % of it)"
    return Text.assemble(f"{measured:.3f} ms: ", (verdict, VERDICT_STYLES[verdict]), share)


def _limit_row(record: LimitRecord) -> Text:
    """How much of a further limit the network takes, with the status in colour."""
    before, status, after = record.told_parts
    return Text.assemble(before, (status, VERDICT_STYLES.get(status, "")), after)


def _compared_rows(result: DesignResult) -> dict[str, str | Text]:
    """Found against picked, and which of them is returned."""
    rows: dict[str, str | Text] = {}
    if result.searched is not None:
        returned = (
            f"{result.returned}, a known network: it got more validation images right than the one that was found"
        )
        rows["returned"] = Text(returned, "bold yellow")
    for each in filter(None, (result.searched, *result.found_against)):
        rows[f"against {each.network}"] = (
            f"{100 * each.accuracy:.1f} % ({100 * each.val_accuracy:.1f} % of the validation images) in "
            f"{each.measured_ms:.3f} ms; width {each.width:g}, {each.resolution} px"
        )
    return rows


def design_table(result: DesignResult) -> Table:
    """The closing table of a design: the budget, what was predicted, what was measured, and what came out."""
    target = result.runtime
    rows = _latency_rows(result)
    rows |= {record.name: _limit_row(record) for record in result.limits[1:]}
    if result.chosen:
        rows["chosen"] = "\n".join(result.chosen)
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
    if result.float_accuracy is not None:
        accuracy += f", as the {result.precision} file; {100 * result.float_accuracy:.1f} % in float32"
    if result.int8_fine_tuning is not None:
        rows["fine-tuned"] = str(result.int8_fine_tuning)
    if result.precision_hint:
        rows["rounding"] = Text(result.precision_hint, "bold yellow")
    rows |= {
        "accuracy": accuracy,
        "size": f"{result.architecture.macs / 1e6:.2f} M MACs, {result.architecture.params / 1e3:.1f} k parameters",
        "architecture": f"{result.architecture.space} {result.architecture.code}",
    }
    if result.unused:
        rows["unused"] = result.unused
    rows |= _compared_rows(result)
    for model in result.models:
        found = [f"{ms:.3f} ms on {name}" for name, ms in result.files_ms.get(model.path.name, {}).items()]
        if model.accuracy is not None:
            found.append(f"{100 * model.accuracy.share:.1f} % right")
        if model.disagrees:
            found.append("often another answer than before rounding")
        checked = f"{model.bytes / 1024:.0f} KiB, {model.max_relative_error:.0e} from PyTorch"
        rows[f"{model.format} {model.precision}"] = f"{', '.join(found)}: {model.path} ({checked})"
    for point in result.frontier:
        ms = f"{point.prediction.ms:.3f} ms predicted"
        if point.measured_ms is not None:
            ms = f"{point.measured_ms:.3f} ms: {point.status}" + ("" if point.in_interval else f", {MISSED}")
        rows[f"for {point.budget_ms:g} ms"] = f"{ms}, {100 * point.accuracy:.1f} %, {point.folder}"
    threads = result.training_threads
    trained = "" if threads is None else f", trained with {threads} thread{'s' * (threads > 1)}"
    rows["run"] = f"{result.run} ({result.seconds:.0f} s{trained})"
    return key_value_table("hwnas design", rows)
