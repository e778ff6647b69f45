"""The command line: one function per verb. Results go to stdout as JSON (--json) or to the terminal as a table."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any

import typer
from rich.text import Text
from typer.rich_utils import rich_format_error

import hwnas
from hwnas.cli.benching import bench
from hwnas.cli.bundling import bundle
from hwnas.cli.designing import design, search
from hwnas.cli.devices import devices
from hwnas.cli.evaluating import accuracy
from hwnas.cli.exporting import export
from hwnas.cli.gating import gate
from hwnas.cli.inspecting import inspect
from hwnas.cli.measuring import fit, measure
from hwnas.cli.output import let_go_of_stdout, say_data_warnings, say_log
from hwnas.cli.pricing import price
from hwnas.cli.ranging import show_range
from hwnas.cli.reporting import report
from hwnas.cli.stopping import STOPPED, Stopped, stop_on_signals
from hwnas.cli.studying import evaluate
from hwnas.cli.watching import watch
from hwnas.errors import HwnasError
from hwnas.report.console import SafeConsole
from hwnas.text import shown

INTERRUPTED = 130
"""Exit code after Ctrl-C."""

GOING_ON = ("measure", "range", "search", "design", "evaluate")
"""Verbs that keep what they finished: stopped and repeated, they go on."""

app = typer.Typer(
    name="hwnas",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(devices, name="devices")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hwnas {hwnas.__version__}")
        raise typer.Exit


@app.callback()
def about(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and end.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Design a neural network for one device and one deadline: measure, search under a budget in ms, export, measure
    again."""


for verb in (measure, fit, price, search, export, inspect, bench, gate, accuracy, evaluate, bundle, design, report):
    app.command()(verb)
app.command(name="range")(show_range)
app.command()(watch)


def main() -> None:
    """Run the command line; turn errors into one paragraph on stderr and an exit code."""
    say_data_warnings()
    say_log()
    errors = SafeConsole(stderr=True, highlight=False)
    stop_on_signals()
    try:
        exit_code = app(standalone_mode=False) or 0
    except HwnasError as error:
        _show(errors, str(error))
        exit_code = error.exit_code
    except OSError as error:
        about = f"{error.filename}: " if error.filename else "writing or reading failed: "
        _show(errors, f"{about}{error.strerror or error}. Make room, or repeat the command where this can be done.")
        exit_code = 1
    except typer.Abort:
        exit_code = 1
    except Stopped as stopped:
        exit_code = stopped.exit_code
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        exit_code = _show_usage_error(error)
    if exit_code == INTERRUPTED or exit_code in STOPPED:
        with suppress(OSError):
            errors.print(_stopped(sys.argv[1:]))
    if exit_code:
        let_go_of_stdout()
    sys.exit(exit_code)


def _stopped(arguments: Sequence[str]) -> str:
    """The message of a command that was stopped."""
    if next((each for each in arguments if not each.startswith("-")), None) in GOING_ON:
        return "stopped. What was finished is kept: repeat the command to go on."
    return "stopped. Repeat the command to start again from the beginning."


def _show(errors: SafeConsole, message: str) -> None:
    """Print an error; where it goes to a file it is one line, to be searched for."""
    with suppress(OSError):  # there is nobody to tell
        errors.print(Text("error:", "bold red"), Text(message), soft_wrap=not errors.is_terminal)


def _show_usage_error(error: Any) -> int:
    """Print what Typer says of a wrong option, which holds what was typed; returns the exit code."""
    if isinstance(error.message, str):
        error.message = shown(error.message)
    rich_format_error(error)
    return int(error.exit_code)
