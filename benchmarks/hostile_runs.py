"""Good files of studies and runs, as in hostile_files.py: how each is read, and what must hold of what is accepted.

What is shown of them is made too, on no terminal: tables and pages.
"""

from __future__ import annotations

import json
import os
import random
from functools import partial
from pathlib import Path
from typing import Any

from hostile_files import CODE, REPORT, SPACE, Subject, is_latency, write_run, write_table, write_text

from hwnas.cli.studying import _config
from hwnas.evaluation.comparison import compare_studies, read_report
from hwnas.evaluation.tasks import RESULT_FILE, Task
from hwnas.evaluation.truth import Truth
from hwnas.files import json_text, write_json
from hwnas.latency.tables.table import LatencyTable
from hwnas.pricing import price
from hwnas.report.console import SafeConsole
from hwnas.report.runs_page import write_runs_page
from hwnas.report.study_table import comparison_table, study_table
from hwnas.report.watched_run import WatchedRun, watched_table
from hwnas.report.written import rewrite_page

OWN_SCRIPTS = 1
"""Of a page, which lets its charts be read; any other is somebody's."""


def shown(*renderables: Any) -> None:
    """Draw tables into nothing."""
    with Path(os.devnull).open("w") as nowhere:
        console = SafeConsole(file=nowhere, width=80)
        for each in renderables:
            console.print(each)


def study_report() -> dict[str, Any]:
    row = {
        "data": "digits", "budget_ms": 0.5, "wanted_budget": "60%", "seeds": 2, "accuracy_mean": 0.5, "rank": 1,
        "accuracies": [0.4, 0.6], "regret_mean": None, "relative_improvement": 1.5, "interval": [-3.0, 6.0], "p": 0.5,
        "p_holm": 1.0, "least_p": 0.33, "superiority": 0.5, "smallest_improvement": 9.0, "budget_used": 0.9,
        "seconds": 3.0, "search_seconds": 2.0, "gap": None,
    }  # fmt: skip
    none = ("relative_improvement", "interval", "p", "p_holm", "least_p", "superiority", "smallest_improvement")
    rows = [{"method": "random", **row, **dict.fromkeys(none)}, {"method": "spos", **row}]
    return {"rows": rows, "runs": [], "study": "a study", "config": {"space": "tiny", "epochs": 2}, "seconds": 9.0}


def read_study(folder: Path) -> Any:
    found = read_report(folder)
    shown(study_table(found), comparison_table(compare_studies(folder, folder)))
    return found


def wrong_study(report: Any) -> str:
    values = [share for row in report["rows"] for share in (*row["accuracies"], row["accuracy_mean"])]
    return "" if all(0 <= share <= 1 for share in values) else f"{report}"


STUDY = 'methods = ["spos"]\nspace = "tiny"\ndata = ["digits"]\nbudget_ms = ["60%", 0.5]\nseeds = 2\nepochs = 3\n'
STUDY += "[settings.spos]\nevaluations = 10\n"


def wrong_study_config(config: Any) -> str:
    in_ms = [float(budget) for budget in config.budget_ms if not isinstance(budget, str)]
    return "" if is_latency(*in_ms) and config.seeds >= 1 and config.epochs >= 1 else f"{config}"


TASK_ASKED = {"epochs": 2, "seed": 0}
TRAINED = {"asked": TASK_ASKED, "found": {"accuracy": 0.5, "val_accuracy": 0.25, "seconds": 3.0}}


def wrong_task(found: Any) -> str:
    """What is damaged is made again, so there is no error; what is believed must be right."""
    shares = [] if found is None else [found["accuracy"], found["val_accuracy"]]
    return "" if all(isinstance(share, float | int) and 0 <= share <= 1 for share in shares) else f"{found}"


def write_truth(folder: Path) -> None:
    dice = random.Random(0)
    codes = {SPACE.sample(dice).code: dice.uniform(80, 95) for _ in range(30)}
    lines = [f'"{code}",{accuracy:.2f}' for code, accuracy in codes.items()]
    (folder / "truth.csv").write_text("\n".join(["code,accuracy", *lines, ""]))


def read_truth(folder: Path) -> Any:
    truth = Truth.read(folder / "truth.csv")
    return truth.accuracies, truth.networks(SPACE)


def wrong_truth(found: Any) -> str:
    accuracies, _ = found
    return "" if accuracies and all(0 <= each <= 100 for each in accuracies.values()) else f"{accuracies}"


def write_watched(folder: Path) -> None:
    write_run(folder)
    path = folder / "run.json"
    data = json.loads(path.read_text()) | {"config": {"epochs": 3, "batch_size": 32, "images": {"train": 64}}}
    data["config"]["budget_ms"] = 0.5
    del data["checksum"]
    write_json(path, data)


def read_watched(folder: Path) -> Any:
    found = WatchedRun.of(folder)
    shown(watched_table(found))
    return json_text(found.to_json())


def write_paged(folder: Path) -> None:
    write_run(folder)
    mistakes = [{"truth": "a", "answer": "b", "sureness": 0.9, "picture": "data:image/png;base64,AAAA"}]
    write_json(folder / "mistakes.json", {"mistakes": mistakes})
    write_table(folder / "table")
    priced = price(SPACE, CODE, LatencyTable.load(folder / "table"))
    architecture = priced.architecture.to_json()
    told = {"architecture": architecture, "price": priced.to_json() | {"architecture": architecture}, "epochs": 3}
    told |= {"images": {"train": 10, "test": 5}, "method": "dsnas", "publication": None}
    write_json(folder / "report.json", REPORT | told)


def read_paged(folder: Path) -> Any:
    write_runs_page([folder], folder / "runs.html")
    return rewrite_page(folder).read_text(encoding="utf-8")


def wrong_page(page: Any) -> str:
    return "a script" if page.count("<script") > OWN_SCRIPTS else ""


def nothing(_: Any) -> str:
    return ""


def json_file(name: str, data: Any) -> partial[None]:
    return partial(_write_json, name, data)


def _write_json(name: str, data: Any, folder: Path) -> None:
    (folder / name).write_text(json.dumps(data, indent=1))


RUNS: dict[str, Subject] = {
    "study report": Subject("report.json", json_file("report.json", study_report()), read_study, wrong_study),
    "study configuration": Subject(
        "study.toml",
        write_text("study.toml", STUDY),
        lambda folder: _config({}, folder / "study.toml"),
        wrong_study_config,
    ),
    "task result": Subject(
        RESULT_FILE,
        json_file(RESULT_FILE, TRAINED),
        lambda folder: Task("train", str(folder), TASK_ASKED, "digits", "", "").result,
        wrong_task,
    ),
    "published accuracies": Subject("truth.csv", write_truth, read_truth, wrong_truth),
    "watched run": Subject("run.json", write_watched, read_watched, nothing),
    "watched metrics": Subject("metrics.jsonl", write_watched, read_watched, nothing),
    "paged report": Subject("report.json", write_paged, read_paged, wrong_page),
    "paged metrics": Subject("metrics.jsonl", write_paged, read_paged, wrong_page),
    "paged mistakes": Subject("mistakes.json", write_paged, read_paged, wrong_page),
}
