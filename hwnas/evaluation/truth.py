"""The Truth: published accuracies of a space's networks, by which the regret of a search is known."""

from __future__ import annotations

import csv
import gzip
import math
from dataclasses import dataclass, field
from pathlib import Path

from hwnas.errors import HwnasError
from hwnas.foreign import read_bytes
from hwnas.latency.budget import Budget
from hwnas.space import Architecture, SearchSpace

CODE, ACCURACY = "code", "accuracy"
MOST_BYTES = 2**28


@dataclass(eq=False)
class Truth:
    """Accuracies in percent by code.

    Attributes:
        path: of the file.
        accuracies: of each code; the last row counts.
    """

    path: Path
    accuracies: dict[str, float]
    _best: dict[tuple[str, float], float] = field(default_factory=dict)
    _by_digest: dict[SearchSpace, dict[str, float]] = field(default_factory=dict)

    @staticmethod
    def read(path: Path) -> Truth:
        """Read a CSV, perhaps gzipped, with the columns ``code`` and ``accuracy``. Raises HwnasError for another."""
        content = read_bytes(path, "the published accuracies", MOST_BYTES)
        try:
            text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
            rows = list(csv.DictReader(text.splitlines()))
            found = {row[CODE]: float(row[ACCURACY]) for row in rows}
        except (OSError, EOFError, UnicodeDecodeError, KeyError, TypeError, ValueError, csv.Error) as error:
            raise HwnasError(
                f"{path} holds no published accuracies ({type(error).__name__}: {error}): it must be a CSV with the "
                f"columns {CODE!r}, a code of the space, and {ACCURACY!r}, in percent."
            ) from None
        if not found or not all(map(math.isfinite, found.values())):
            raise HwnasError(f"{path} holds no published accuracies, or one that is no number; restore it.")
        return Truth(path, found)

    def regret(self, budget: Budget, architecture: Architecture) -> float | None:
        """Points between the best published network within a budget and this one; None where it is not published."""
        space = budget.space
        if space not in self._by_digest:  # codes of one network are one
            self._by_digest[space] = {space.decode(code).digest: value for code, value in self.accuracies.items()}
        known, best = self._by_digest[space].get(architecture.digest), self._best_within(budget)
        return None if known is None or best is None else best - known

    def _best_within(self, budget: Budget) -> float | None:
        key = budget.predictor.digest, budget.budget_ms
        if key not in self._best:
            networks = [budget.space.decode(code) for code in self.accuracies]
            within = budget.are_within(networks)
            held = [a for a, fits in zip(self.accuracies.values(), within, strict=True) if fits]
            self._best[key] = max(held, default=math.nan)
        return None if math.isnan(self._best[key]) else self._best[key]
