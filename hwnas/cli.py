"""The command line: one function per verb. Results go to stdout as JSON (--json) or to the terminal as a table."""

from __future__ import annotations

import json
import logging
import sys
import time
import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from hwnas.errors import HwnasError, UsageError

INTERRUPTED = 130
"""Exit code after Ctrl-C."""

app = typer.Typer(
    name="hwnas",
    help="Design a neural network for one device and one deadline: measure, search under a budget in ms, export, "
    "measure again.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
SpaceName = Annotated[str, typer.Option("--space", help="Search space: tiny, single-path, nas-bench-macro.")]
DeviceName = Annotated[str, typer.Option("--device", help="A device of `hwnas devices`, or the path of its TOML file.")]
RuntimeName = Annotated[str, typer.Option("--runtime", help="litert, onnxruntime or tflite-runtime.")]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="Threads per inference [device's own].")]
Resolution = Annotated[int | None, typer.Option("--resolution", help="Side of the input image in pixels.")]
Classes = Annotated[int | None, typer.Option("--classes", help="Number of classes.")]
Width = Annotated[float | None, typer.Option("--width", help="Multiplier of all channel counts.")]
Tables = Annotated[Path, typer.Option("--tables", help="Folder that latency tables are kept in.")]
Networks = Annotated[int, typer.Option("--networks", min=5, max=1000, help="Whole networks to measure too.")]


@app.command()
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
        _print_json({"devices": {name: d.model_dump() for name, d in found.items()}, "runtimes": runtimes})
        return
    described = {name: f"{d.description} ({d.transport}, threads: {d.threads})" for name, d in found.items()}
    CONSOLE.print(key_value_table("devices", described))
    CONSOLE.print(key_value_table("runtimes on this machine", runtimes))


@app.command()
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
    from hwnas.measure import load_device
    from hwnas.measure import measure as measure_space
    from hwnas.report.console import CONSOLE, key_value_table, progress_bars
    from hwnas.spaces import get_space

    started = time.perf_counter()
    chosen = get_space(space, resolution, classes, width)
    target = load_device(device).with_threads(threads)
    with progress_bars() as bars:
        measured = measure_space(
            chosen,
            target,
            runtime,
            tables,
            networks,
            lambda p: bars("measure", p.done, p.total, f"{p.label}, drift {p.drift_percent:+.1f} %"),
        )
    predictor = fit(measured.table, chosen)
    fastest, slowest = (predictor.predict(architecture).ms for architecture in predictor.extremes(chosen))
    drift_percent = (measured.summary.drift_min_percent, measured.summary.drift_max_percent)
    seconds = time.perf_counter() - started
    result = {
        "table": str(measured.folder),
        "entries": measured.entries,
        "measured": measured.measured,
        "reused": measured.reused,
        "seconds": seconds,
        "fastest_ms": fastest,
        "slowest_ms": slowest,
        "inference_share": measured.summary.inference_share,
        "drift_percent": drift_percent,
    }
    if as_json:
        _print_json(result)
        return
    rows = {
        "table": str(measured.folder),
        "entries": f"{measured.entries}: {measured.measured} measured now, {measured.reused} known already",
        "time": f"{seconds:.0f} s, {100 * measured.summary.inference_share:.0f} % of it inside inference",
        "drift of the reference": "{:+.1f} to {:+.1f} %".format(*drift_percent),
        "networks of this space": f"{fastest:.3f} to {slowest:.3f} ms, predicted",
    }
    CONSOLE.print(key_value_table(f"measured {space} on {device}, {runtime}", rows))


@app.command()
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
        _print_json(card)
    else:
        CONSOLE.print(card_table(predictor.card))


Config = Annotated[Path | None, typer.Option("--config", help="TOML file of any of the options; flags override it.")]
OptionalSpace = Annotated[str | None, typer.Option("--space", help="tiny (default), single-path or nas-bench-macro.")]
Data = Annotated[
    str | None, typer.Option("--data", help="Folder of images (train/CLASS/*, test/CLASS/*, or CLASS/*), or digits.")
]
BudgetMs = Annotated[float | None, typer.Option("--budget-ms", help="Limit on the latency of one inference.")]
OptionalTables = Annotated[Path | None, typer.Option("--tables", help="Folder of measured tables [latency_models].")]
OptionalNetworks = Annotated[int | None, typer.Option("--networks", help="Whole networks to calibrate with [30].")]
Latency = Annotated[Path | None, typer.Option("--latency", help="Folder of a latency table [measured if absent].")]
Method = Annotated[str | None, typer.Option("--method", help="Search method: dsnas.")]
Epochs = Annotated[int | None, typer.Option("--epochs", help="Passes over the training images [30].")]
Seed = Annotated[int | None, typer.Option("--seed", help="Seed of everything random [0].")]
Out = Annotated[Path | None, typer.Option("--out", help="Run folder [runs/NAME]; an unfinished one goes on.")]
OptionalDevice = Annotated[str | None, typer.Option("--device", help="A device of `hwnas devices` [local].")]
OptionalRuntime = Annotated[
    str | None, typer.Option("--runtime", help="Runtime that the budget is for [litert]; onnxruntime, tflite-runtime.")
]
LimitTrain = Annotated[int | None, typer.Option("--limit-train", help="Use only this many training images.")]
Accept = Annotated[bool, typer.Option("--accept-conditions", help="Use a table measured under other conditions.")]


