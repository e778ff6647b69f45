"""The command line: one function per verb. Results go to stdout as JSON (--json) or to the terminal as a table."""

from __future__ import annotations

import logging
import signal
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
from hwnas.cli.pricing import price
from hwnas.errors import HwnasError

INTERRUPTED = 130
"""Exit code after Ctrl-C."""
TERMINATED = 143
"""Exit code after SIGTERM, what `kill` sends and a system that shuts down."""

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
    logging.captureWarnings(True)
    errors = Console(stderr=True, highlight=False)
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        app()
    except HwnasError as error:
        errors.print("[bold red]error:[/]", Text(str(error)))
        sys.exit(error.exit_code)
    except SystemExit as stop:
        if stop.code in (INTERRUPTED, TERMINATED):
            errors.print("stopped. What was finished is kept: repeat the command to go on.")
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(_number: int, _frame: object) -> None:
    """End as after Ctrl-C: whatever is open is closed, and what was started is stopped."""
    sys.exit(TERMINATED)
