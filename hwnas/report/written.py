"""A run folder read back, and its page written again from its files: nothing is trained or measured."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from hwnas.errors import HwnasError
from hwnas.files import read_json
from hwnas.records import read_records
from hwnas.report.recorded import REPORT_FILE, design_report, evaluated_networks, run_config, surest_mistakes
from hwnas.report.search_page import write_search_page
from hwnas.run import METRICS_FILE, PROBABILITIES_FILE
from hwnas.searches.single_path import INDICATORS_FILE
from hwnas.space import SearchSpace
from hwnas.spaces import get_space


def read_run(folder: Path) -> dict[str, Any]:
    """The report of a finished run. Raises HwnasError if the folder is none, or the report is damaged."""
    found = design_report(folder / REPORT_FILE) if folder.is_dir() else None
    if found is None:
        what = "there is no such folder" if not folder.exists() else f"it holds no {REPORT_FILE}"
        raise HwnasError(
            f"{folder} is no finished run: {what}. Name the folder that `hwnas design` or `hwnas search` wrote; a run "
            "that was stopped is finished by repeating its command."
        )
    return found


def rewrite_page(folder: Path) -> Path:
    """Write the page of a finished run again; what an older run has not stored is left out of it.

    Raises HwnasError if the folder is no run, a file of it is damaged, or it cannot be written.
    """
    report, config = read_run(folder), run_config(folder)
    indicators = folder / INDICATORS_FILE
    return write_search_page(
        folder,
        report,
        _space(config),
        read_json(indicators, "the run's indicators") if indicators.is_file() else (),
        logged(folder / METRICS_FILE),
        evaluated_networks(folder),
        surest_mistakes(folder),
        logged(folder / PROBABILITIES_FILE),
    )


def logged(path: Path) -> list[dict[str, Any]]:
    """The records of steps in a log of a run; none where there is no log."""
    return [each for each in read_records(path) if isinstance(each.get("step"), int)]


def _space(config: Mapping[str, Any]) -> SearchSpace | None:
    """The space that was searched; None where it is not known here, or is another one by now."""
    with suppress(HwnasError, KeyError, TypeError):
        return get_space(config["space"], config["resolution"], config.get("num_classes"), config.get("width"))
    return None
