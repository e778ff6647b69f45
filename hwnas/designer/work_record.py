"""What a design keeps of its work in the run folder: the networks that it derived, and the seconds that it took."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from hwnas.designer.config import DesignProgress
from hwnas.errors import HwnasError
from hwnas.files import read_json, write_json
from hwnas.searches.derivation import Derivation
from hwnas.searches.result import SearchResult
from hwnas.train import distributed

DERIVED_FILE, SECONDS_FILE = "derived.json", "seconds.json"
WRITTEN_EVERY_S = 10.0
"""So many seconds of work are lost to the report at most when a run is killed."""

Json = dict[str, Any]


def as_derived_before(folder: Path, results: Sequence[SearchResult]) -> list[SearchResult]:
    """The results with the networks that this run derived when it came so far before: measured anew, others might be
    taken, which would be trained anew. A file that is damaged is written again."""
    path, budgets = folder / DERIVED_FILE, [each.problem.budget for each in results]

    def known() -> list[Json]:
        with suppress(HwnasError, KeyError, TypeError, ValueError):
            found: list[Json] = read_json(path, "the derived networks")["derived"]
            if [each["budget_ms"] for each in found] == [budget.budget_ms for budget in budgets]:
                for each in found:
                    budgets[0].space.decode(each["code"])
                    Derivation(**(each["derivation"] or {"budget_share": 0.0}))
                return found
        derived = [
            {
                "budget_ms": budget.budget_ms,
                "code": budget.space.indices(each.architecture),
                "derivation": each.derivation and each.derivation.to_json(),
            }
            for budget, each in zip(budgets, results, strict=True)
        ]
        write_json(path, {"derived": derived})
        return derived

    return [
        replace(
            result,
            architecture=result.problem.budget.space.decode(each["code"]),
            derivation=each["derivation"] and Derivation(**each["derivation"]),
        )
        for result, each in zip(results, distributed.from_first(known), strict=True)
    ]


class Clock:
    """The seconds of all the work on a run, also of what was stopped; kept in its folder.

    Args:
        folder: the run's.
        started: by ``time.perf_counter``, when the work on it began this time.
    """

    def __init__(self, folder: Path, started: float) -> None:
        self._path, self._started, self._written = folder / SECONDS_FILE, started, started
        self._before = 0.0
        with suppress(HwnasError, KeyError, TypeError, ValueError):
            self._before = float(read_json(self._path, "the seconds")["seconds"])

    @property
    def seconds(self) -> float:
        return self._before + time.perf_counter() - self._started

    def write(self) -> None:
        """Write them down, by the first process."""
        if distributed.rank() == 0:
            write_json(self._path, {"seconds": self.seconds})
        self._written = time.perf_counter()

    def ticking(self, report: DesignProgress) -> DesignProgress:
        """A progress that writes the seconds down now and then."""

        def ticked(stage: str, done: int, total: int, text: str) -> None:
            if time.perf_counter() - self._written > WRITTEN_EVERY_S:
                self.write()
            report(stage, done, total, text)

        return ticked
