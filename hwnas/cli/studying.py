"""The verb that compares search methods: evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hwnas.cli.configuring import configured, read_configuration
from hwnas.cli.options import (
    Config,
    Json,
    LimitTrain,
    OptionalDevice,
    OptionalRuntime,
    OptionalSpace,
    OptionalTables,
    Resolution,
    SearchLatency,
    StudyEpochs,
    TorchDevice,
    Width,
)
from hwnas.cli.output import print_json
from hwnas.errors import UsageError
from hwnas.searches.registry import SEARCHES

_METHODS = ", ".join(name for name in SEARCHES if name != "random")

Studies = Annotated[
    list[Path] | None,
    typer.Argument(help="Show the study in this folder, or compare the second of two with the first; nothing is run."),
]
Methods = Annotated[
    str | None,
    typer.Option("--methods", help=f"Separated by commas: {_METHODS}; random-search, with a supernet."),
]
Seeds = Annotated[int | None, typer.Option("--seeds", help="Runs of each method on each data set and budget [3].")]
FirstSeed = Annotated[int | None, typer.Option("--first-seed", help="Seed of the first run; the others follow it [0].")]
DataSets = Annotated[
    list[str] | None, typer.Option("--data", help="Folder of images, or digits; may be repeated [digits].")
]
Budgets = Annotated[
    str | None, typer.Option("--budget-ms", help="Budgets separated by commas, such as 0.3,0.4 or 20%,60%.")
]
Ranked = Annotated[
    int | None,
    typer.Option("--ranked", help="Train this many more random networks, to see how supernets rank them [0]."),
]
TruthFile = Annotated[
    Path | None, typer.Option("--truth", help="CSV of published accuracies, columns code and accuracy: for regrets.")
]
SearchSeconds = Annotated[
    float | None,
    typer.Option(
        "--search-seconds",
        help="Give each search about so many seconds, as a pilot of it tells, instead of as many epochs.",
    ),
]
BatchSize = Annotated[int | None, typer.Option("--batch-size", help="Images in a batch [32].")]
Workers = Annotated[
    int,
    typer.Option("--workers", min=1, max=1024, help="Processes that work at once. Results do not depend on it."),
]
Cluster = Annotated[
    str | None, typer.Option("--cluster", help="Address of a Dask scheduler whose workers do it: tcp://HOST:8786.")
]
StudyOut = Annotated[
    Path | None, typer.Option("--out", help="Folder of the study [runs/study-NAME]; one that was begun goes on.")
]


def evaluate(
    studies: Studies = None,
    methods: Methods = None,
    seeds: Seeds = None,
    first_seed: FirstSeed = None,
    data: DataSets = None,
    budget_ms: Budgets = None,
    space: OptionalSpace = None,
    epochs: StudyEpochs = None,
    search_seconds: SearchSeconds = None,
    device: OptionalDevice = None,
    runtime: OptionalRuntime = None,
    latency: SearchLatency = None,
    tables: OptionalTables = None,
    resolution: Resolution = None,
    width: Width = None,
    batch_size: BatchSize = None,
    limit_train: LimitTrain = None,
    ranked: Ranked = None,
    truth: TruthFile = None,
    torch_device: TorchDevice = None,
    workers: Workers = 1,
    cluster: Cluster = None,
    out: StudyOut = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Compare search methods with random networks and simple rules, over seeds, images and budgets.

    All methods train alike, for equal epochs or (--search-seconds) equal time; networks that are found train from
    scratch. Latencies are predicted by a table that exists. A study that was stopped goes on, and takes more seeds,
    methods or budgets.

    Example: `hwnas evaluate --methods dsnas,spos --seeds 4 --space tiny --data photos/ --budget-ms 40% --workers 2`

    Two studies compared: `hwnas evaluate runs/before runs/after`
    """
    options = {name: value for name, value in locals().items() if name not in _NOT_CONFIGURED}
    if studies:
        options |= {"config": config, "out": out, "cluster": cluster, "workers": None if workers == 1 else workers}
        given = [name for name, value in options.items() if value is not None]
        _show(studies, given, as_json)
    else:
        _run(_config(options, config), out, workers, cluster, as_json)


_NOT_CONFIGURED = {"studies", "workers", "cluster", "out", "config", "as_json"}


def _show(studies: list[Path], given: list[str], as_json: bool) -> None:
    """One study's tables, or two compared. Raises UsageError for more, and beside options of a new one."""
    from hwnas.evaluation.comparison import compare_studies, read_report
    from hwnas.report.console import CONSOLE
    from hwnas.report.study_table import comparison_table, study_table

    if given or len(studies) > 2:
        beside = f"--{given[0].replace('_', '-')} beside them" if given else f"{len(studies)} folders"
        raise UsageError(
            f"one study's folder is shown, two are compared, and nothing is run; do not give {beside}. Leave out the "
            "folders to run a study."
        )
    found = read_report(studies[0]) if len(studies) == 1 else compare_studies(*studies)
    if as_json:
        print_json(found)
    else:
        CONSOLE.print(study_table(found) if len(studies) == 1 else comparison_table(found))


def _run(config: Any, out: Path | None, workers: int, cluster: str | None, as_json: bool) -> None:
    from hwnas.evaluation.study import evaluate as run_study
    from hwnas.report.console import CONSOLE
    from hwnas.report.progress import progress_bars
    from hwnas.report.study_page import write_study_page
    from hwnas.report.study_table import study_table

    with progress_bars() as bars:
        result = run_study(config, out, workers, cluster, bars)
    report = result.to_json()
    page = write_study_page(result.folder, report)
    if as_json:
        print_json(report | {"page": str(page)})
    else:
        CONSOLE.print(study_table(report))


def _config(options: dict[str, Any], path: Path | None) -> Any:
    """The configuration of a TOML file, overridden by the flags that were given. Raises UsageError."""
    from hwnas.evaluation.config import StudyConfig

    values = read_configuration(path)
    values |= {name: str(v) if isinstance(v, Path) else v for name, v in options.items() if v is not None}
    for name in ("methods", "budget_ms"):
        if isinstance(values.get(name), str):
            values[name] = [part.strip() for part in values[name].split(",") if part.strip()]
    return configured(StudyConfig, values, path, "evaluate")
