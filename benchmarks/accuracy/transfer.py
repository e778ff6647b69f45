"""A new device from few samples: its latencies from other devices' of the same networks, and a handful of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from accuracy.scores import MAX_TEST, mape, mean_scores, relative_least_squares, scores

from hwnas.errors import UsageError
from hwnas.latency.fitting.transfer import Transfer, informative_networks

SIZES = ("flops", "size_bytes")
"""What is known of a network besides its latencies."""

SUFFIX = "_mean_us"

POOL = 500
"""Per seed, the samples are chosen among so many networks at random: those that one could measure."""


def load_devices(path: Path | str, devices: Sequence[str]) -> tuple[np.ndarray, np.ndarray | None]:
    """Latencies (networks, devices) in ms and sizes (networks, 2), None if the file has none; complete rows only.

    A device is a column, with or without its suffix ``_mean_us``. Raises UsageError if the file lacks one.
    """
    frame = pd.read_csv(path)
    columns = [name if name in frame else name + SUFFIX for name in devices]
    missing = [name for name in columns if name not in frame]
    if missing:
        known = ", ".join(name.removesuffix(SUFFIX) for name in frame if name.endswith(SUFFIX))
        raise UsageError(f"{path} lacks the columns {', '.join(missing)}; it has the devices {known}.")
    has_sizes = all(name in frame for name in SIZES)
    wanted = frame[[*columns, *(SIZES if has_sizes else ())]].astype(float)
    wanted = wanted[(wanted > 0).all(axis=1)]
    to_ms = np.array([1e-3 if name.endswith("_us") else 1.0 for name in columns])
    return wanted[columns].to_numpy() * to_ms, wanted[list(SIZES)].to_numpy() if has_sizes else None


def evaluate_transfer(
    path: Path | str, target: str, sources: Sequence[str], samples: int, seeds: int = 5
) -> dict[str, float]:
    """Mean figures over seeds: `samples` networks of the target, chosen for what they teach, then all others judged.

    `random_mape` is the same with networks chosen at random, and `baseline_mape` a plain linear map of the sources'
    latencies, fitted on the relative error of the same random networks.
    """
    latencies, sizes = load_devices(path, [target, *sources])
    target_ms, source_ms = latencies[:, 0], latencies[:, 1:]
    if len(target_ms) < samples + 1:
        raise UsageError(f"{path} holds {len(target_ms)} networks, too few to fit {samples} and judge on others.")
    results = [_evaluate(target_ms, source_ms, sizes, samples, seed) for seed in range(seeds)]
    return mean_scores(results) | {"n_train": samples, "n_test": min(MAX_TEST, len(target_ms) - samples)}


def _evaluate(
    target_ms: np.ndarray, source_ms: np.ndarray, sizes: np.ndarray | None, samples: int, seed: int
) -> dict[str, float]:
    pool = np.random.default_rng(seed).permutation(len(target_ms))[: max(POOL, samples)]
    choice = informative_networks(source_ms[pool], samples, None if sizes is None else sizes[pool], seed)
    chosen, at_random = pool[choice], pool[:samples]

    def predict(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        unseen = np.setdiff1d(np.arange(len(target_ms)), rows)[:MAX_TEST]
        transfer = Transfer.fit(source_ms, rows, target_ms[rows], sizes)
        predicted_ms, relative_std = transfer.predict(source_ms, sizes)
        return unseen, predicted_ms[unseen], relative_std[unseen]

    linear = np.column_stack([source_ms, np.ones(len(source_ms))])
    plain_ms = linear @ relative_least_squares(linear[at_random], target_ms[at_random])
    unseen, predicted_ms, relative_std = predict(chosen)
    others, random_ms, _ = predict(at_random)
    return scores(target_ms[unseen], predicted_ms, relative_std) | {
        "random_mape": mape(target_ms[others], random_ms),
        "baseline_mape": mape(target_ms[others], plain_ms[others]),
    }
