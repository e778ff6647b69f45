"""Does DARTS collapse to skips, and is that repaired? Cells of NAS-Bench-201 from supernets that have learnt too long.

    python benchmarks/collapse.py [--seeds 1] [--epochs 120] [--images 500] [--json]

120 epochs on 500 images, of which 150 validate: the weights know the training images by heart, and what has
none, the skip, looks best on the others. What each method takes is looked up in the table of 12-epoch trainings, as in
`benchmarks/cells.py`, whose settings and runs these are: DARTS-PT, and what DARTS would have taken from its supernet;
DARTS-PT from a supernet whose logits stay uniform (`blank`); Cyclic DARTS, whose L1 term on the logits of skips and
pools falls to nothing in the first fifth of the search, as published, or only at its end. Runs that were stopped go on.

The last lines say how many of DARTS's six edges were skips in each quarter of the supernet's training, by the largest
logit.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from statistics import fmean
from typing import Any

import torch
from cells import ANY_MS, CACHE, COPY, SETTINGS, pixel3_predictor, run_seed
from common import show

from hwnas.run import PROBABILITIES_FILE
from hwnas.spaces.nas_bench_201 import OPERATORS

SKIP = OPERATORS.index("skip_connect")
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "darts-pt": ("darts-pt", {}),
    "darts-pt, blank": ("darts-pt", {"blank": True}),
    "cdarts": ("cdarts", {}),
    "cdarts, L1 to the end": ("cdarts", {"l1_ratio": 1.0}),
}
"""Method and settings, by the name that the row has."""
KEPT = ("method", "seed", "code", "skips", "of_edges", "accuracy", "rank", "of", "discretisation_gap", "seconds")


def rows_of(name: str, seed: int, options: argparse.Namespace, predictor: Any) -> list[dict[str, Any]]:
    """What one run takes, with its skips; of DARTS-PT also what DARTS would have taken."""
    method, settings = RUNS[name]
    given = argparse.Namespace(**vars(options), method=method, settings=json.dumps(settings), name=run_name(settings))
    rows = []
    found = run_seed(given, seed, ANY_MS, predictor)
    for row in found[-1:] if settings.get("blank") else found:  # DARTS takes nothing from uniform logits
        code = COPY.indices(COPY.decode(row["code"]))
        row |= {"skips": code.count(SKIP), "of_edges": len(code)}
        row["method"] = name if row["method"] == method else row["method"]
        rows.append({key: row[key] for key in KEPT})
    return rows


def run_name(settings: dict[str, Any]) -> str:
    return "-".join(f"{key}={value:g}" for key, value in settings.items()) or "default"


def skips_over_time(seed: int, options: argparse.Namespace) -> list[float]:
    """Of how many edges a skip is the most probable operator but `none`, the mean in each quarter of its training."""
    folder = CACHE / "cells" / f"darts-pt-default-{seed}-{options.epochs}x{options.images}-{ANY_MS:.4g}ms"
    records = [json.loads(line)["probabilities"] for line in (folder / PROBABILITIES_FILE).read_text().splitlines()]
    records = records[: int(SETTINGS["darts-pt"]["supernet"] * len(records))]
    counts = [sum(max(range(1, 5), key=edge.__getitem__) == SKIP for edge in edges) for edges in records]
    return [fmean(counts[len(counts) * quarter // 4 : len(counts) * (quarter + 1) // 4]) for quarter in range(4)]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=120)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--runs", default="; ".join(RUNS), help="some of them, separated by semicolons")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    predictor, seeds = pixel3_predictor(), range(options.seeds)
    names = [name.strip() for name in options.runs.split(";")]
    rows = [row for name in names for seed in seeds for row in rows_of(name, seed, options, predictor)]
    facts: dict[str, Any] = {}
    for name in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == name]
        share = fmean(row["skips"] / row["of_edges"] for row in own)
        facts[name] = f"{share:.0%} skips, mean accuracy {fmean(row['accuracy'] for row in own):.2f} %"
    for seed in seeds if "darts-pt" in names else ():
        quarters = ", ".join(f"{skips:.1f}" for skips in skips_over_time(seed, options))
        facts[f"skips of DARTS, seed {seed}, by quarter"] = quarters
    show(f"skips after {options.epochs} epochs on {options.images} images", rows, options.json, **facts)


if __name__ == "__main__":
    main()
