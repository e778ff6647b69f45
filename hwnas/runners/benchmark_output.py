"""The output of Google's ``benchmark_model``, as numbers: its forms from 2019 to now, through adb, logcat or a file.

Facts on the forms: ``tensorflow/lite/tools/benchmark/benchmark_model.cc`` and ``tsl/util/stats_calculator.h``, at
several versions, and logs that people have published.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from hwnas.errors import HwnasError
from hwnas.runners.program_log import LogLine, breaking_in, failure_in, last_words, log_lines

NUMBER = r"[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?"
"""Averages of a second or more come as 1.06017e+06."""

APPLIED = re.compile(r"(?:Explicitly a|A)pplied (.+?) delegate, and the model graph will be (completely|partially) ")
NOT_APPLIED = re.compile(r"Though (.+?) delegate is explicitly applied, the model graph will not be executed")
XNNPACK_CREATED = re.compile(r"Created TensorFlow Lite XNNPACK delegate|XNNPACK delegate created")
XNNPACK_ASKED = re.compile(r"Use xnnpack\s*: \[(\w+)\]", re.IGNORECASE)
DELEGATE_ASKED = re.compile(r"Use (?:gpu|nnapi)\s*: \[(?:1|true)\]", re.IGNORECASE)
UNSUPPORTED = re.compile(r"(?:Following|Next) operations are not supported by (.+?) delegate:")
DIVIDED = re.compile(
    r"(?:First )?(\d+) operations will run on the GPU, and the remaining (\d+) (?:operations will run )?on the CPU"
)
"""How the GPU delegate divides a model: ``tensorflow/lite/delegates/gpu/common/model_builder.cc``."""
REPLACED = re.compile(r"Replacing (\d+) out of (\d+) node\(s\) with delegate \((.+?)\) node")
"""How the interpreter does, in newer builds: ``tensorflow/lite/core/subgraph.cc``."""
LISTED = re.compile(r"[A-Z][A-Z0-9_]+(?: \w+)?:(?: |$)|(?:First )?\d+ operations will run on ")
THREADS = re.compile(r"(?:Num threads|#threads used for CPU inference)\s*: \[(\d{1,4})\]")
SESSION_MS = re.compile(rf"Initialized session in ({NUMBER})ms")
FINALLY = re.compile(r"(?:Inference|Average inference) timings in us: ")
MEMORY = re.compile(r"(?:Peak memory footprint|Memory footprint delta from the start of the tool) \(MB\): ")
OLD_MEMORY = re.compile(rf"\[(Init Phase|Overall)\] - Memory usage: max resident set size = ({NUMBER}) MB")
PEAK_MEMORY = re.compile(rf"Overall peak memory footprint \(MB\) via periodic monitoring: ({NUMBER})")


@dataclass(frozen=True)
class RunStatistics:
    """Several runs in a row, in microseconds; None: this build does not print it. Single runs it never prints."""

    count: int
    mean_us: float
    min_us: float
    max_us: float
    std_us: float
    p5_us: float | None
    median_us: float | None
    p95_us: float | None

    @property
    def typical_us(self) -> float:
        """The median where the build prints it, otherwise the mean."""
        return self.mean_us if self.median_us is None else self.median_us


@dataclass(frozen=True)
class AppliedDelegate:
    """A delegate that was asked for, and how much of the model it took."""

    name: str
    """As the program calls it: ``GPU``, ``NNAPI``, ``XNNPACK``."""
    took: Literal["all", "part", "nothing"]


@dataclass(frozen=True)
class LeftToCpu:
    """The part of a model that the GPU delegate leaves to the CPU, as far as the program tells."""

    operators: tuple[str, ...] = ()
    """Each with the delegate's reason, such as ``UNPACK: Operation is not supported.``; empty: it names none."""
    count: int | None = None
    of: int | None = None
    """So many operators of the model's `of`."""

    def __str__(self) -> str:
        share = "a part of the model" if self.count is None else f"{self.count} of {self.of} operators"
        return share + (f" ({'; '.join(self.operators)})" if self.operators else "")


