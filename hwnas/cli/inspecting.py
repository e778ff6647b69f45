"""The verb that looks into a model file: inspect."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwnas.cli.options import Json
from hwnas.cli.output import print_json


def inspect(
    model: Annotated[Path, typer.Argument(help="Any .tflite or .onnx file.")],
    operators: Annotated[bool, typer.Option("--operators", help="List every operator, in order.")] = False,
    timeout_s: Annotated[float, typer.Option("--timeout-s", min=0.1, help="Give up on a file after this long.")] = 60.0,
    as_json: Json = False,
) -> None:
    """Show what is in a model file and what will be slow about it: shapes, MACs, memory, delegates, metadata.

    The file is read in a process with limits: a damaged or hostile one ends in a message.

    Example: `hwnas inspect runs/demo/models/model.tflite`
    """
    from hwnas.inspection.inspect import inspect

    info = inspect(model, timeout_s)
    if as_json:
        print_json(info.to_json())
        return
    from hwnas.report.console import CONSOLE
    from hwnas.report.model_tables import model_tables

    CONSOLE.print(model_tables(info, operators))
