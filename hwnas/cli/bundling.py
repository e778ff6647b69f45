"""The verb that builds what runs on a device: bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwnas.cli.options import Json
from hwnas.cli.output import print_json


def bundle(
    abi: Annotated[str, typer.Option("--abi", help="Instruction set of the device: arm64 or x86_64.")] = "arm64",
    out: Annotated[Path | None, typer.Option("--out", help="Copy it into this folder, too.")] = None,
    as_json: Json = False,
) -> None:
    """Build hwbench, the program that times models on a phone or board, with all that it needs there.

    Measuring does this by itself where it is needed. The bundle is kept in the user's cache folder; the licences of its
    parts are listed in its LICENCES.txt.

    Example: `hwnas bundle --abi arm64 --out bundle`
    """
    from hwnas.native.abi import get_abi
    from hwnas.native.bundle import build_bundle, copy_bundle
    from hwnas.report.console import CONSOLE

    built = build_bundle(get_abi(abi))
    if out is not None:
        built = copy_bundle(built, out)
    if as_json:
        print_json(built.to_json())
        return
    megabytes = sum(file.stat().st_size for file in built.folder.iterdir()) / 1e6
    text = f"{built.folder}: hwbench and LiteRT {built.runtime_version} for {built.abi}, {megabytes:.1f} MB"
    CONSOLE.print(f"{text}, compiled by {built.compiler}", markup=False, highlight=False, soft_wrap=True)
