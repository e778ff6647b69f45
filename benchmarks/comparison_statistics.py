"""Do the statistics of `hwnas evaluate` keep their promises? Simulated studies, where the truth is known.

    python benchmarks/comparison_statistics.py [--studies 20000]

Two groups of n runs each, unequally spread, of a true relative improvement of 1 %: how often does Welch's 95 % interval
hold it? Two groups of one distribution: how often is the exact permutation test below 0.05, where its steps allow 0.05
at most? And how often does a study show the smallest improvement that it says it can show? Aims: 93 to 97 %; at most
0.05; 80 %.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
from common import show

from hwnas.evaluation.statistics import detectable_effect, improvement_interval, least_p, permutation_p

RUNS = (3, 5, 8)
LEVEL = 0.05


def simulate(n: int, studies: int) -> dict[str, float]:
    rng = np.random.default_rng(n)
    covered = wrong = shown = 0
    for _ in range(studies):
        low, high = improvement_interval(rng.normal(90.9, 0.3, n).tolist(), rng.normal(90, 0.5, n).tolist())  # type: ignore[misc]
        covered += low <= 1 <= high
        wrong += permutation_p(rng.normal(90, 1, n).tolist(), rng.normal(90, 1, n).tolist()) <= LEVEL
        better = rng.normal(90 + detectable_effect(n, n), 1, n)
        low, high = improvement_interval(better.tolist(), rng.normal(90, 1, n).tolist())  # type: ignore[misc]
        shown += low > 0
    possible = math.floor(LEVEL / least_p(n, n) + 1e-9) * least_p(n, n)
    return {
        "runs": n,
        "coverage": covered / studies,
        "permutation size": wrong / studies,
        "size possible": possible,
        "power at the smallest RI": shown / studies,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=20_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    show("simulated studies", [simulate(n, options.studies) for n in RUNS], options.json, studies=options.studies)


if __name__ == "__main__":
    main()
