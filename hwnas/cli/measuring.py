"""The verbs that ask a device: devices, measure, fit, bench."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwnas.cli.options import (
    Classes,
    DeviceName,
    Json,
    Known,
    Networks,
    Resolution,
    RuntimeName,
    SpaceName,
    Tables,
    Threads,
    UntilMape,
    Width,
)
from hwnas.cli.output import print_json
from hwnas.errors import UsageError

if TYPE_CHECKING:
    from hwnas.measure import Device, Progress
    from hwnas.measure.table_campaign import SpaceTable
    from hwnas.measure.until_accurate import Round
    from hwnas.space import SearchSpace

MANY_NETWORKS, FEW_NETWORKS = 30, 10
"""How many whole networks are measured for a space, and for a device that is like a known one."""


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
    networks: Networks = None,
    known: Known = None,
    until_mape: UntilMape = None,
    tables: Tables = Path("latency_models"),
    as_json: Json = False,
) -> None:
    """Measure a space's blocks and some whole networks on a device. Goes on where it was stopped.

    Example: `hwnas measure --space single-path --device local --runtime litert`

    Only as much as predictions within 3 % need: `hwnas measure --space single-path --until-mape 3`

    For a device like one that is known, 10 of its networks: `hwnas measure --from latency_models/phone/litert --device
    local`, then `hwnas fit latency_models/local/litert --from latency_models/phone/litert`
    """
    from hwnas.latency import LatencyTable
    from hwnas.latency import fit as fit_table
    from hwnas.measure import load_device, measure_like
    from hwnas.measure import measure as measure_space
    from hwnas.report.console import CONSOLE, measured_table, progress_bars
    from hwnas.spaces import get_space

    if known and until_mape is not None:
        raise UsageError("--from measures a few networks of known tables, --until-mape a space; give one of them.")
    started = time.perf_counter()
    target = load_device(device).with_threads(threads)
    chosen = get_space(space, resolution, classes, width)
    count = networks or (FEW_NETWORKS if known else MANY_NETWORKS)
    result: dict[str, Any] = {}
    with progress_bars() as bars:
        watch = _Watch(bars)
        if known:
            loaded = [LatencyTable.load(folder) for folder in known]
            measured = measure_like(loaded, target, runtime, tables, count, watch.visit)
        elif until_mape is not None:
            measured, result = _until(chosen, until_mape, target, runtime, tables, count, watch)
        else:
            measured = measure_space(chosen, target, runtime, tables, count, watch.visit)
    result |= {
        "table": str(measured.folder),
        "entries": measured.entries,
        "measured": measured.measured,
        "reused": measured.reused,
        "seconds": time.perf_counter() - started,
        "summary": measured.summary.to_json(),
    }
    if not known:
        predictor = fit_table(measured.table, chosen)
        fastest, slowest = (predictor.predict(architecture).ms for architecture in predictor.extremes(chosen))
        result |= {"fastest_ms": fastest, "slowest_ms": slowest}
    if as_json:
        print_json(result)
    else:
        what = "networks of known tables" if known else space
        CONSOLE.print(measured_table(f"measured {what} on {device}, {runtime}", result))


class _Watch:
    """What the progress bars show of a campaign: its visits, and the error after each round where there are rounds."""

    def __init__(self, bars: Callable[[str, int, int, str], None]) -> None:
        self._bars, self._error = bars, ""

    def visit(self, now: Progress) -> None:
        self._bars("measure", now.done, now.total, self._error + now.text)

    def round(self, now: Round) -> None:
        self._error = f"error {now.mape:.1f} % with {now.blocks} blocks and {now.networks} networks; "


def _until(
    space: SearchSpace, mape: float, device: Device, runtime: str, tables: Path, networks: int, watch: _Watch
) -> tuple[SpaceTable, dict[str, Any]]:
    """Measure until the error is reached: the table, and how much of the full one that took."""
    from hwnas.measure import measure_until

    found = measure_until(space, mape, device, runtime, tables, networks, watch.visit, watch.round)
    return found.measured, {
        "goal_mape": mape,
        "mape": found.rounds[-1].mape,
        "reached": found.reached,
        "used_entries": found.used,
        "full_entries": found.full_entries,
        "rounds": [asdict(each) for each in found.rounds],
    }


def fit(
    table: Annotated[Path, typer.Argument(help="Folder of a latency table.")],
    known: Known = None,
    as_json: Json = False,
) -> None:
    """Fit a table and judge it: how far off predictions are on networks not seen.

    Writes `predictor.json`, `card.json`, `CARD.md` and its two pictures beside the table.

    Example: `hwnas fit latency_models/local/litert`

    With few networks measured, let known devices help: `hwnas fit latency_models/local/litert --from
    latency_models/phone/litert`
    """
    from hwnas.latency import LatencyTable
    from hwnas.latency import fit as fit_table
    from hwnas.latency.carry_over import carry_over
    from hwnas.latency.judging import judge
    from hwnas.report.console import CONSOLE, card_table
    from hwnas.report.error_card import write_card

    measured = LatencyTable.load(table)
    if known:
        predictor, card = carry_over(measured, [LatencyTable.load(folder) for folder in known])
    else:
        predictor = fit_table(measured)
        card = judge(predictor, measured)
    predictor.save(table / "predictor.json")
    written = write_card(card, table, 100 * predictor.half_width)
    if as_json:
        print_json(card.to_json() | {"interval_percent": 100 * predictor.half_width})
    else:
        CONSOLE.print(card_table(card))
        CONSOLE.print(f"written: {', '.join(str(path) for path in [table / 'predictor.json', *written])}")


def bench(
    model: Annotated[Path, typer.Argument(help="Any .tflite or .onnx file with one float32 input.")],
    device: DeviceName = "local",
    runtime: Annotated[str | None, typer.Option("--runtime", help="litert, onnxruntime or tflite-runtime.")] = None,
    threads: Threads = None,
    timeout_s: Annotated[
        float | None, typer.Option("--timeout-s", min=0.1, help="Give up on a file after this long [by the device].")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure any model file the way tables are measured.

    Example: `hwnas bench runs/demo/models/model.tflite --threads 2`
    """
    from hwnas.measure import bench as bench_model
    from hwnas.measure import load_device
    from hwnas.report.console import CONSOLE, key_value_table
    from hwnas.runtimes import get_runtime

    result = bench_model(
        model, load_device(device), get_runtime(runtime) if runtime else None, threads, timeout_s=timeout_s
    )
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
