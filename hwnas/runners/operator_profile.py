"""The OperatorProfile: the time of each operator of a model, from ``benchmark_model``'s table of them.

Facts on the table: ``tsl/util/stats_calculator.cc`` at several versions. Times are per call, and XNNPACK runs some
kernels several times per inference under one name: only their product adds up to the inference.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from hwnas.errors import HwnasError
from hwnas.runners.benchmark_output import NUMBER, number
from hwnas.runners.program_log import LogLine, log_lines

SECTION = "Operator-wise Profiling Info for Regular Benchmark Runs"
"""The heading of the table of the timed runs. Another table, of the initialisation, comes first."""
RUN_ORDER = "Run Order"
"""The title of the one table, of several with the same rows, that holds all of them once and in order."""


@dataclass(frozen=True)
class OperatorTime:
    """One row: an operator, or all that a delegate took where it tells no more (GPU, NNAPI)."""

    type: str
    """``CONV_2D``, ``Convolution (NHWC, F32) IGEMM`` (XNNPACK's kernel), ``TfLiteGpuDelegateV2``."""
    name: str
    average_ms: float
    """Of one call, to the microsecond: 0 for less."""
    percent: float
    """Of all operators."""
    times_called: int
    """Per inference."""

    @property
    def per_inference_ms(self) -> float:
        return self.average_ms * self.times_called


@dataclass(frozen=True)
class OperatorProfile:
    """Where the time of one model goes. Profiling itself takes time: shares are from a run with it, latency is not."""

    operators: tuple[OperatorTime, ...]
    """In the order in which they run."""
    profiled_ms: float
    """Mean inference of the run with profiling."""
    inference_ms: float
    """The same of a run without."""

    @property
    def operators_ms(self) -> float:
        """All operators together."""
        return sum(operator.per_inference_ms for operator in self.operators)

    @property
    def outside_percent(self) -> float:
        """How much of the profiled inference lies in no operator."""
        return 100 * (1 - self.operators_ms / self.profiled_ms)

    @property
    def profiling_percent(self) -> float:
        """How much longer an inference took because it was profiled; noise makes this negative at times."""
        return 100 * (self.profiled_ms / self.inference_ms - 1)

    def to_json(self) -> dict[str, Any]:
        """The operators and their sums."""
        names = ("inference_ms", "profiled_ms", "operators_ms", "outside_percent", "profiling_percent")
        return {name: getattr(self, name) for name in names} | {
            "operators": [asdict(operator) for operator in self.operators]
        }


def parse_operators(text: str) -> tuple[OperatorTime, ...]:
    """Read the table of the timed runs from a launch with ``--enable_op_profiling``, or from the CSV file it wrote.

    Columns are found by their headings: builds before 2022 have one more. Raises HwnasError if there is no table, or
    one of its rows is none.
    """
    lines = iter(log_lines(text))
    for line in lines:
        if SECTION in line.text:
            break
    else:  # builds of 2019 print no heading, and only one table
        lines = iter(log_lines(text))
    rows = tuple(_rows(lines))
    if not rows:
        raise HwnasError(
            f"benchmark_model printed no table of operators (under {SECTION!r}): its build has no profiling, or the "
            "model holds none."
        )
    return rows


def _rows(lines: Iterator[LogLine]) -> Iterator[OperatorTime]:
    for line in lines:
        if line.text.startswith("===") and RUN_ORDER in line.text:
            break
    heading = next(lines, None)
    if heading is None:
        return
    as_csv = heading.text.lower().startswith("node type,")
    titles = [_title(cell) for cell in (heading.text.split(", ") if as_csv else _cells(heading.text, 0))]
    if titles[:1] != ["node type"] or titles[-1:] != ["name"] or not {"avg ms", "%", "times called"} <= {*titles}:
        raise HwnasError(f"benchmark_model's table of operators has unknown columns: {heading.text[:200]!r}")
    for line in lines:
        if not line.text.strip():
            return
        yield _row((_csv_cells if as_csv else _cells)(line.text, len(titles)), titles, line.text)


def _row(cells: list[str], titles: list[str], line: str) -> OperatorTime:
    values = dict(zip(titles, cells, strict=False))
    try:
        times_called = number(values["times called"])
        average_ms, percent = number(values["avg ms"]), number(values["%"].rstrip("%"))
        if min(times_called, average_ms, percent) < 0:
            raise HwnasError("a time below 0 is none.")
    except (KeyError, HwnasError) as error:
        raise HwnasError(
            f"a row of benchmark_model's table of operators is damaged ({error}): {line[:200]!r}"
        ) from None
    return OperatorTime(cells[0], values.get("name", ""), average_ms, percent, int(times_called))


def _title(cell: str) -> str:
    """A column's heading; text and CSV spell it differently."""
    return cell.strip().strip("[]").replace("_", " ").lower()


def _cells(line: str, columns: int) -> list[str]:
    """The cells of a text table: kept apart by tabs, or, where these were lost in copying, by several spaces."""
    text = line.strip()
    cells = text.split("\t", columns - 1) if "\t" in text else re.split(r"\s{2,}", text, maxsplit=max(columns - 1, 0))
    return [cell.strip() for cell in cells]


def _csv_cells(line: str, columns: int) -> list[str]:
    """The cells of a CSV line, whose type and name may hold commas too: between them stand numbers only."""
    cells = f"{line} ".split(", ")  # the space: of an empty name only the comma is left
    numbers = columns - 2
    for first in range(1, len(cells) - numbers):
        if all(re.fullmatch(rf"{NUMBER}%?", cell) for cell in cells[first : first + numbers]):
            name = ", ".join(cells[first + numbers :]).strip().replace("\t", ",")  # it writes a name's commas as tabs
            return [", ".join(cells[:first]), *cells[first : first + numbers], name]
    return cells
