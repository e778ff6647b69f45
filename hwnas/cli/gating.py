"""The verb for continuous integration: gate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwnas.cli.options import Accept, DeviceName, Json, RuntimeName, Threads
from hwnas.cli.output import print_json, refuse_typed
from hwnas.errors import HwnasError, UsageError

if TYPE_CHECKING:
    from hwnas.campaign.gate import Gated, Limit
    from hwnas.devices.device import Device

MODELS = (".tflite", ".onnx")


class TooSlow(HwnasError):
    """A gate found a model too slow, beyond what noise can explain. The CLI exits with 3."""

    exit_code = 3


def gate(
    context: typer.Context,
    model: Annotated[Path, typer.Argument(help="Any .tflite or .onnx file with one input: float32, uint8 or int8.")],
    device: DeviceName = "local",
    runtime: RuntimeName = None,
    threads: Threads = None,
    budget_ms: Annotated[
        float | None, typer.Option("--budget-ms", help="The most ms that one inference may take.")
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(
            "--baseline",
            help="The model may not be slower than this: a JSON of --save or `bench --json`, or a model file, measured "
            "in turns. With --budget-ms: a table, which says how fast the device usually is.",
        ),
    ] = None,
    allow_percent: Annotated[
        float, typer.Option("--allow-percent", help="How much slower than the baseline it may be.")
    ] = 4.0,
    max_s: Annotated[float, typer.Option("--max-s", min=0.0, help="Measure for so many seconds, about.")] = 120.0,
    save: Annotated[Path | None, typer.Option("--save", help="Write the measurement, to be a later baseline.")] = None,
    junit: Annotated[Path | None, typer.Option("--junit", help="Write the outcome as JUnit's XML.")] = None,
    accept_conditions: Accept = False,
    as_json: Json = False,
) -> None:
    """Fail where a model is too slow, beyond what noise can explain: for continuous integration.

    The exit code is 0 for within (and, with a note, for undecided because of noise), 3 for too slow, 1 and 2
    for errors.

    Example: `hwnas gate model.tflite --device pixel-8 --budget-ms 5 --junit gate.xml`

    Not slower than the one before, on any machine: `hwnas gate new.tflite --baseline old.tflite`

    Than a measurement of the same machine: `hwnas gate model.tflite --save main.json`, then `hwnas gate model.tflite
    --baseline main.json`
    """
    from hwnas.files import write_json
    from hwnas.report.console import CONSOLE
    from hwnas.report.gate_report import explained, gate_table, write_junit

    _check_written(save, junit)
    try:
        _check(context, budget_ms, baseline, save, junit)
        gated = _gated(model, device, runtime, threads, budget_ms, baseline, allow_percent, max_s, accept_conditions)
    except HwnasError as error:
        if junit is not None:
            write_junit(junit, str(model), device, None, str(error))
        raise
    if save is not None:
        write_json(save, gated.to_json())
    if junit is not None:
        write_junit(junit, str(model), device, gated)
    if as_json:
        print_json(gated.to_json())
    else:
        CONSOLE.print(gate_table(gated, model))
    if gated.status == "too slow":
        raise TooSlow(f"{model} is too slow: {explained(gated)}")


def _check_written(save: Path | None, junit: Path | None) -> None:
    """Raises HwnasError where a file would be overwritten that no gate has written, UsageError for one file of two."""
    from hwnas.files import check_ours
    from hwnas.report.gate_report import JUNIT_MARK

    if save is not None and junit is not None and save.resolve() == junit.resolve():
        raise UsageError(f"--save and --junit write two files, not one: {save}.")
    for written, mark in ((save, b'"reference_ms"'), (junit, JUNIT_MARK)):
        if written is not None:
            check_ours(written, mark)


def _check(
    context: typer.Context, budget_ms: float | None, baseline: Path | None, save: Path | None, junit: Path | None
) -> None:
    """Raises UsageError where it is not said what is wanted, or what is wanted twice."""
    from hwnas.foreign import LONGEST_MS

    if budget_ms is not None:
        refuse_typed(context, "--allow-percent is of a baseline that is a file, and a budget is exact", "allow_percent")
    if budget_ms is not None and not 0 < budget_ms <= LONGEST_MS:  # NaN is neither
        raise UsageError(f"a budget is more than 0 ms and no more than an hour, not {budget_ms:g}; such as 0.5.")
    if budget_ms is None and baseline is None and save is None:
        raise UsageError(
            "a gate needs something to hold a model against: --budget-ms B, or --baseline FILE; or --save FILE to "
            "write a first baseline."
        )
    if baseline is None:
        return
    if not baseline.exists():
        raise HwnasError(f"there is no baseline {baseline}; write it with `hwnas gate MODEL --save {baseline}`.")
    if baseline.is_dir() and budget_ms is None:
        raise UsageError(
            f"{baseline} is a folder: a latency table says how fast the device is, not what this model may take. Add "
            "--budget-ms, or name a JSON file or a model file."
        )
    if not baseline.is_dir() and budget_ms is not None:
        raise UsageError(
            "--budget-ms and a baseline that is a file are two questions; run `hwnas gate` once for each. (Only a "
            "latency table as the baseline goes with --budget-ms.)"
        )
    if save is not None and baseline.suffix in MODELS:
        raise UsageError(
            f"beside {baseline} the usual reference model is not measured, so a file of --save could not be compared "
            "with anything; save in a run without that baseline."
        )


def _gated(
    model: Path,
    device: str,
    runtime: str | None,
    threads: int | None,
    budget_ms: float | None,
    baseline: Path | None,
    allow_percent: float,
    max_s: float,
    accept_conditions: bool,
) -> Gated:
    """Make the limit, and measure against it. Raises HwnasError for whatever cannot be read, measured or compared."""
    from hwnas.campaign.baseline import read_baseline
    from hwnas.campaign.gate import Limit, digest_of
    from hwnas.campaign.gate import gate as run_gate
    from hwnas.devices.device import load_device
    from hwnas.foreign import read_bytes
    from hwnas.latency.measuring.model_files import reference_model
    from hwnas.report.progress import progress_bars
    from hwnas.runners import chosen_runtime, runtime_format, runtime_suffix

    target = load_device(device).with_threads(threads)
    chosen = chosen_runtime(target, model, runtime)
    limit: Limit | None
    if baseline is not None and baseline.suffix in MODELS:
        _check_suffix(baseline, runtime_suffix(chosen))
        reference = read_bytes(baseline, "the baseline", most_bytes=2**31)
        limit = Limit((1.0,), True, True, allow_percent, str(baseline))
    else:
        # a damaged baseline is found before anything is converted
        earlier = read_baseline(baseline) if baseline is not None and not baseline.is_dir() else None
        _check_batch(target)
        reference = reference_model(runtime_format(chosen))
        if earlier is not None and baseline is not None:
            limit = earlier.limit(baseline, digest_of(reference), allow_percent, accept_conditions)
        else:
            limit = _budget(budget_ms, baseline, accept_conditions)
    with progress_bars() as bars:
        return run_gate(model, target, chosen, reference, limit, max_s, bars)


def _budget(budget_ms: float | None, table: Path | None, accept_conditions: bool) -> Limit | None:
    """The limit in ms: as fast as the device is now, or, with a table, as fast as it was then."""
    from hwnas.campaign.conditions import Conditions
    from hwnas.campaign.gate import Limit
    from hwnas.designer.final import usual_us_of
    from hwnas.latency.measuring.table_campaign import check_table_conditions
    from hwnas.latency.tables.precision import USUAL_PRECISION
    from hwnas.latency.tables.table import LatencyTable

    if budget_ms is None:
        return None
    text = f"{budget_ms:g} ms"
    if table is None:
        return Limit((budget_ms,), True, False, text=text, budget_ms=budget_ms)
    found = LatencyTable.load(table)
    usual_us = usual_us_of(found)
    if usual_us is None:
        raise HwnasError(
            f"the table {table} does not say how long the reference model took, as published ones do not; leave "
            "--baseline out, or measure one with `hwnas measure`."
        )

    def check(now: Conditions) -> None:
        if not accept_conditions:
            # the reference is what is compared, and is of one precision in the tables of all
            identity = now.identity | {"precision": found.conditions["identity"].get("precision", USUAL_PRECISION)}
            check_table_conditions(found.conditions, Conditions(identity, now.circumstances), table)

    than = (1000 * budget_ms / usual_us,)
    return Limit(than, True, True, text=f"{text} at the speed of {table}", budget_ms=budget_ms, check=check)


def _check_suffix(baseline: Path, suffix: str) -> None:
    if baseline.suffix != suffix:
        raise UsageError(
            f"a baseline that is a model runs on the same runtime, so it must be a {suffix} file like the model, not "
            f"{baseline.name}."
        )


def _check_batch(device: Device) -> None:
    if device.batch != 1:
        raise UsageError(
            f"the reference model takes one image, {device.name} is measured with batch = {device.batch}; compare with "
            "a model file (--baseline OLD.tflite), or set batch = 1 in the device file."
        )
