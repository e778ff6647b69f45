"""Where results go: JSON to stdout for programs; tables and progress go to stderr, by `hwnas.report.console`."""

from __future__ import annotations

import json
import logging
import os
import sys
import warnings
from contextlib import suppress
from typing import Any

from rich.text import Text
from typer import Context

from hwnas.errors import HwnasError, UsageError
from hwnas.report.console import CONSOLE
from hwnas.text import json_values
from hwnas.train.findings import DataWarning

TYPED = "COMMANDLINE"
"""Where an option's value comes from, as typer calls it."""


def say_data_warnings() -> None:
    """Print what is found in a person's images to stderr, and keep the warnings of other packages off the terminal."""
    logging.captureWarnings(True)
    captured = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, DataWarning):
            CONSOLE.print(Text("warning:", "bold yellow"), Text(str(message)))
        else:
            captured(message, category, *where, **more)

    warnings.showwarning = show
    warnings.simplefilter("always", DataWarning)


class ConsoleHandler(logging.Handler):
    """Prints what the package logs to stderr, above a progress line that is drawn there."""

    def emit(self, record: logging.LogRecord) -> None:
        CONSOLE.print(Text(record.getMessage()))


def say_log() -> None:
    """Print what the package logs, from remarks (INFO) on; done once however often it is called."""
    package = logging.getLogger("hwnas")
    if not any(isinstance(handler, ConsoleHandler) for handler in package.handlers):
        package.setLevel(logging.INFO)
        package.addHandler(ConsoleHandler())
        # a package that finds no handler here sets up one, and all would be said twice
        logging.getLogger().addHandler(logging.NullHandler())


def refuse_typed(context: Context, reason: str, *names: str) -> None:
    """Raise UsageError, which says the reason, if some of these parameters of the running command were typed."""
    options = {each.name: each.opts[0] for each in context.command.params}
    sources = {name: context.get_parameter_source(name) for name in names}
    if typed := [options[name] for name, source in sources.items() if source is not None and source.name == TYPED]:
        raise UsageError(f"{reason}; leave out {', '.join(typed)}.")


def print_json(data: dict[str, Any]) -> None:
    """Print one JSON object. Raises HwnasError if standard output does not take it all."""
    from hwnas.files import json_text

    text = json_text(data)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # a terminal of another encoding
        text = json.dumps(json_values(data), indent=2)
    try:
        print(text, flush=True)
    except OSError as error:
        raise HwnasError(
            f"the result cannot be printed: {error.strerror}. The files that were written are kept; send the "
            "output of --json to a place with room, or to a program that reads all of it."
        ) from None


def let_go_of_stdout() -> None:
    """Send what is still to be printed nowhere: else Python tries once more when it ends, and complains."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
