"""The verb that shows how far a run is while another process works on it: watch."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from hwnas.cli.options import Json
from hwnas.cli.output import print_json
from hwnas.errors import UsageError

LEAST_S, MOST_S = 0.1, 86_400.0


def watch(
    run: Annotated[Path, typer.Argument(help="The run folder of a search or a design, at work or finished.")],
    every: Annotated[float, typer.Option("--every", help="Seconds between looks.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Look once, and end.")] = False,
    tensorboard: Annotated[
        Path | None,
        typer.Option("--tensorboard", help="Write event files for TensorBoard into this folder, too."),
    ] = None,
    as_json: Json = False,
) -> None:
    """How far a run is: steps, loss and figures of each training, until it has ended or you press Ctrl-C.

    Nothing of the run is touched. With --json one look is printed.

    Example: `hwnas watch runs/demo`

    For TensorBoard: `hwnas watch runs/demo --tensorboard events`
    """
    from rich.live import Live

    from hwnas.report.console import CONSOLE
    from hwnas.report.watched_run import WatchedRun, watched_table, write_events

    if not LEAST_S <= every <= MOST_S:  # NaN is neither
        raise UsageError(f"--every takes {LEAST_S:g} seconds to a day, not {every:g}.")
    written: dict[str, int] = {}

    def look() -> WatchedRun:
        found = WatchedRun.of(run)
        if tensorboard is not None:
            write_events(found, tensorboard, written)
        return found

    now = look()
    if as_json:
        print_json(now.to_json())
        return
    if once or now.is_finished:
        CONSOLE.print(watched_table(now))
        return
    with Live(watched_table(now), console=CONSOLE, auto_refresh=False) as live:
        while not now.is_finished:
            time.sleep(every)
            now = look()
            live.update(watched_table(now), refresh=True)
