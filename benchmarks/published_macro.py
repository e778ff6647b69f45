"""NAS-Bench-Macro as a ground truth: the published accuracy and the latency here of every distinct network."""

from __future__ import annotations

import csv
import gzip
from dataclasses import dataclass
from functools import cache

from common import SHARED_DATA

from hwnas.latency.additive import AdditivePredictor
from hwnas.spaces import get_space

TABLE = SHARED_DATA / "nas_bench_macro.csv.gz"
FULL = get_space("nas-bench-macro")


@dataclass(frozen=True)
class Network:
    """One distinct network of the benchmark."""

    code: str
    accuracy: float
    """Percent, mean of three seeds."""
    ms: float


@cache
def published_accuracies() -> dict[str, float]:
    """Published accuracy in percent of each of the 6,561 codes."""
    if not TABLE.is_file():
        raise SystemExit(f"skipped: there is no {TABLE.name} in ../shared/data")
    with gzip.open(TABLE, "rt") as file:
        return {row["arch"]: float(row["mean_acc_pct"]) for row in csv.DictReader(file)}


def ground_truth(predictor: AdditivePredictor) -> dict[str, Network]:
    """Every distinct network by its digest. Codes that build the same network share one entry."""
    rows = published_accuracies()
    architectures = {FULL.decode(code).digest: FULL.decode(code) for code in sorted(rows, reverse=True)}
    predictions = predictor.predict_many(list(architectures.values()))
    return {
        digest: Network(architecture.code, rows[architecture.code], prediction.ms)
        for (digest, architecture), prediction in zip(architectures.items(), predictions, strict=True)
    }


def at_percentile(networks: dict[str, Network], percentile: float) -> float:
    """The latency in ms that so many percent of the distinct networks have at most."""
    ordered = sorted(network.ms for network in networks.values())
    return ordered[int(percentile * len(ordered) / 100)]
