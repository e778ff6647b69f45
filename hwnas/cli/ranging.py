"""The verb that says what a device can do: range."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwnas.cli.options import (
    Classes,
    DeviceName,
    Json,
    Latency,
    OptionalPrecision,
    Resolutions,
    RuntimeName,
    SpaceName,
    Tables,
    Threads,
    Width,
)
from hwnas.cli.output import print_json, refuse_typed
from hwnas.errors import UsageError

Picture = Annotated[Path | None, typer.Option("--out", help="Draw a picture into this PNG file, too.")]


def show_range(
    context: typer.Context,
    space: SpaceName = "tiny",
    device: DeviceName = "local",
    runtime: RuntimeName = None,
    threads: Threads = None,
    resolution: Resolutions = None,
    classes: Classes = None,
    width: Width = None,
    precision: OptionalPrecision = None,
    latency: Latency = None,
    tables: Tables = Path("latency_models"),
    out: Picture = None,
    as_json: Json = False,
) -> None:
    """The range of a device: the fastest and the slowest network of a space, and known networks between them.

    Measures as much of the space as that takes, and the known networks at its resolution, and goes on where it was
    stopped. With --latency, or for a device that has a published table only, nothing is measured.

    Example: `hwnas range --space tiny --device pixel-8`

    At several resolutions, with a picture: `hwnas range --space lite --resolution 32,48,64 --out range.png`

    Without a phone: `hwnas range --space single-path --device pixel-1`
    """
    from hwnas.devices.device import load_device
    from hwnas.latency.measuring.latency_range import latency_range
    from hwnas.report.console import CONSOLE
    from hwnas.report.pictures import check_picture, save_range_picture
    from hwnas.report.progress import progress_bars
    from hwnas.report.range_table import range_table
    from hwnas.spaces import get_space

    if out is not None:
        check_picture(out)
    if latency is not None:
        refuse_typed(context, "with --latency nothing is measured", "runtime", "threads")
    spaces = [get_space(space, side, classes, width) for side in resolutions_in(resolution)]
    target = device if latency is not None else load_device(device).with_threads(threads)
    with progress_bars() as bars:
        found = latency_range(
            spaces,
            target,
            runtime,
            tables,
            latency,
            progress=lambda stage, now: bars(stage, now.done, now.total, now.text),
            precision=precision,
        )
    if out is not None:
        save_range_picture(found, out)
    if as_json:
        print_json(found.to_json() | {"picture": None if out is None else str(out)})
    else:
        for shown in range_table(found):
            CONSOLE.print(shown)


def resolutions_in(text: str | None) -> list[int | None]:
    """Sides in pixels, separated by commas; None for one that is not given. Raises UsageError for anything else."""
    try:
        return list(dict.fromkeys(None if text is None else int(side) for side in (text or "").split(",")))
    except ValueError:
        raise UsageError(
            f"--resolution takes sides in pixels, separated by commas, such as 32,48,64, not {text!r}."
        ) from None