@dataclass(frozen=True)
class BenchmarkOutput:
    """One launch of ``benchmark_model``. None: this build does not print it."""

    runs: RunStatistics
    """The timed runs, without the warm-up."""
    warmup: RunStatistics | None
    """None also for a warm-up of no runs."""
    init_us: float | None
    """Loading the model and applying delegates."""
    first_us: float | None
    """The very first inference."""
    init_mb: float | None
    """Memory that loading took."""
    overall_mb: float | None
    """Memory that all of it took."""
    peak_mb: float | None
    delegates: tuple[AppliedDelegate, ...]
    xnnpack: bool | None
    """Whether XNNPACK took part."""
    left_to_cpu: LeftToCpu | None
    """The operators of the model that the GPU did not take; None: the program names none."""
    threads: int | None
    notes: tuple[str, ...] = ()
    """Its errors beside numbers that are good, such as operators that a GPU leaves to the CPU."""


def parse_benchmark_output(text: str) -> BenchmarkOutput:
    """Read the standard output and standard error of one launch, whichever comes first.

    Raises HwnasError if it reports a failure, made no timed run, or is no output of ``benchmark_model`` at all; and for
    any error beside numbers where a GPU or NNAPI was asked for and does not say what it took: something else may have
    computed. Other errors beside numbers are `notes`.
    """
    lines = log_lines(text)
    if failure := breaking_in(lines):
        raise HwnasError(f"benchmark_model reports: {failure}")
    blocks, delegates = list(_statistics(lines)), tuple(_delegates(lines))
    unknown = any(DELEGATE_ASKED.match(line.text) for line in lines) and not delegates
    if (failure := failure_in(lines)) and (len(blocks) < 2 or unknown):
        raise HwnasError(f"benchmark_model reports: {failure}")
    if len(blocks) < 2:
        raise HwnasError(
            "benchmark_model printed no statistics of timed runs (a line 'count=...' after the second 'Running "
            f"benchmark ...'): it ended too early, or another program printed this. Its last words: {last_words(lines)}"
        )
    warmup, runs = blocks[:2]
    if runs is None:
        raise HwnasError("benchmark_model made no timed run (count=0); give it more time: raise max_ms.")
    return BenchmarkOutput(
        runs=runs,
        warmup=warmup,
        init_us=_init_us(lines),
        first_us=_final_us(lines, "First inference"),
        **_memory(lines),
        delegates=delegates,
        xnnpack=_xnnpack(lines),
        left_to_cpu=_left_to_cpu(lines, delegates),
        threads=next((int(found[1]) for line in lines if (found := THREADS.match(line.text))), None),
        notes=tuple(_notes(lines)),
    )


def parse_statistics(line: str) -> RunStatistics | None:
    """Read ``count=66 first=15489 curr=15391 min=14950 max=16866 avg=15170.2 std=286 p5=... median=... p95=...``.

    Builds print the fields in any order, and one run or equal ones as ``count=1 curr=24`` and ``curr=24 count=50(all
    same)``. None: there was no run. Raises HwnasError for numbers that are no durations, and for missing ones.
    """
    values = {name: number(text) for name, text in re.findall(rf"(\w+)=({NUMBER})", line)}
    count = values.pop("count", None)
    if count == 0:
        return None
    if count is None or count != int(count) or count < 0 or any(not value >= 0 for value in values.values()):
        raise HwnasError(f"benchmark_model's statistics make no sense: {line[:200]!r}")
    if (count == 1 or "(all same)" in line) and "curr" in values:  # then this is every quantile of them
        same = dict.fromkeys(("avg", "min", "max", "p5", "median", "p95"), values["curr"])
        values = same | {"std": 0.0} | values
    try:
        mean_us, min_us, max_us, std_us = (values[name] for name in ("avg", "min", "max", "std"))
    except KeyError as missing:
        raise HwnasError(f"benchmark_model's statistics lack {missing}: {line[:200]!r}") from None
    if mean_us == 0:
        raise HwnasError(
            "benchmark_model's runs took less than the microsecond that it can tell; measure a larger model."
        )
    quantiles = (values.get(name) for name in ("p5", "median", "p95"))
    return RunStatistics(int(count), mean_us, min_us, max_us, std_us, *quantiles)


