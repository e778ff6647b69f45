"""Whole networks of public tables: a predictor is fitted on some and judged on others, with no block measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from accuracy.scores import MAX_TEST, NORMAL_90, mape, mean_scores, relative_least_squares, scores

from hwnas.errors import UsageError
from hwnas.latency.fitting.fit import MIN_NETWORKS, fit
from hwnas.latency.tables.table import Latency, LatencyTable
from hwnas.space import Architecture, SearchSpace
from hwnas.spaces import get_space

CODE_COLUMNS = {"nas-bench-201": ("nb201_arch_str", "arch_str"), "fbnet": ("arch_ops",)}
"""The columns that hold a space's codes, in this order of preference."""

MIN_MS = 0.5
"""Rows below are no working networks: 273 cells without a path take 3 us in HW-NAS-Bench's Pixel 3 column."""


@dataclass(frozen=True, eq=False)
class Networks:
    """Codes of a space with their measured ms."""

    space: SearchSpace
    codes: np.ndarray
    ms: np.ndarray
    dropped: int


def load_networks(path: Path | str, space: str, column: str, min_ms: float = MIN_MS) -> Networks:
    """The rows of a table that hold a code of `space` and a latency of at least `min_ms` in `column`.

    Raises:
        UsageError: the space has no public table, or the file lacks the column.
    """
    if space not in CODE_COLUMNS:
        raise UsageError(f"no public table is known for space {space!r}; known: {', '.join(CODE_COLUMNS)}.")
    frame = pd.read_csv(path)
    codes = next((name for name in CODE_COLUMNS[space] if name in frame), None)
    if codes is None or column not in frame:
        raise UsageError(
            f"{path} must have the column {column!r} and one of {', '.join(CODE_COLUMNS[space])}; it has "
            f"{', '.join(frame.columns)}."
        )
    frame = frame[frame[codes].notna() & frame[column].notna()]
    kept = frame[frame[column] >= min_ms]
    return Networks(get_space(space), kept[codes].to_numpy(), kept[column].to_numpy(float), len(frame) - len(kept))


def evaluate_networks(
    path: Path | str, space: str, column: str, train: int, seeds: int = 5, min_ms: float = MIN_MS
) -> dict[str, float]:
    """Mean figures over random splits: `train` networks to fit on, at most 4,000 of the rest to judge on.

    `baseline_mape` is a plain table: a number per decision and candidate, by least squares of the relative error of the
    same networks. `dropped` counts rows below `min_ms`.
    """
    networks = load_networks(path, space, column, min_ms)
    if not MIN_NETWORKS <= train < len(networks.ms):
        raise UsageError(
            f"--train must be at least {MIN_NETWORKS} and less than the {len(networks.ms)} networks of {path}, not "
            f"{train}."
        )
    results = [_evaluate(networks, train, seed) for seed in range(seeds)]
    n_test = min(MAX_TEST, len(networks.ms) - train)
    return mean_scores(results) | {"n_train": train, "n_test": n_test, "dropped": networks.dropped}


def _evaluate(networks: Networks, train: int, seed: int) -> dict[str, float]:
    order = np.random.default_rng(seed).permutation(len(networks.ms))
    seen, unseen = order[:train], order[train:][:MAX_TEST]
    architectures = {i: networks.space.decode(networks.codes[i]) for i in (*seen, *unseen)}
    table = LatencyTable()
    for i in seen:
        ms = float(networks.ms[i])
        table.networks[architectures[i]] = Latency(ms, ms, ms, 1, 0.0)
    predictions = fit(table, networks.space).predict_many([architectures[i] for i in unseen])
    predicted_ms = np.array([prediction.ms for prediction in predictions])
    relative_std = np.array([prediction.high_ms / prediction.ms - 1 for prediction in predictions]) / NORMAL_90
    chosen = _one_hot(networks.space, [architectures[i] for i in (*seen, *unseen)])
    plain_ms = chosen[train:] @ relative_least_squares(chosen[:train], networks.ms[seen])
    figures = scores(networks.ms[unseen], predicted_ms, relative_std)
    return figures | {"baseline_mape": mape(networks.ms[unseen], plain_ms)}


def _one_hot(space: SearchSpace, architectures: list[Architecture]) -> np.ndarray:
    """(networks, 1 + candidates of all decisions): which candidate was chosen, and a 1."""
    codes = np.array([space.indices(architecture) for architecture in architectures])
    sizes = [len(decision.candidates) for decision in space.decisions]
    columns = [codes[:, [d]] == np.arange(size) for d, size in enumerate(sizes)]
    return np.hstack([*columns, np.ones((len(codes), 1))]).astype(float)
