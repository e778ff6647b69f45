"""The verbs that make a table and a predictor: measure, fit."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwnas.cli.campaigns import measure_all, print_measured
from hwnas.cli.importing import import_published
from hwnas.cli.options import (
    Classes,
    DeviceNames,
    ImportFile,
    Json,
    Known,
    Networks,
    OptionalPrecision,
    Resolution,
    RuntimeName,
    SpaceName,
    Tables,
    Threads,
    UntilMape,
    Width,
)
from hwnas.cli.output import print_json, refuse_typed
from hwnas.errors import HwnasError, UsageError

if TYPE_CHECKING:
    from hwnas.latency.measuring.table_campaign import SpaceTable
    from hwnas.latency.measuring.until_accurate import UntilAccurate
    from hwnas.space import SearchSpace

MANY_NETWORKS, FEW_NETWORKS = 30, 10
"""How many whole networks are measured for a space, and for a device that is like a known one."""
NETWORKS_RANGE = (3, 1000)

KNOWN_NETWORKS, KNOWN_RESOLUTION, KNOWN_CLASSES = "known", 224, 1000
"""The word to type for the known networks, and the resolution and classes that they are published with."""


def measure(
    context: typer.Context,
    space: SpaceName = "tiny",
    device: DeviceNames = None,
    runtime: RuntimeName = None,
    resolution: Resolution = None,
    classes: Classes = None,
    width: Width = None,
    threads: Threads = None,
    networks: Networks = None,
    known: Known = None,
    until_mape: UntilMape = None,
    precision: OptionalPrecision = None,
    published: ImportFile = None,
    tables: Tables = Path("latency_models"),
    as_json: Json = False,
) -> None:
    """Measure a space's blocks and some whole networks on a device. Goes on where it was stopped.

    Example: `hwnas measure --space single-path --device pixel-8`

    Several devices at once: `hwnas measure --space single-path --device pixel-6 --device pixel-8`

    Only as much as predictions within 3 % need: `hwnas measure --space single-path --until-mape 3`

    For a device like one that is known, 10 of its networks: `hwnas measure --from latency_models/phone/native --device
    local`, then `hwnas fit latency_models/local/litert --from latency_models/phone/native`

    Known networks instead of a space's, at the widths that are usual: `hwnas measure --networks known --device pixel-8
    --resolution 96`

    What int8 files take, in a table of its own: `hwnas measure --space lite --resolution 64 --precision int8`

    Without a phone, a published table: `hwnas measure --import pixel1_runtime_model.json --device pixel-1`
    """
    _refuse_unused(context, published, networks, known)
    if published is not None:
        import_published(published, device or [], tables, as_json)
        return
    if networks == KNOWN_NETWORKS:
        if known or until_mape is not None or width is not None:
            raise UsageError(
                "--networks known measures networks as they are published: no --from, --until-mape, --width."
            )
        _measure_known(device or ["local"], runtime, threads, resolution, classes, tables, precision, as_json)
        return
    from hwnas.devices.device import load_device
    from hwnas.latency.tables.precision import USUAL_PRECISION
    from hwnas.spaces import get_space

    if known and until_mape is not None:
        raise UsageError("--from measures a few networks of known tables, --until-mape a space; give one of them.")
    targets = [load_device(name).with_threads(threads) for name in device or ["local"]]
    chosen = get_space(space, resolution, classes, width)
    options: dict[str, Any] = {"runtime": runtime, "tables": tables, "precision": precision or USUAL_PRECISION}
    options["networks"] = _count(networks) or (FEW_NETWORKS if known else MANY_NETWORKS)
    work = partial(_measuring(chosen, known, until_mape), **options)
    results, failures = measure_all(targets, work, None if known else chosen, until_mape)
    print_measured(targets, results, failures, "networks of known tables" if known else space, as_json)


def _refuse_unused(
    context: typer.Context, published: Path | None, networks: str | None, known: list[Path] | None
) -> None:
    """Raise UsageError for options that do nothing beside --import, --from or --networks known."""
    of_spaces = ("space", "resolution", "classes", "width")
    if published is not None:
        measuring = (*of_spaces, "runtime", "threads", "networks", "known", "until_mape", "precision")
        refuse_typed(context, "--import takes a published table as it is, and measures nothing", *measuring)
    if known:
        refuse_typed(context, "--from measures networks of known tables, and none of another space", *of_spaces)
    if networks == KNOWN_NETWORKS:
        refuse_typed(context, "--networks known measures known networks, and no space's", "space")


def _measuring(
    space: SearchSpace, known: list[Path] | None, until_mape: float | None
) -> Callable[..., SpaceTable | UntilAccurate]:
    """The function that measures a space, as much of it as is needed, or a device like those of known tables."""
    from hwnas.latency.measuring.measure import measure as measure_space
    from hwnas.latency.measuring.measure import measure_like
    from hwnas.latency.measuring.until_accurate import measure_until
    from hwnas.latency.tables.table import LatencyTable

    if known:
        return partial(measure_like, [LatencyTable.load(folder) for folder in known])
    if until_mape is not None:
        return partial(measure_until, space, until_mape)
    return partial(measure_space, space)


def _count(networks: str | None) -> int | None:
    """The number of networks that is wanted. Raises UsageError for a text that is no number, or out of range."""
    if networks is None:
        return None
    least, most = NETWORKS_RANGE
    if not networks.isdecimal() or not least <= int(networks) <= most:
        raise UsageError(f"--networks takes a number from {least} to {most}, or {KNOWN_NETWORKS}, not {networks!r}.")
    return int(networks)


def _measure_known(
    devices: list[str],
    runtime: str | None,
    threads: int | None,
    resolution: int | None,
    classes: int | None,
    tables: Path,
    precision: str | None,
    as_json: bool,
) -> None:
    """Measure the known networks, and print them. Raises HwnasError if some, or on some devices all, could not be."""
    from hwnas.devices.device import load_device
    from hwnas.latency.measuring.known_networks import known_at, measure_known
    from hwnas.latency.tables.precision import USUAL_PRECISION

    targets = [load_device(name).with_threads(threads) for name in devices]
    wanted = known_at([resolution or KNOWN_RESOLUTION], classes or KNOWN_CLASSES)
    work = partial(measure_known, wanted, runtime=runtime, tables=tables, precision=precision or USUAL_PRECISION)
    results, failures = measure_all(targets, work, None, None)
    print_measured(targets, results, failures, "known networks", as_json)
    if failed := {network for result in results.values() for network in result["failed"]}:
        raise HwnasError(
            f"{len(failed)} known networks could not be measured: {', '.join(sorted(failed))}. All others are measured "
            "and kept; --json names the reasons. Repeat the command to try these again."
        )


def fit(
    table: Annotated[Path, typer.Argument(help="Folder of a latency table.")],
    known: Known = None,
    as_json: Json = False,
) -> None:
    """Fit a table and judge it: how far off predictions are on networks not seen.

    Writes `predictor.json`, `card.json`, `CARD.md` and its two pictures beside the table.

    Example: `hwnas fit latency_models/local/litert`

    With few networks measured, let known devices help: `hwnas fit latency_models/local/litert --from
    latency_models/phone/native`
    """
    from hwnas.latency.fitting.fit import fit as fit_table
    from hwnas.latency.fitting.held_out import evaluate
    from hwnas.latency.fitting.transfer_fit import fit_by_transfer
    from hwnas.latency.tables.shipped import REGRESSION_FILE
    from hwnas.latency.tables.table import LatencyTable
    from hwnas.report.console import CONSOLE
    from hwnas.report.error_card import write_card
    from hwnas.report.latency_tables import card_table

    measured = LatencyTable.load(table)
    if (table / REGRESSION_FILE).is_file():
        raise HwnasError(f"{table} comes with hwnas and stays as it is; its card is there. Fit a copy of the folder.")
    if known:
        predictor, card = fit_by_transfer(measured, [LatencyTable.load(folder) for folder in known])
    else:
        predictor = fit_table(measured)
        card = evaluate(predictor, measured)
    predictor.save(table / "predictor.json")
    written = write_card(card, table, 100 * predictor.half_width)
    if as_json:
        print_json(card.to_json() | {"interval_percent": 100 * predictor.half_width})
    else:
        CONSOLE.print(card_table(card))
        CONSOLE.print(f"written: {', '.join(str(path) for path in [table / 'predictor.json', *written])}")
        if known:
            CONSOLE.print(
                "search, design and price fit the table's own rows. To search with this predictor, give "
                f"hwnas.AdditivePredictor.load({str(table / 'predictor.json')!r}) to hwnas.search in Python."
            )
