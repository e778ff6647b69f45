"""The verb that writes pages of finished runs and studies again: report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwnas.cli.options import Json
from hwnas.cli.output import print_json
from hwnas.errors import UsageError


def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders of finished runs, or the folder of a finished study.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Of several runs: the file of their page [runs.html].")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the page of a finished run or study again, or one page of several runs. Nothing is trained or measured.

    Example: `hwnas report runs/lite-photos-0.5ms`, or of several: `hwnas report runs/a runs/b --out compared.html`
    """
    from hwnas.report.console import CONSOLE

    if len(runs) == 1 and out is not None:
        raise UsageError("--out names the page of several runs; that of one run is report.html in its folder.")
    if len({run.resolve() for run in runs}) < len(runs):
        raise UsageError(f"each run is named once, not {', '.join(map(str, runs))}.")
    page = _page_of_one(runs[0]) if len(runs) == 1 else _page_of_several(runs, out or Path("runs.html"))
    if as_json:
        print_json({"page": str(page), "runs": [str(run) for run in runs]})
    else:
        CONSOLE.print(f"{page}", markup=False)


def _page_of_one(folder: Path) -> Path:
    from hwnas.evaluation.comparison import read_report
    from hwnas.evaluation.study import STUDY_FILE
    from hwnas.report.study_page import write_study_page
    from hwnas.report.written import rewrite_page

    is_study = (folder / STUDY_FILE).is_file()
    return write_study_page(folder, read_report(folder)) if is_study else rewrite_page(folder)


def _page_of_several(runs: list[Path], out: Path) -> Path:
    from hwnas.evaluation.study import STUDY_FILE
    from hwnas.report.runs_page import write_runs_page

    if study := next((run for run in runs if (run / STUDY_FILE).is_file()), None):
        raise UsageError(
            f"{study} is a study; one page shows several runs of `hwnas design` and `hwnas search`. Name the study "
            "alone, or compare two studies with `hwnas evaluate`."
        )
    return write_runs_page(runs, out)
