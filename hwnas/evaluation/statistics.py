"""Two groups of runs compared: relative improvement, its interval, exact tests, and what so few runs can show at all.

"NAS evaluation is frustratingly hard" (Yang, Esperança, Carlucci; ICLR 2020) compares a method's networks with random
ones of the same space, trained alike. Its relative improvement comes here with what a few runs need to be read: Welch's
interval (a percentile bootstrap is too narrow for so few), a permutation test that assumes nothing about the
distribution, and Holm's correction, since many comparisons find something by chance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from statistics import fmean, variance
from typing import Any

import numpy as np

from hwnas.errors import UsageError

CONFIDENCE, POWER = 0.95, 0.8
"""Of intervals and tests; and how often the smallest improvement that can be shown is shown."""
MOST_PERMUTATIONS = 200_000
"""Up to so many divisions into two groups all are tried (10 runs against 10: 184,756); beyond, as many random ones."""
ROUNDING = 1e-9
"""Of the sum of all values: what is closer together is equal."""


@dataclass(frozen=True)
class Comparison:
    """A group of runs against a baseline's. Numbers that so few runs do not give are None.

    Attributes:
        relative_improvement: percent; see `relative_improvement`. NaN, in JSON null, for a baseline of mean 0.
        interval: percent, Welch's 95 %; None with a single run in a group.
        p: of a two-sided exact permutation test of the means.
        least_p: the smallest p that so many runs can have.
        superiority: the probability that a run of this group is better than one of the baseline's.
        smallest_improvement: percent; the smallest one that so many runs show in 80 of 100 studies.
    """

    relative_improvement: float
    interval: tuple[float, float] | None
    p: float
    least_p: float
    superiority: float
    smallest_improvement: float | None

    @staticmethod
    def of(runs: Sequence[float], baseline: Sequence[float]) -> Comparison:
        """Compare accuracies, in any one unit. Raises UsageError where a group is empty or a number is not finite."""
        for group in (runs, baseline):
            if not len(group) or not all(map(math.isfinite, group)):
                raise UsageError(f"a comparison takes one run or more per group, all of them finite, not {group!r}.")
        return Comparison(
            relative_improvement(runs, baseline),
            improvement_interval(runs, baseline),
            permutation_p(runs, baseline),
            least_p(len(runs), len(baseline)),
            superiority(runs, baseline),
            smallest_improvement(runs, baseline),
        )

    def to_json(self) -> dict[str, Any]:
        data = asdict(self) | {"interval": None if self.interval is None else list(self.interval)}
        return {name: None if value != value else value for name, value in data.items()}


def relative_improvement(runs: Sequence[float], baseline: Sequence[float]) -> float:
    """RI in percent: ``100 (mean(runs) - mean(baseline)) / mean(baseline)``. NaN for a baseline of mean 0."""
    mean = fmean(baseline)
    return 100 * (fmean(runs) - mean) / mean if mean else math.nan


def improvement_interval(runs: Sequence[float], baseline: Sequence[float]) -> tuple[float, float] | None:
    """Welch's 95 % interval of the relative improvement in percent; None where a group has a single run.

    That of the difference of the means (unequal variances), divided by the baseline's mean, whose own error matters by
    the factor RI: nothing.
    """
    from scipy.stats import t

    if min(len(runs), len(baseline)) < 2 or not fmean(baseline):
        return None
    parts = [variance(group) / len(group) for group in (runs, baseline)]
    middle = relative_improvement(runs, baseline)
    if not (total := sum(parts)):
        return middle, middle
    freedom = total**2 / sum(part**2 / (len(group) - 1) for part, group in zip(parts, (runs, baseline), strict=True))
    half = 100 * float(t.ppf((1 + CONFIDENCE) / 2, freedom)) * math.sqrt(total) / abs(fmean(baseline))
    return middle - half, middle + half


def permutation_p(runs: Sequence[float], baseline: Sequence[float]) -> float:
    """Of a two-sided permutation test of the means: exact up to `MOST_PERMUTATIONS` divisions, then by random ones.

    Accuracies are counts of images, so that many divisions are exactly as far apart as the observed one. They count as
    such, whatever the rounding of their sums: an uncounted tie makes p too small.
    """
    pooled = np.asarray([*runs, *baseline], float)
    pooled -= pooled.mean()
    size, count = len(pooled), len(runs)
    exact = math.comb(size, count) <= MOST_PERMUTATIONS
    if exact:
        chosen = np.array(list(combinations(range(size), count)))
    else:
        rng = np.random.default_rng(0)
        chosen = rng.permuted(np.tile(np.arange(size), (MOST_PERMUTATIONS, 1)), axis=1)[:, :count]
    sums = np.abs(pooled[chosen].sum(axis=1))  # of the centred values: in proportion to the difference of the means
    as_far = int(np.sum(sums >= abs(pooled[:count].sum()) - ROUNDING * np.abs(pooled).sum()))
    return as_far / len(sums) if exact else (as_far + 1) / (len(sums) + 1)


def least_p(runs: int, baseline: int) -> float:
    """The smallest p of a two-sided permutation test: 3 runs against 3 cannot be below 0.1."""
    divisions = math.comb(runs + baseline, runs)
    if divisions > MOST_PERMUTATIONS:
        return 1 / (MOST_PERMUTATIONS + 1)
    return min(1.0, (2 if runs == baseline else 1) / divisions)


def superiority(runs: Sequence[float], baseline: Sequence[float]) -> float:
    """The probability that a run is better than one of the baseline's, ties counted half (Vargha, Delaney 2000: A)."""
    first, second = np.asarray(runs)[:, None], np.asarray(baseline)[None, :]
    return float(np.mean((first > second) + 0.5 * (first == second)))


