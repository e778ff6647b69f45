"""The output of a program, line by line, without the prefixes of logs; and which lines tell of a failure."""

from __future__ import annotations

import re
from dataclasses import dataclass

LOGCAT = re.compile(r"(?:\d\d-\d\d\s+[\d:.]+\s+\d+\s+\d+\s+)?([VDIWEF])[ /][\w.-]+\s*(?:\(\s*\d+\))?\s*:\s?")
SEVERITY = re.compile(r"(VERBOSE|DEBUG|INFO|WARNING|ERROR|FATAL):\s?")
FATAL = ("FATAL", "F")
HARMLESS = ("VERBOSE", "DEBUG", "INFO", "WARNING", "V", "D", "I", "W")

FAILED = re.compile(
    r"Failed to |Aborted|Segmentation fault|Illegal instruction|Bus error|CANNOT LINK EXECUTABLE|"
    r".*not executable: \d+-bit ELF|.*[Ee]xec format error"
)
"""How a line begins that says why there are no numbers, or why those that there are mean something else."""
BROKEN = re.compile(r".*\bfailed to [a-z]|.*delegate application failure", re.IGNORECASE)
"""An error that makes numbers beside it mean nothing: a run that failed, a delegate that was taken away."""
NO_FAILURE = "Failed to get the input model file size"
"""A warning of benchmark_model; builds that print no severities print it like an error."""


@dataclass(frozen=True)
class LogLine:
    """One line. Trailing white space is gone, white space between columns is as it was."""

    text: str
    severity: str
    """``INFO``, ``ERROR``, or logcat's letter; empty where the line has none."""

    @property
    def is_failure(self) -> bool:
        if self.severity in HARMLESS or self.text.startswith(NO_FAILURE):
            return False
        return bool(self.severity) or FAILED.match(self.text) is not None

    @property
    def breaks_numbers(self) -> bool:
        """Whether it says that numbers beside it are of something else, or of nothing.

        Other errors do not: a GPU delegate lists as an error which operators it leaves to the CPU.
        """
        return self.is_failure and bool(FAILED.match(self.text) or BROKEN.match(self.text) or self.severity in FATAL)


def log_lines(text: str) -> list[LogLine]:
    """The lines of a program's output, whatever ends them; through logcat or not."""
    return [_log_line(line) for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]


def failure_in(lines: list[LogLine]) -> str | None:
    """The first line that says that something failed; None if there is no such line."""
    return next((line.text[:300] for line in lines if line.is_failure), None)


def breaking_in(lines: list[LogLine]) -> str | None:
    """The first line that says that numbers mean nothing; None if there is no such line."""
    return next((line.text[:300] for line in lines if line.breaks_numbers), None)


def last_words(lines: list[LogLine]) -> str:
    """The last line that is not empty, for an error's message."""
    said = [line.text.strip() for line in lines if line.text.strip()]
    return repr(said[-1][:200]) if said else "nothing"


def _log_line(line: str) -> LogLine:
    text, severity = line.rstrip(), ""
    for prefix in (LOGCAT, SEVERITY):
        if found := prefix.match(text):
            severity, text = found[1], text[found.end() :]
    return LogLine(text, severity)
