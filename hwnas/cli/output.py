"""Where results go: JSON to stdout for programs; tables and progress go to stderr, by `hwnas.report.console`."""

from __future__ import annotations

import logging
import warnings
from typing import Any

from rich.text import Text

from hwnas.files import json_text
from hwnas.report.console import CONSOLE
from hwnas.train.findings import DataWarning


def print_json(data: dict[str, Any]) -> None:
    print(json_text(data))


def say_data_warnings() -> None:
    """Print what is found in a person's images to stderr, and keep the warnings of other packages off the terminal."""
    logging.captureWarnings(True)
    captured = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, DataWarning):
            CONSOLE.print("[bold yellow]warning:[/]", Text(str(message)))
        else:
            captured(message, category, *where, **more)

    warnings.showwarning = show
    warnings.simplefilter("always", DataWarning)
