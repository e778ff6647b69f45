"""Make the latency models that come with hwnas, ``latency_models/DEVICE/PUBLICATION``, from published figures.

    python benchmarks/latency_models.py [--figures ../shared/data/latency] [--out latency_models] [--compare]

Each file of figures is read as `hwnas measure --import` reads it. Where its licence allows that, the figures are kept;
else only what a regression that was fitted to them says of the same blocks. With the same versions and processor the
same bytes come out (some minutes, one thread). ``--compare`` makes nothing and prints what the models that are there
say of known networks against what others measured.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from common import ROOT, SHARED_DATA, show
from latency_model_card import write_model_cards
from threadpoolctl import threadpool_limits

from hwnas.errors import HwnasError
from hwnas.latency.fitting.fit import fit
from hwnas.latency.fitting.ready import rounded, unlike, write_regression
from hwnas.latency.fitting.regression import BlockRegression
from hwnas.latency.predictor import Prediction
from hwnas.latency.tables.imported.import_table import import_table
from hwnas.latency.tables.imported.rows import NORMAL_90
from hwnas.latency.tables.shipped import shipped_tables
from hwnas.latency.tables.table import Latency, LatencyTable
from hwnas.networks import NETWORKS, get_network
from hwnas.space import Architecture, SearchSpace
from hwnas.spaces import SPACES, get_space

DIGITS = 4
"""Of fitted figures."""


@dataclass(frozen=True)
class Figures:
    """One published table: the file of its figures, the phone, the commit they were read at, and whether they may be
    passed on."""

    file: str
    device: str
    commit: str
    passed_on: bool = True


PUBLISHED = (
    Figures("pixel1_single_path.csv", "pixel-1", "21c1f3e"),
    Figures("proxylessnas_pixel1_lut.csv", "pixel-1", "a7c9bcd", passed_on=False),
    Figures("ofa_note10_lut.csv", "galaxy-note10", "a7c9bcd", passed_on=False),
    *(Figures("nnmeter_block_lut.csv.gz", device, "9c31e19") for device in ("pixel-1", "pixel-4", "xiaomi-11")),
)

WITHOUT_NETWORKS = {
    "galaxy-note10": "Once-for-All published networks of 8 to 64 ms on this phone, but their configurations are not in "
    "its repository.",
    "pixel-4": "nn-Meter published 25,621 latencies of networks on this phone, under names that do not say how the "
    "networks are built.",
    "xiaomi-11": "No latencies of whole networks on its CPU were found.",
}
"""Why known networks are not set beside what others measured, by phone."""

KNOWN_FILE = "mobilenets_pixel.csv"
"""What the authors of MobileNetV2 and V3 measured (tensorflow/models, Apache-2.0): a column per phone."""
SEARCHED = {"single-path-published": (79.48, "arXiv 1904.02877"), "proxylessnas-mobile": (78.0, "arXiv 1812.00332")}
"""What the authors of searches measured on a Pixel 1, of the network that they found."""


@dataclass(frozen=True)
class Comparison:
    """A known network, what a model says of it, and what others measured on that phone, if anybody did."""

    network: str
    width: float
    resolution: int
    prediction: Prediction
    measured_ms: float | None
    source: str

    @property
    def error_percent(self) -> float | None:
        return None if self.measured_ms is None else 100 * (self.prediction.ms / self.measured_ms - 1)


def make(published: Figures, figures: Path, out: Path, ready: BlockRegression | None = None) -> Path:
    """Make one model and return its folder.

    Args:
        published: which one.
        figures: the folder of the files of figures.
        out: the folder of all models.
        ready: the regression of the published figures, if it need not be fitted again.
    """
    with tempfile.TemporaryDirectory() as scratch:
        imported = import_table(figures / published.file, published.device, scratch)
    table, folder = imported.table, out / published.device / imported.folder.name
    regression = ready or rounded(BlockRegression.fit({b: row.median_ms for b, row in table.blocks.items()}))
    left_out_percent = regression.model.left_out_percent
    told = table.conditions["imported"]
    told.pop("imported_on")  # nothing here depends on the day
    told |= {"commit": published.commit, "figures": "published" if published.passed_on else "fitted"}
    if not published.passed_on:
        table.conditions["identity"]["figures"] = "fitted"
        fitted = _fitted(table, regression)
        off = np.mean([abs(fitted[block].median_ms / row.median_ms - 1) for block, row in table.blocks.items()])
        told["notes"].append(
            "The licence of the published figures is not stated, so they are not here: these are what a regression "
            f"that was fitted to them says of the same blocks, {100 * off:.1f} % off on average."
        )
        table = LatencyTable(fitted, conditions=table.conditions)
        regression = _refitted(regression)
    table.conditions["shipped"] = {"exact": [], "estimated": []}
    table.save(folder)
    write_regression(regression, table, folder)
    exact = [name for name in SPACES if not table.missing(get_space(name))]
    estimated = [name for name in SPACES if name not in exact and not unlike(table, get_space(name).distinct_blocks())]
    compared, without = compare(table, published.device, figures)
    errors = [abs(each.error_percent) for each in compared if each.error_percent is not None]
    table.conditions["shipped"] = {
        "exact": exact,
        "estimated": estimated,
        "known_networks_error_percent": round(sum(errors) / len(errors), 1) if errors else None,
    }
    table.save(folder)
    reason = WITHOUT_NETWORKS.get(published.device, "")
    write_model_cards(table, folder, compared, without, left_out_percent, reason)
    return folder


def _fitted(table: LatencyTable, regression: BlockRegression) -> dict[Any, Latency]:
    """What the regression says of each block, and how far off it may be."""
    ms, relative_std = regression.predict_many(list(table.blocks))
    found = {}
    for block, each_ms, std in zip(table.blocks, ms, relative_std, strict=True):
        ends = (each_ms * (1 - NORMAL_90 * std), each_ms, each_ms * (1 + NORMAL_90 * std))
        low, middle, high = (float(f"{max(0.0, end):.{DIGITS}g}") for end in ends)
        found[block] = Latency(middle, low, high, runs=1, between_visits_percent=0.0)
    return found


def _refitted(regression: BlockRegression) -> BlockRegression:
    """The regression, of its own figures instead of the published ones."""
    model = regression.model
    ms, _ = model.predict(model.costs, model.places)
    figures_ms = np.array([float(f"{each:.{DIGITS}g}") for each in ms])
    return replace(regression, model=replace(model, measured_ms=figures_ms))


def compare(table: LatencyTable, device: str, figures: Path) -> tuple[list[Comparison], dict[str, str]]:
    """Known networks by a model, those that others measured on the phone first; and why others cannot be priced."""
    measured = _measured(device, figures)
    wanted = dict.fromkeys([*measured, *((name, 1.0, 224) for name in NETWORKS)])
    compared, without = [], {}
    for key in wanted:
        network = get_network(*key)
        blocks = [block for block in network.placed_blocks() if not block[0].is_identity]
        if kinds := unlike(table, blocks):
            without[key[0]] = f"the figures hold nothing like its {', '.join(kinds).replace('_', ' ')}"
            continue
        ms, source = measured.get(key, (None, ""))
        compared.append(Comparison(*key, predicted(table, network), ms, source))
    return compared, without


def predicted(table: LatencyTable, network: Architecture) -> Prediction:
    """What a table says of one network: with an interval that is as wide as the estimates of its own blocks make it."""
    alone = SearchSpace(network.space, network.blocks, network.input_shape)
    return fit(table, alone).predict(network)


def _measured(device: str, figures: Path) -> dict[tuple[str, float, int], tuple[float, str]]:
    """By name, width and resolution: the ms that others measured in float on a phone, and who."""
    column = f"{device.replace('-', '')}_ms"
    with (figures / KNOWN_FILE).open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row.get(column) and row["precision"] == "float"]
    found = {
        (row["network"], float(row["width"]), int(row["resolution_px"])): (float(row[column]), "tensorflow/models")
        for row in rows
    }
    return found | ({(name, 1.0, 224): each for name, each in SEARCHED.items()} if device == "pixel-1" else {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figures", type=Path, default=SHARED_DATA / "latency")
    parser.add_argument("--out", type=Path, default=ROOT / "latency_models")
    parser.add_argument("--compare", action="store_true")
    arguments = parser.parse_args()
    if not arguments.figures.is_dir():
        raise SystemExit(f"there are no figures in {arguments.figures}; name their folder with --figures")
    with threadpool_limits(1):
        try:
            if arguments.compare:
                _show_comparisons(arguments.figures)
                return
            for published in PUBLISHED:
                print(make(published, arguments.figures, arguments.out), flush=True)
        except HwnasError as error:
            raise SystemExit(str(error)) from None


def _show_comparisons(figures: Path) -> None:
    rows = []
    for model in shipped_tables():
        compared, _ = compare(LatencyTable.load(model.folder), model.device, figures)
        for each in compared:
            error = "" if each.error_percent is None else f"{each.error_percent:+.1f} %"
            measured = "" if each.measured_ms is None else f"{each.measured_ms:g}"
            low, high = each.prediction.interval_ms
            network = f"{each.network} {each.width:g} at {each.resolution} px"
            predicted_ms, interval = f"{each.prediction.ms:.4g}", f"{low:.3g} to {high:.3g}"
            row = {"model": model.name, "network": network, "predicted ms": predicted_ms, "90 %": interval}
            rows.append(row | {"measured ms": measured, "error": error, "measured by": each.source})
    show("known networks on the latency models that come with hwnas", rows, as_json=False)


if __name__ == "__main__":
    main()
