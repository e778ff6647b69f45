"""The verb that says what an architecture costs: price."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwnas.cli.options import Classes, Json, Resolution, SpaceName, Width
from hwnas.cli.output import print_json


def price(
    code: Annotated[
        str, typer.Option("--code", help="Code of the architecture: one index per decision, such as 0,4,2.")
    ],
    latency: Annotated[Path, typer.Option("--latency", help="A latency table: its folder, or one of `hwnas devices`.")],
    space: SpaceName = "tiny",
    resolution: Resolution = None,
    classes: Classes = None,
    width: Width = None,
    as_json: Json = False,
) -> None:
    """The latency of an architecture on a device, in all and block by block, from a latency table.

    Example: `hwnas price --space single-path --code 0,0,0,4,3,0,0,0,3,0,0,0,3,2,2,2,3,3,3,3 --latency
    latency_models/pixel-1/single-path-nas`
    """
    from hwnas.latency.tables.shipped import table_folder
    from hwnas.latency.tables.table import LatencyTable
    from hwnas.pricing import price as price_architecture
    from hwnas.report.console import CONSOLE
    from hwnas.report.latency_tables import price_table
    from hwnas.spaces import get_space

    table = LatencyTable.load(table_folder(latency))
    found = price_architecture(get_space(space, resolution, classes, width), code, table)
    if as_json:
        print_json(found.to_json())
    else:
        CONSOLE.print(price_table(found, table))
