"""How far off are predictions of what was never measured? Public tables of real phones, random splits, five seeds.

    python benchmarks/predictor_accuracy.py                                  everything below at once, beside its goals
    python benchmarks/predictor_accuracy.py --networks FILE --space nas-bench-201 --latency-column mean_ms --train 100
    python benchmarks/predictor_accuracy.py --blocks FILE --latency-column pixel4_ms --train 50
    python benchmarks/predictor_accuracy.py --transfer FILE --target C --sources C1,C2 --samples 10
    python benchmarks/predictor_accuracy.py --local litert                   this machine, which should do nothing else

The first fits a predictor on whole networks alone and predicts others; the second, a regression on blocks; the third
maps known devices to one on which few networks were measured; the fourth measures 150 networks here, fits to 50 and
judges by 100 (some minutes per runtime; stopped, it goes on). `--json` prints the means over the seeds, in percent.
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from typing import Any

from accuracy.blocks import evaluate_blocks
from accuracy.local import GOALS as LOCAL_GOALS
from accuracy.local import evaluate_local
from accuracy.networks import MIN_MS, evaluate_networks
from accuracy.transfer import evaluate_transfer
from common import SHARED_DATA, show

from hwnas.errors import HwnasError

LATENCY = SHARED_DATA / "latency"

NETWORKS = (
    # file, space, column, networks seen, goal of the mean error in percent
    ("nnmeter_models_cpu.csv.gz", "nas-bench-201", "mean_ms", 20, None),
    ("nnmeter_models_cpu.csv.gz", "nas-bench-201", "mean_ms", 100, 2.3),
    ("nnmeter_models_cpu.csv.gz", "nas-bench-201", "mean_ms", 900, 2.0),
    ("nnmeter_models_adreno640.csv.gz", "nas-bench-201", "mean_ms", 100, 1.0),
    ("nnmeter_models_adreno640.csv.gz", "nas-bench-201", "mean_ms", 900, 0.8),
    ("help_nb201.csv.gz", "nas-bench-201", "pixel3_ms", 100, 19.0),
    ("help_nb201.csv.gz", "nas-bench-201", "pixel3_ms", 300, 14.5),
    ("help_nb201.csv.gz", "nas-bench-201", "pixel3_ms", 900, 11.0),
    ("help_fbnet.csv.gz", "fbnet", "gold_6226_ms", 100, None),
    ("help_fbnet.csv.gz", "fbnet", "gold_6226_ms", 900, 3.2),
)
BLOCKS = (
    # column, blocks seen, goal
    ("pixel4_ms", 50, 4.2),
    ("pixel4_ms", 300, 3.6),
    ("pixel4_ms", 900, 2.6),
)
PHONES = ("s10", "mi8se", "a03s")
SAMPLES = 10
LOCAL_USED = 50
TRANSFER_GAIN = 0.8
"""The goal of a transfer: so much of the error of a plain linear map of the same samples."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--networks", metavar="FILE", help="table of whole networks")
    what.add_argument("--blocks", metavar="FILE", help="table of blocks")
    what.add_argument("--transfer", metavar="FILE", help="table of the same networks on several devices")
    what.add_argument("--local", metavar="RUNTIME", choices=sorted(LOCAL_GOALS), help="measure on this machine")
    parser.add_argument("--space", default="nas-bench-201", help="the space whose codes the networks have")
    parser.add_argument("--latency-column", default="mean_ms")
    parser.add_argument("--train", type=int, default=100, help="rows to fit on")
    parser.add_argument("--min-ms", type=float, default=MIN_MS, help="networks below are no working ones: dropped")
    parser.add_argument("--target", help="column of the new device")
    parser.add_argument("--sources", help="columns of the known devices, separated by commas")
    parser.add_argument("--samples", type=int, default=SAMPLES, help="networks measured on the new device")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def one(options: argparse.Namespace) -> dict[str, Any]:
    """The figures that the options ask for."""
    if options.networks:
        column, train = options.latency_column, options.train
        return evaluate_networks(options.networks, options.space, column, train, options.seeds, options.min_ms)
    if options.blocks:
        return evaluate_blocks(options.blocks, options.latency_column, options.train, options.seeds)
    if options.local:
        return evaluate_local(options.local)
    if not (options.target and options.sources):
        raise SystemExit("--transfer needs --target COLUMN and --sources COLUMN,COLUMN")
    sources = options.sources.split(",")
    return evaluate_transfer(options.transfer, options.target, sources, options.samples, options.seeds)


def everything(seeds: int) -> list[dict[str, Any]]:
    """Every row of the table."""
    rows = []
    for file, space, column, train, goal in NETWORKS:
        run = partial(evaluate_networks, LATENCY / file, space, column, train, seeds)
        rows.append(_row(f"{file.split('.')[0]} {column}", train, run, goal))
    for column, train, goal in BLOCKS:
        run = partial(evaluate_blocks, LATENCY / "nnmeter_block_lut.csv.gz", column, train, seeds)
        rows.append(_row(f"nnmeter_block_lut {column}", train, run, goal))
    columns = {phone: f"{phone}_1large_float_mean_us" for phone in PHONES}
    for phone in PHONES:
        sources = [columns[other] for other in PHONES if other != phone]
        run = partial(evaluate_transfer, LATENCY / "qed_usc_nas_tflite.csv.gz", columns[phone], sources, SAMPLES, seeds)
        rows.append(_row(f"{phone} from the other two", SAMPLES, run, None))
        rows[-1]["goal"] = TRANSFER_GAIN * rows[-1]["baseline"]
    for runtime, goals in LOCAL_GOALS.items():
        rows.append(_row(f"this machine, {runtime}", LOCAL_USED, partial(evaluate_local, runtime), goals["mape"]))
    return rows


def _row(data: str, train: int, run: Any, goal: float | None) -> dict[str, Any]:
    figures = run()
    names = {"mape": "mape", "baseline": "baseline_mape", "goal": "", "hit5": "hit5", "hit10": "hit10"}
    names |= {"spearman": "spearman", "coverage90": "coverage90", "n_test": "n_test"}
    row = {"data": data, "n": train} | {name: figures.get(key, "") for name, key in names.items()}
    return row | {"goal": "" if goal is None else goal}


def main() -> None:
    options = arguments()
    try:
        if not (options.networks or options.blocks or options.transfer or options.local):
            if not LATENCY.is_dir():
                raise SystemExit("skipped: there is no ../shared/data/latency beside this checkout")
            show("predictions of what was never measured, % of its latency", everything(options.seeds), options.json)
        elif options.json:
            print(json.dumps(one(options)))
        else:
            for name, value in one(options).items():
                print(f"{name:14} {value:.4g}" if isinstance(value, float) else f"{name:14} {value}")
    except HwnasError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