def smallest_improvement(runs: Sequence[float], baseline: Sequence[float]) -> float | None:
    """The smallest RI in percent that as many runs, spread as these, show: at 0.05, in 80 of 100 studies.

    By the power of Student's t test, whose quantiles for few runs are wider than the normal ones. None where the spread
    is not known.
    """
    if len(runs) + len(baseline) < 4 or not fmean(baseline):
        return None
    groups = [group for group in (runs, baseline) if len(group) > 1]
    freedom = sum(len(group) - 1 for group in groups)
    spread = math.sqrt(sum((len(group) - 1) * variance(group) for group in groups) / freedom)
    return 100 * detectable_effect(len(runs), len(baseline)) * spread / abs(fmean(baseline))


def detectable_effect(runs: int, baseline: int) -> float:
    """The difference of means, in standard deviations, that Student's two-sided t test at 0.05 shows with `POWER`."""
    from scipy.optimize import brentq
    from scipy.stats import nct, t

    freedom = runs + baseline - 2
    critical = float(t.ppf((1 + CONFIDENCE) / 2, freedom))
    needed = brentq(lambda shift: float(nct.sf(critical, freedom, shift)) - POWER, 0.0, 100.0)
    return float(needed) * math.sqrt(1 / runs + 1 / baseline)


def without_seeds(values: Mapping[tuple[str, int], float]) -> dict[tuple[str, int], float]:
    """The values less what their seeds add to everything: subject plus seed plus the rest, by least squares.

    The seeds of a study divide the images: in some divisions all networks get more validation images right than in
    others, and few networks are trained with every seed.

    Args:
        values: by subject and seed; subjects with several seeds tell what seeds add.
    """
    subjects, seeds = sorted({subject for subject, _ in values}), sorted({seed for _, seed in values})
    rows = np.zeros((len(values), len(subjects) + len(seeds)))
    for row, (subject, seed) in zip(rows, values, strict=True):
        row[subjects.index(subject)] = row[len(subjects) + seeds.index(seed)] = 1
    added = np.linalg.lstsq(rows, np.fromiter(values.values(), float), rcond=None)[0][len(subjects) :]
    more = dict(zip(seeds, (added - added.mean()).tolist(), strict=True))
    return {key: round(value - more[key[1]], 9) for key, value in values.items()}  # rounded: what was equal stays so


def holm(p_values: Sequence[float]) -> list[float]:
    """The p values corrected for their number (Holm 1979), in the same order: none below its own, none above 1."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    corrected, most = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        most = max(most, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = most
    return corrected
