"""Blocks that were never measured: a regression fitted on some MBConv of a phone's table is judged on the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from accuracy.scores import MAX_TEST, mape, mean_scores, relative_least_squares, scores

from hwnas.errors import UsageError
from hwnas.latency.fitting.regression import BlockRegression
from hwnas.specs.mbconv import MBConv
from hwnas.specs.spec import Shape, Spec

COLUMNS = ("hw", "cin", "cout", "expand", "stride", "act", "kernel", "se")

SE_RATIO = 0.25
"""The table says that a block has squeeze-and-excitation, not how far it squeezes: MobileNetV3's ratio."""


def load_blocks(path: Path | str, column: str) -> dict[tuple[Spec, Shape], float]:
    """The blocks of a table with their measured ms in `column`; rows without one are left out.

    Raises UsageError if the file lacks a column.
    """
    frame = pd.read_csv(path)
    missing = [name for name in (*COLUMNS, column) if name not in frame]
    if missing:
        raise UsageError(f"{path} lacks the columns {', '.join(missing)}; it has {', '.join(frame.columns)}.")
    frame = frame[frame[column].notna() & (frame[column] > 0)]
    blocks: dict[tuple[Spec, Shape], float] = {}
    for row in frame.to_dict("records"):
        sizes = (int(row[name]) for name in ("cin", "cout", "kernel", "expand", "stride"))
        spec = MBConv(*sizes, activation=row["act"], se_ratio=SE_RATIO * int(row["se"]))
        blocks[spec, (spec.in_channels, int(row["hw"]), int(row["hw"]))] = float(row[column])
    return blocks


def evaluate_blocks(path: Path | str, column: str, train: int, seeds: int = 5) -> dict[str, float]:
    """Mean figures over random splits: `train` blocks to fit on, at most 4,000 of the rest to judge on.

    `baseline_mape` is a plain linear model of MACs, volumes and weights, fitted on the relative error of the same rows.
    """
    blocks = load_blocks(path, column)
    if len(blocks) < train + 1:
        raise UsageError(f"{path} holds {len(blocks)} blocks, too few to fit {train} and judge on others.")
    results = [_evaluate(blocks, train, seed) for seed in range(seeds)]
    return mean_scores(results) | {"n_train": train, "n_test": min(MAX_TEST, len(blocks) - train)}


def _evaluate(blocks: dict[tuple[Spec, Shape], float], train: int, seed: int) -> dict[str, float]:
    known, ms = list(blocks), np.array(list(blocks.values()))
    order = np.random.default_rng(seed).permutation(len(known))
    seen, unseen = order[:train], order[train:][:MAX_TEST]
    regression = BlockRegression.fit({known[i]: float(ms[i]) for i in seen})
    predicted_ms, relative_std = regression.predict_many([known[i] for i in unseen])
    volumes = np.array([_volumes(*block) for block in known])
    plain_ms = volumes[unseen] @ relative_least_squares(volumes[seen], ms[seen])
    return scores(ms[unseen], predicted_ms, relative_std) | {"baseline_mape": mape(ms[unseen], plain_ms)}


def _volumes(spec: Spec, input_shape: Shape) -> list[float]:
    """MACs of the three convolutions, feature maps before and after the depthwise one, weights, and 1."""
    assert isinstance(spec, MBConv)
    _, height, width = input_shape
    _, out_height, out_width = spec.output_shape(input_shape)
    before, after = height * width * spec.hidden_channels, out_height * out_width * spec.hidden_channels
    expansion = spec.in_channels if spec.expand > 1 else 0
    weights = spec.hidden_channels * (expansion + spec.kernel**2 + spec.out_channels)
    return [expansion * before, spec.kernel**2 * after, spec.out_channels * after, before, after, weights, 1]
