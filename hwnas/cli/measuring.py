"""The verbs that ask a device: devices, measure, fit, bench."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from hwnas.cli.options import (
    Classes,
    DeviceName,
    Json,
    Networks,
    Resolution,
    RuntimeName,
    SpaceName,
    Tables,
    Threads,
    Width,
)
from hwnas.cli.output import print_json


def devices(as_json: Json = False) -> None:
    """List the devices and runtimes that can be used now, and what is wrong with the others.

    Example: `hwnas devices`
    """
    from hwnas.measure.device import known_devices, load_device
    from hwnas.report.console import CONSOLE, key_value_table
    from hwnas.runtimes import available_runtimes

    found = {name: load_device(path) for name, path in known_devices().items()}
    runtimes = available_runtimes()
    if as_json:
        print_json({"devices": {name: d.model_dump() for name, d in found.items()}, "runtimes": runtimes})
        return
    described = {name: f"{d.description} ({d.transport}, threads: {d.threads})" for name, d in found.items()}
    CONSOLE.print(key_value_table("devices", described))
    CONSOLE.print(key_value_table("runtimes on this machine", runtimes))


def measure(
    space: SpaceName = "tiny",
    device: DeviceName = "local",
    runtime: RuntimeName = "litert",
    resolution: Resolution = None,
    classes: Classes = None,
    width: Width = None,
    threads: Threads = None,
    networks: Networks = 30,
    tables: Tables = Path("latency_models"),
    as_json: Json = False,
) -> None:
    """Measure a space's blocks and some whole networks on a device. Goes on where it was stopped.

    Example: `hwnas measure --space single-path --device local --runtime litert`
    """
    from hwnas.latency import fit
    from hwnas.measure import Progress, load_device
    from hwnas.measure import measure as measure_space
    from hwnas.report.console import CONSOLE, measured_table, progress_bars
    from hwnas.spaces import get_space

    started = time.perf_counter()
    chosen = get_space(space, resolution, classes, width)
    target = load_device(device).with_threads(threads)
    with progress_bars() as bars:

        def on_visit(progress: Progress) -> None:
            bars("measure", progress.done, progress.total, progress.text)

        measured = measure_space(chosen, target, runtime, tables, networks, on_visit)
    predictor = fit(measured.table, chosen)
    fastest_ms, slowest_ms = (predictor.predict(architecture).ms for architecture in predictor.extremes(chosen))
    result = {
        "table": str(measured.folder),
        "entries": measured.entries,
        "measured": measured.measured,
        "reused": measured.reused,
        "seconds": time.perf_counter() - started,
        "fastest_ms": fastest_ms,
        "slowest_ms": slowest_ms,
        "summary": measured.summary.to_json(),
    }
    if as_json:
        print_json(result)
    else:
        CONSOLE.print(measured_table(f"measured {space} on {device}, {runtime}", result))


def fit(
    table: Annotated[Path, typer.Argument(help="Folder of a latency table.")],
    as_json: Json = False,
) -> None:
    """Calibrate a table on its whole networks and print the error card: how far off it is on networks not seen.

    Example: `hwnas fit latency_models/local/litert`
    """
    from hwnas.files import write_json
    from hwnas.latency import LatencyTable
    from hwnas.latency import fit as fit_table
    from hwnas.report.console import CONSOLE, card_table

    predictor = fit_table(LatencyTable.load(table))
    predictor.save(table / "predictor.json")
    card = predictor.card.to_json() | {"interval_percent": 100 * predictor.half_width}
    write_json(table / "card.json", card)
    if as_json:
        print_json(card)
    else:
        CONSOLE.print(card_table(predictor.card))


def bench(
    model: Annotated[Path, typer.Argument(help="Any .tflite or .onnx file with one float32 input.")],
    device: DeviceName = "local",
    runtime: Annotated[str | None, typer.Option("--runtime", help="litert, onnxruntime or tflite-runtime.")] = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Measure any model file the way tables are measured.

    Example: `hwnas bench runs/demo/models/model.tflite --threads 2`
    """
    from hwnas.measure import bench as bench_model
    from hwnas.measure import load_device
    from hwnas.report.console import CONSOLE, key_value_table
    from hwnas.runtimes import get_runtime

    result = bench_model(model, load_device(device), get_runtime(runtime) if runtime else None, threads)
    measured = result.measurement
    if as_json:
        values = result.to_json()
        print_json({k: values[k] for k in ("median_ms", "p5_ms", "p95_ms", "runs", "noisy", "conditions")})
        return
    identity = result.conditions.identity
    rows = {
        "median": f"{measured.median_ms:.4f} ms over {measured.runs} runs",
        "5 to 95 %": f"{measured.p5_ms:.4f} to {measured.p95_ms:.4f} ms",
        "between visits": f"{measured.between_visits_percent:.1f} %{' (noisy)' if measured.noisy else ''}",
        "under": "{runtime} {runtime_version}, threads: {threads}, {cpu}".format(**identity),
    }
    CONSOLE.print(key_value_table(str(model), rows))
