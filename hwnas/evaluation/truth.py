"""The Truth: published accuracies of a space's networks, by which the regret of a search is known."""

from __future__ import annotations

import gzip
import io
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from hwnas.errors import HwnasError
from hwnas.foreign import decoded, parse_csv, read_bytes
from hwnas.latency.budget import Budget
from hwnas.space import Architecture, SearchSpace
from hwnas.text import excerpt

CODE, ACCURACY = "code", "accuracy"
MOST_BYTES = 2**28


@dataclass(eq=False)
class Truth:
    """Accuracies in percent by code.

    Attributes:
        path: of the file.
        accuracies: of each code.
    """

    path: Path
    accuracies: dict[str, float]
    _best: dict[tuple[str, float], float] = field(default_factory=dict)
    _networks: dict[SearchSpace, list[Architecture]] = field(default_factory=dict)
    _by_digest: dict[SearchSpace, dict[str, float]] = field(default_factory=dict)

    @staticmethod
    def read(path: Path) -> Truth:
        """Read a CSV, perhaps gzipped, with the columns ``code`` and ``accuracy``.

        Raises HwnasError for another, for a code that is there twice, and for an accuracy that is no percentage.
        """
        content = read_bytes(path, "the published accuracies", MOST_BYTES)
        try:
            rows = parse_csv(decoded(_unpacked(content) if path.suffix == ".gz" else content))
            return Truth(path, _accuracies(rows))
        except ValueError as error:
            raise HwnasError(
                f"{path} holds no published accuracies ({error}): it must be a CSV with the columns {CODE!r}, a code "
                f"of the space, and {ACCURACY!r}, in percent."
            ) from None

    def networks(self, space: SearchSpace) -> list[Architecture]:
        """The networks, in the order of the accuracies. Raises HwnasError for a code that is none of the space."""
        if space not in self._networks:
            try:
                self._networks[space] = [space.decode(code) for code in self.accuracies]
            except HwnasError as error:
                raise HwnasError(
                    f"{self.path} holds other accuracies than of space {space.name!r}: {error} Correct the code, or "
                    "name the file of this space."
                ) from None
        return self._networks[space]

    def regret(self, budget: Budget, architecture: Architecture) -> float | None:
        """Points between the best published network within a budget and this one; None where it is not published."""
        space = budget.space
        known, best = self._by_network(space).get(architecture.digest), self._best_within(budget)
        return None if known is None or best is None else best - known

    def _by_network(self, space: SearchSpace) -> dict[str, float]:
        """The accuracies by digest: of the codes of one network the mean, since each was trained by itself."""
        if space not in self._by_digest:
            found: dict[str, list[float]] = {}
            for network, accuracy in zip(self.networks(space), self.accuracies.values(), strict=True):
                found.setdefault(network.digest, []).append(accuracy)
            self._by_digest[space] = {digest: fmean(accuracies) for digest, accuracies in found.items()}
        return self._by_digest[space]

    def _best_within(self, budget: Budget) -> float | None:
        key = budget.predictor.digest, budget.budget_ms
        if key not in self._best:
            networks, accuracies = self.networks(budget.space), self._by_network(budget.space)
            held = [accuracies[a.digest] for a, fits in zip(networks, budget.are_within(networks), strict=True) if fits]
            self._best[key] = max(held, default=math.nan)
        return None if math.isnan(self._best[key]) else self._best[key]


def _unpacked(content: bytes) -> bytes:
    """The content of a gzip file, of which a small one can hold a large one. Raises ValueError if it is damaged."""
    try:
        with gzip.open(io.BytesIO(content)) as file:
            found = file.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"it is no whole gzip file: {error}") from None
    if len(found) > MOST_BYTES:
        raise ValueError(f"unpacked it has more than {MOST_BYTES:,} bytes")
    return found


def _accuracies(rows: Sequence[tuple[int, Mapping[str, str]]]) -> dict[str, float]:
    """Accuracies by code. Raises ValueError naming the line of one that cannot be right."""
    found: dict[str, float] = {}
    for line, row in rows:
        if CODE not in row or ACCURACY not in row:
            raise ValueError(f"its columns are {', '.join(map(excerpt, row))}")
        code, text = row[CODE], row[ACCURACY]
        try:
            accuracy = float(text) if text.isascii() else math.nan
        except ValueError:
            accuracy = math.nan
        if not 0 <= accuracy <= 100:  # NaN is neither
            raise ValueError(f"line {line}: an accuracy is 0 to 100, not {excerpt(text)}")
        if code in found:
            raise ValueError(f"line {line}: the code {excerpt(code)} is there twice")
        found[code] = accuracy
    if not found:
        raise ValueError("it has no row")
    if max(found.values()) <= 1:
        raise ValueError(f"accuracies are in percent, and none is above {max(found.values()):g}")
    return found
