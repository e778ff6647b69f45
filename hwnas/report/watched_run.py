"""The WatchedRun: how far the trainings of a run folder are, read while another process writes it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field
from rich.table import Table
from rich.text import Text

from hwnas.child import WEIGHTS_FILE
from hwnas.errors import HwnasError
from hwnas.files import read_json
from hwnas.foreign import checked
from hwnas.records import read_records
from hwnas.report.recorded import PRECISIONS_FOLDER, REPORT_FILE
from hwnas.report.sparkline import sparkline
from hwnas.run import METRICS_FILE, RUN_FILE

CURVE_WIDTH = 32
INNER = ("trained-on", "compared", "retrained", "fine-tuned")
"""Folders of a run that hold trainings of their own."""
CURE = "restore it, or watch another run"


class _Images(BaseModel):
    train: int = Field(default=0, ge=0)


class _Settings(BaseModel):
    """Of a search: where children are trained by themselves, a step is a child."""

    evaluate: str = "inherited"
    evaluations: int | None = Field(default=None, ge=0)


class _Config(BaseModel):
    """Of a run's configuration, what its length follows from, the budget, and what tells one kind of run from another.

    Attributes:
        device: of a design, which ends with its report; `hwnas.search` ends with the weights.
        evaluates: of a study.
    """

    epochs: int | None = Field(default=None, ge=0)
    batch_size: int = Field(default=0, ge=0)
    images: _Images | str = _Images()
    settings: _Settings = _Settings()
    budget_ms: float | str | None = None
    device: str | None = None
    evaluates: str | None = None


@dataclass(frozen=True)
class WatchedTraining:
    """One training of a run.

    Attributes:
        name: ``search``, or the folder of another training in the run.
        records: what is logged by now, with a ``step`` each.
        total_steps: how many there will be; None: not known.
        quiet_s: seconds since a step was last logged; None: none was.
    """

    name: str
    records: Sequence[dict[str, Any]]
    total_steps: int | None
    quiet_s: float | None

    @property
    def step(self) -> int:
        return int(self.records[-1]["step"]) if self.records else 0

    @property
    def last(self) -> dict[str, float]:
        """The newest figures; steps and epochs are no figures."""
        newest = self.records[-1] if self.records else {}
        return {k: v for k, v in newest.items() if k not in ("step", "epoch") and isinstance(v, int | float)}

    def to_json(self) -> dict[str, Any]:
        known = {"name": self.name, "step": self.step, "total_steps": self.total_steps, "quiet_s": self.quiet_s}
        return known | {"last": self.last}


@dataclass(frozen=True)
class WatchedRun:
    """All trainings of a run folder, and whether the run has ended."""

    folder: Path
    trainings: tuple[WatchedTraining, ...]
    budget_ms: float | None
    is_finished: bool

    @staticmethod
    def of(folder: Path) -> WatchedRun:
        """Read a run folder. Raises HwnasError if it is none, or damaged."""
        if not (folder / RUN_FILE).is_file():
            raise HwnasError(f"{folder} is no run folder: it holds no {RUN_FILE}. Name one, such as runs/demo.")
        config = _config(folder)
        if config.evaluates:
            raise HwnasError(f"{folder} is a {config.evaluates}, not a run; `hwnas evaluate {folder}` shows it.")
        images = config.images if isinstance(config.images, _Images) else _Images()
        steps = max(1, images.train // config.batch_size) if images.train and config.batch_size else None
        if precisions := sorted((folder / PRECISIONS_FOLDER).glob(f"*/{RUN_FILE}")):
            own = ((each.parent.name, WatchedRun.of(each.parent)) for each in precisions)
            found = [replace(each, name=f"{name}: {each.name}") for name, run in own for each in run.trainings]
        else:
            found = [_training(folder, "search", config, steps)]
        for each in (inner for part in INNER for inner in sorted((folder / part).glob(f"*/{RUN_FILE}"))):
            found.append(_training(each.parent, each.parent.name, _config(each.parent), steps))
        budget_ms = config.budget_ms if isinstance(config.budget_ms, float) else None
        last_file = WEIGHTS_FILE if config.device is None else REPORT_FILE
        return WatchedRun(folder, tuple(found), budget_ms, (folder / last_file).is_file())

    def to_json(self) -> dict[str, Any]:
        return {
            "run": str(self.folder),
            "finished": self.is_finished,
            "trainings": [each.to_json() for each in self.trainings],
        }


def watched_table(run: WatchedRun) -> Table:
    """For the terminal: a row for each training with its newest figures and the curve of its loss."""
    title = f"{run.folder}: {'finished' if run.is_finished else 'not finished'}"
    table = Table(title=Text(title), title_justify="left", title_style="bold")
    for name in ("training", "steps", "loss so far", "newest figures", "last step"):
        table.add_column(name, overflow="fold", justify="right" if name in ("steps", "last step") else "left")
    for each in run.trainings:
        steps = f"{each.step:,}" + (f" of {each.total_steps:,}" if each.total_steps else "")
        losses = [record["loss"] for record in each.records if isinstance(record.get("loss"), int | float)]
        figures = ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in each.last.items())
        quiet = "" if each.quiet_s is None else f"{each.quiet_s:.0f} s ago"
        table.add_row(Text(each.name), steps, sparkline(losses, CURVE_WIDTH), Text(figures), quiet)
    return table


def write_events(run: WatchedRun, folder: Path, written: dict[str, int]) -> None:
    """Write what was logged since the last time as TensorBoard's event files.

    Args:
        run: read now.
        folder: where they go, in one folder for each training.
        written: by training the last step that was written; brought up to date.

    Raises HwnasError if TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise HwnasError("TensorBoard is not installed: pip install 'hwnas[tensorboard]'.") from None
    for each in run.trainings:
        new = [record for record in each.records if record["step"] > written.get(each.name, 0)]
        if not new:
            continue
        with SummaryWriter(str(folder / each.name)) as writer:
            for record, name, value in _figures(new):
                writer.add_scalar(name, value, record["step"])
            if run.budget_ms is not None and any("expected_ms" in record for record in new):
                writer.add_scalar("budget_ms", run.budget_ms, new[-1]["step"])
        written[each.name] = each.step


def _figures(records: Sequence[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], str, float]]:
    for record in records:
        for name, value in record.items():
            if name not in ("step", "epoch") and isinstance(value, int | float):
                yield record, name, float(value)


def _config(folder: Path) -> _Config:
    content = read_json(folder / RUN_FILE, "the run")
    config = content.get("config") if isinstance(content, dict) else None
    return checked(_Config, config if isinstance(config, dict) else {}, str(folder / RUN_FILE), CURE)  # type: ignore[no-any-return]


def _training(folder: Path, name: str, config: _Config, steps_per_epoch: int | None) -> WatchedTraining:
    path = folder / METRICS_FILE
    records = [record for record in read_records(path) if isinstance(record.get("step"), int)]
    total = None if steps_per_epoch is None or config.epochs is None else config.epochs * steps_per_epoch
    if config.settings.evaluate == "trained":
        total = config.settings.evaluations
    quiet_s = max(0.0, time.time() - path.stat().st_mtime) if records else None
    return WatchedTraining(name, records, total, quiet_s)