@app.command()
def search(
    latency: Annotated[Path, typer.Option("--latency", help="Folder of a latency table, from `hwnas measure`.")],
    space: OptionalSpace = None,
    method: Method = None,
    data: Data = None,
    budget_ms: BudgetMs = None,
    device: OptionalDevice = None,
    runtime: OptionalRuntime = None,
    threads: Threads = None,
    resolution: Resolution = None,
    width: Width = None,
    epochs: Epochs = None,
    limit_train: LimitTrain = None,
    seed: Seed = None,
    accept_conditions: Accept = False,
    out: Out = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Search under a budget with a latency table that exists; export what is found and measure it.

    Example: `hwnas search --space tiny --data digits --latency latency_models/local/litert --budget-ms 0.4`
    """
    _design({k: v for k, v in locals().items() if k not in ("out", "config", "as_json")}, config, out, as_json)


@app.command()
def design(
    space: OptionalSpace = None,
    method: Method = None,
    data: Data = None,
    budget_ms: BudgetMs = None,
    device: OptionalDevice = None,
    runtime: OptionalRuntime = None,
    threads: Threads = None,
    latency: Latency = None,
    tables: OptionalTables = None,
    networks: OptionalNetworks = None,
    resolution: Resolution = None,
    width: Width = None,
    epochs: Epochs = None,
    limit_train: LimitTrain = None,
    seed: Seed = None,
    accept_conditions: Accept = False,
    out: Out = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """From images and a budget in ms to model files measured to meet it: measure, fit, search, export, measure again.

    Example: `hwnas design --device local --data photos/ --budget-ms 0.5`
    """
    _design({k: v for k, v in locals().items() if k not in ("out", "config", "as_json")}, config, out, as_json)


def _design(options: dict[str, Any], config: Path | None, out: Path | None, as_json: bool) -> None:
    """What `search` and `design` share: read the configuration, design with bars, print the closing table."""
    from hwnas.design import design as run_design
    from hwnas.report.console import CONSOLE, design_table, progress_bars

    wanted = _design_config(options, config)
    with progress_bars() as bars:
        result = run_design(wanted, out, bars)
    if as_json:
        _print_json(result.to_json())
    else:
        CONSOLE.print(design_table(result))
    if result.status == "over":
        raise HwnasError(
            f"the network measures {result.measured_ms[wanted.runtime]:.4g} ms on {wanted.runtime}, over the budget of "
            f"{wanted.budget_ms:g} ms, and so did the faster ones that were tried. Its files are kept in {result.run}. "
            "Raise the budget by the difference, or measure the table again if the machine was busy."
        )


def _design_config(options: dict[str, Any], path: Path | None) -> Any:
    """The configuration of a TOML file, overridden by the flags that were given. Raises UsageError."""
    from pydantic import ValidationError

    from hwnas.design import DesignConfig

    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise UsageError(f"cannot read the configuration {path}: {error}.") from None
    given = {key: value for key, value in options.items() if value is not None and value is not False}
    values |= {key: str(value) if isinstance(value, Path) else value for key, value in given.items()}
    try:
        return DesignConfig(**values)
    except ValidationError as error:
        faults = [f"--{str(f['loc'][0]).replace('_', '-')}: {f['msg']}" for f in error.errors()]
        raise UsageError(f"{'; '.join(faults)}. See `hwnas design --help` for an example.") from None


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Run folder, or any folder with architecture.json and weights.")],
    out: Annotated[Path | None, typer.Option("--out", help="Where to write [RUN/models].")] = None,
    formats: Annotated[str, typer.Option("--format", help="tflite, onnx, or both with a comma.")] = "tflite,onnx",
    as_json: Json = False,
) -> None:
    """Write a run's network as .tflite and .onnx, checked number for number against PyTorch.

    Example: `hwnas export runs/demo --format tflite`
    """
    from hwnas.child import load_child
    from hwnas.export import export as export_child
    from hwnas.report.console import CONSOLE, key_value_table

    models = export_child(load_child(run), out or run / "models", formats.split(","))
    if as_json:
        _print_json({"models": [{**vars(model), "path": str(model.path)} for model in models]})
        return
    rows = {m.format: f"{m.path} ({m.bytes / 1024:.0f} KiB, {m.max_relative_error:.0e} from PyTorch)" for m in models}
    CONSOLE.print(key_value_table("exported", rows))


@app.command()
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
        _print_json({k: values[k] for k in ("median_ms", "p5_ms", "p95_ms", "runs", "noisy", "conditions")})
        return
    identity = result.conditions.identity
    rows = {
        "median": f"{measured.median_ms:.4f} ms over {measured.runs} runs",
        "5 to 95 %": f"{measured.p5_ms:.4f} to {measured.p95_ms:.4f} ms",
        "between visits": f"{measured.between_visits_percent:.1f} %{' (noisy)' if measured.noisy else ''}",
        "under": "{runtime} {runtime_version}, threads: {threads}, {cpu}".format(**identity),
    }
    CONSOLE.print(key_value_table(str(model), rows))


def _print_json(data: dict[str, Any]) -> None:
    print(json.dumps(data, indent=2, ensure_ascii=False))


def main() -> None:
    """Run the command line; turn errors into one paragraph on stderr and an exit code."""
    logging.captureWarnings(True)
    errors = Console(stderr=True, highlight=False)
    try:
        app()
    except HwnasError as error:
        errors.print("[bold red]error:[/]", Text(str(error)))
        sys.exit(error.exit_code)
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            errors.print("stopped. What was finished is kept: repeat the command to go on.")
        raise


if __name__ == "__main__":
    main()
