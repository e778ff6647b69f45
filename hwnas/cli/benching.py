"""The verb that measures a model file: bench; once, or for minutes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwnas.cli.options import DeviceName, Json, RuntimeName, Threads
from hwnas.cli.output import print_json
from hwnas.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from hwnas.campaign.bench import Bench
    from hwnas.campaign.sustained import Sustained
    from hwnas.devices.device import Device


def bench(
    model: Annotated[Path, typer.Argument(help="Any .tflite or .onnx file with one input: float32, uint8 or int8.")],
    device: DeviceName = "local",
    runtime: RuntimeName = None,
    threads: Threads = None,
    timeout_s: Annotated[
        float | None,
        typer.Option(
            "--timeout-s", min=0.1, help="Give up on a file after this long, on this machine [by the device]."
        ),
    ] = None,
    operators: Annotated[
        bool,
        typer.Option("--operators", help="Show what each operator takes; needs Google's benchmark_model."),
    ] = False,
    minutes: Annotated[
        float | None,
        typer.Option("--minutes", help="Run it without a pause for so long, to see how heat slows it."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="With --minutes: JSON of the samples, a picture goes beside it."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure any model file the way tables are measured, or, with --minutes, how slow heat makes it.

    Example: `hwnas bench runs/demo/models/model.tflite --device pixel-8 --threads 2`

    Sustained speed: `hwnas bench model.tflite --device pixel-8 --minutes 10 --out sustained.json`
    """
    from hwnas.devices.device import load_device

    beside = {"--minutes": minutes, "--out": out, "--timeout-s": timeout_s}
    if operators:
        if given := next((name for name, value in beside.items() if value is not None), None):
            raise UsageError(f"{given} is not for --operators; leave one of them out.")
        _show_operators(model, device, runtime, threads, as_json)
        return
    target = load_device(device)
    if minutes is not None:
        if timeout_s is not None:
            raise UsageError("--timeout-s is not for --minutes, which say themselves how long; leave one of them out.")
        _sustain(model, target.with_threads(threads), runtime, minutes, out, as_json)
        return
    if out is not None:
        raise UsageError("--out is for the samples of --minutes; take the JSON of one measurement from --json.")
    _bench_once(model, target, runtime, threads, timeout_s, as_json)


def _bench_once(
    model: Path, device: Device, runtime: str | None, threads: int | None, timeout_s: float | None, as_json: bool
) -> None:
    from hwnas.campaign.bench import bench as bench_model
    from hwnas.campaign.gate import digest_of
    from hwnas.report.console import CONSOLE
    from hwnas.report.progress import progress_bars

    with progress_bars() as bars:
        bars("bench", 0, 1, model.name)
        reference = _reference(model, device, runtime) if as_json else None
        result = bench_model(
            model,
            device,
            runtime,
            threads,
            reference,
            timeout_s=timeout_s,
            waiting=lambda reason: bars("bench", 0, 1, f"waiting: {reason}"),
        )
        bars("bench", 1, 1, model.name)
    if as_json:
        values = result.to_json()
        shown = ("median_ms", "p5_ms", "p95_ms", "runs", "noisy", "repetitions_us", "reference_us", "conditions")
        print_json({k: values[k] for k in shown} | {"reference": reference and digest_of(reference)})
        return
    CONSOLE.print(_bench_table(result, model))


def _bench_table(result: Bench, model: Path) -> Table:
    """One measurement for people."""
    from hwnas.report.console import key_value_table

    measured, identity = result.measurement, result.conditions.identity
    rows = {
        "median": f"{measured.median_ms:.4f} ms over {measured.runs} runs",
        "5 to 95 %": f"{measured.p5_ms:.4f} to {measured.p95_ms:.4f} ms",
        "between repetitions": f"{measured.between_visits_percent:.1f} %{' (noisy)' if measured.noisy else ''}",
        "under": "{runtime} {runtime_version}, threads: {threads}, {cpu}".format(**identity),
    }
    return key_value_table(str(model), rows)


def _sustain(model: Path, device: Device, runtime: str | None, minutes: float, out: Path | None, as_json: bool) -> None:
    """Watch a device, and show and keep what there is by the time it ends, however it ends."""
    from hwnas.campaign.sustained import sustain
    from hwnas.files import check_ours, write_json
    from hwnas.report.console import CONSOLE
    from hwnas.report.pictures import PICTURE_MARK, save_sustained_picture
    from hwnas.report.progress import progress_bars
    from hwnas.report.sustained_table import sustained_table
    from hwnas.runners import chosen_runtime

    if out is not None:
        if out.suffix != ".json":
            raise UsageError(f"the samples are written as JSON, so --out ends in .json, not {out.name!r}.")
        check_ours(out, b'"sustained_ms"')
        check_ours(out.with_suffix(".png"), PICTURE_MARK)
    chosen = chosen_runtime(device, model, runtime)
    latest: list[Sustained] = []

    def keep(found: Sustained) -> None:
        latest[:] = [found]
        if out is not None:
            write_json(out, found.to_json())

    try:
        with progress_bars() as bars:
            sustain(model, device, chosen, minutes, keep, bars)
    finally:
        if latest:
            picture = out.with_suffix(".png") if out is not None else None
            drawn = picture is not None and save_sustained_picture(latest[0], picture)
            if as_json:
                print_json(latest[0].to_json() | {"picture": str(picture) if drawn else None})
            else:
                CONSOLE.print(sustained_table(latest[0], model))
                if out is not None:
                    CONSOLE.print(f"written: {out}{f', {picture}' if drawn else ''}")


def _reference(model: Path, device: Device, runtime: str | None) -> bytes | None:
    """The model that `hwnas gate` compares machines by; None for a device whose models take several images."""
    from hwnas.latency.measuring.model_files import reference_model
    from hwnas.runners import chosen_runtime, runtime_format

    chosen = chosen_runtime(device, model, runtime)
    return reference_model(runtime_format(chosen)) if device.batch == 1 else None


def _show_operators(model: Path, device: str, runtime: str | None, threads: int | None, as_json: bool) -> None:
    from hwnas.campaign.bench import profile_operators
    from hwnas.devices.device import load_device
    from hwnas.report.console import CONSOLE
    from hwnas.report.latency_tables import profile_table

    profile = profile_operators(model, load_device(device), runtime, threads)
    if as_json:
        print_json(profile.to_json())
    else:
        CONSOLE.print(profile_table(profile, f"{model} on {device}"))
