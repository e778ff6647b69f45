"""The command line: one function per verb. Results go to stdout as JSON (--json) or to the terminal as a table."""

from __future__ import annotations

import sys

import typer
from rich.console import Console
from rich.text import Text

from hwnas.cli.bundling import bundle
from hwnas.cli.designing import design, search
from hwnas.cli.devices import devices
from hwnas.cli.exporting import export
from hwnas.cli.inspecting import inspect
from hwnas.cli.measuring import bench, fit, measure
from hwnas.cli.output import say_data_warnings
from hwnas.cli.pricing import price
from hwnas.errors import HwnasError

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
app.add_typer(devices, name="devices")
for verb in (measure, fit, price, search, export, inspect, bench, bundle, design):
    app.command()(verb)


def main() -> None:
    """Run the command line; turn errors into one paragraph on stderr and an exit code."""
    say_data_warnings()
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