def number(text: str) -> float:
    """The number that `NUMBER` matched. Raises HwnasError for infinite ones, and for ``1.2.3``, which matches too."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise HwnasError(f"{text[:40]!r} stands where benchmark_model prints a number.")
    return value


def _statistics(lines: list[LogLine]) -> Iterator[RunStatistics | None]:
    """The statistics under each "Running benchmark ...": first the warm-up's, then those of the timed runs."""
    expected = False
    for line in lines:
        if line.text.startswith("Running benchmark for "):
            expected = True
        elif expected and line.text.startswith(("count=", "curr=")):
            expected = False
            yield parse_statistics(line.text)


def _init_us(lines: list[LogLine]) -> float | None:
    for line in lines:
        if found := SESSION_MS.match(line.text):
            return 1000 * number(found[1])
    return _final_us(lines, "Init")


def _final_us(lines: list[LogLine], name: str) -> float | None:
    """A value of the last line, such as ``Inference timings in us: Init: 255, First inference: 18475, ...``."""
    for line in lines:
        if FINALLY.match(line.text) and (found := re.search(rf"{name}: ({NUMBER})", line.text)):
            return number(found[1])
    return None


def _memory(lines: list[LogLine]) -> dict[str, float | None]:
    """By field of BenchmarkOutput; the line was renamed twice."""
    memory: dict[str, float | None] = {"init_mb": None, "overall_mb": None, "peak_mb": None}
    for line in lines:
        if MEMORY.match(line.text):
            memory |= {f"{name}_mb": number(at) for name, at in re.findall(rf"(init|overall)=({NUMBER})", line.text)}
        elif found := OLD_MEMORY.match(line.text):
            memory["init_mb" if found[1] == "Init Phase" else "overall_mb"] = number(found[2])
        elif found := PEAK_MEMORY.match(line.text):
            memory["peak_mb"] = number(found[1])
    return memory


def _delegates(lines: list[LogLine]) -> Iterator[AppliedDelegate]:
    for line in lines:
        if found := APPLIED.match(line.text):
            yield AppliedDelegate(found[1], "all" if found[2] == "completely" else "part")
        elif found := NOT_APPLIED.match(line.text):
            yield AppliedDelegate(found[1], "nothing")


def _left_to_cpu(lines: list[LogLine], delegates: tuple[AppliedDelegate, ...]) -> LeftToCpu | None:
    """The operators that the GPU did not take: the list under its complaint, and the counts, in either form."""
    operators: list[str] = []
    count = of = None
    listing = False
    for line in lines:
        if divided := DIVIDED.match(line.text):
            count, of = int(divided[2]), int(divided[1]) + int(divided[2])
        elif (replaced := REPLACED.search(line.text)) and "gpu" in replaced[3].lower():
            count, of = int(replaced[2]) - int(replaced[1]), int(replaced[2])
        if found := UNSUPPORTED.match(line.text):
            listing = found[1].upper() == "GPU"
        elif listing and LISTED.match(line.text) and not DIVIDED.match(line.text):
            operators.append(line.text[:200])
        else:
            listing = False
    partly = any(each.name.upper() == "GPU" and each.took == "part" for each in delegates)
    if not (operators or count or partly):
        return None
    return LeftToCpu(tuple(dict.fromkeys(operators)), count or None, of if count else None)


def _notes(lines: list[LogLine]) -> Iterator[str]:
    """The errors, each with the list of operators that may stand below it."""
    text = ""
    for line in lines:
        if text and not line.severity and LISTED.match(line.text):
            text += f" {line.text}"
            continue
        if text:
            yield text[:300]
        text = line.text if line.is_failure else ""
    if text:
        yield text[:300]


def _xnnpack(lines: list[LogLine]) -> bool | None:
    if any(XNNPACK_CREATED.search(line.text) for line in lines):
        return True
    asked = [found[1] for line in lines if (found := XNNPACK_ASKED.match(line.text))]
    return False if asked and asked[-1] in ("0", "false") else None  # that it was asked for does not make it so
