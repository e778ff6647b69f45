"""How far a command is: bars on a terminal, and lines of a log where standard error goes to a file or a pipe."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from hwnas.report.console import CONSOLE

EVERY_S = 20.0
"""How often a log says that a command is at work, whether it has got on meanwhile or not."""

Update = Callable[[str, int, int, str], None]
"""Called with a stage's name, how much of it is done, how much there is, and its present item."""


@contextmanager
def progress_bars() -> Iterator[Update]:
    """A function that takes progress and keeps one bar per stage with the time left, or writes a log of the stages."""
    with _bars() if CONSOLE.is_terminal else _log() as update:
        yield update


class FiguresColumn(TextColumn):
    """Text that is cut off where the terminal is too narrow, so that counts and times are not."""

    def render(self, task: Task) -> Text:
        text = super().render(task)
        text.no_wrap, text.overflow = True, "ellipsis"
        return text


@contextmanager
def _bars() -> Iterator[Update]:
    columns = (
        TextColumn("{task.description:<14}", markup=False),
        BarColumn(bar_width=16, table_column=Column(no_wrap=True)),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        FiguresColumn("{task.fields[text]}", markup=False, table_column=Column()),  # alone in giving way
    )
    with Progress(*columns, console=CONSOLE) as bars:
        tasks: dict[str, Any] = {}

        def update(stage: str, done: int, total: int, text: str) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total, text=text)
            bars.update(tasks[stage], completed=done, total=total, text=text)

        yield update


@contextmanager
def _log() -> Iterator[Update]:
    """A line when a stage begins and ends, and every `EVERY_S` in between, also while nothing is told."""
    log, ended = StageLog(_print), threading.Event()

    def tick() -> None:
        while not ended.wait(EVERY_S):
            log.still()

    ticking = threading.Thread(target=tick, name="progress", daemon=True)
    ticking.start()
    try:
        yield log.update
    finally:
        ended.set()
        ticking.join()


def _print(line: str) -> None:
    CONSOLE.print(line, soft_wrap=True, highlight=False)


class StageLog:
    """Lines that say which stage has begun, goes on, or is done."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = monotonic) -> None:
        """`write` takes a line; `clock` tells seconds."""
        self._write, self._clock, self._lock = write, clock, threading.Lock()
        self._started_s = clock()
        self._begun_s: dict[str, tuple[float, int]] = {}
        """By stage: when it began, and how much of it was done then, by an earlier command."""
        self._now = ("starting", 0, 0, "")

    def update(self, stage: str, done: int, total: int, text: str) -> None:
        """Remember how far a stage is; write that if it begins or ends."""
        with self._lock:
            finished = self._now[0] == stage and self._now[1] >= self._now[2]
            begins = stage not in self._begun_s
            if begins:
                self._begun_s[stage] = (self._clock(), done)
            self._now = (stage, done, total, text)
            if begins or (done >= total and not finished):
                self._write(self._line())

    def still(self) -> None:
        """Write how far the newest stage is."""
        with self._lock:
            self._write(self._line(still=True))

    def _line(self, still: bool = False) -> str:
        stage, done, total, text = self._now
        now_s = self._clock()
        parts = [f"{stage}: {done}/{total}"] if total else [stage]
        began_s, done_before = self._begun_s.get(stage, (self._started_s, 0))
        parts.append(f"{_duration(now_s - began_s)} elapsed")
        if done_before < done < total:
            left_s = (now_s - began_s) * (total - done) / (done - done_before)
            parts.append(f"about {_duration(left_s)} left")
        elif total and done >= total and now_s - self._started_s > now_s - began_s:
            parts.append(f"{_duration(now_s - self._started_s)} in all")
        if still and total and done >= total and not text:
            parts.append("working on what follows")
        return ", ".join([*parts, *([text] if text else [])])


def _duration(seconds: float) -> str:
    """Seconds for people: ``0:00:07``."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
