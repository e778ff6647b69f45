"""Is what a design finds better than what one would have picked? On a folder of photographs, at several budgets.

    python benchmarks/photos.py --data FOLDER [--budgets 30%,50%,70%] [--seeds 3] [--limit-train N]
                                [--pretrained none] [--precision int8] [--resolution 96] [--no-compare] [--json]

Each run is `hwnas design` with its defaults: found is what it returns, beside the known networks that it trains for the
same ms in the same way. A share of a budget is one of the space `lite-5` at 64 px on this machine. Runs lie in the
benchmarks' cache and go on where they were stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common import CACHE, show

from hwnas.designer.config import DesignConfig
from hwnas.designer.design import design
from hwnas.designer.result import DesignResult
from hwnas.devices.device import load_device
from hwnas.latency.fitting.fit import fit
from hwnas.latency.measuring.measure import measure
from hwnas.latency.wanted_budget import parse_budget, resolve_budget
from hwnas.spaces import get_space

FOUND = "found"


def budgets_ms(wanted: str, tables: Path) -> list[float]:
    """Budgets in ms; shares are of the space `lite-5` at its own resolution."""
    budgets = [parse_budget(text) for text in wanted.split(",")]
    if all(isinstance(budget, float) for budget in budgets):
        return [float(budget) for budget in budgets]
    space, device = get_space("lite-5"), load_device("local")
    predictor = fit(measure(space, device, device.runtime, tables).table, space)
    return [resolve_budget(budget, space, predictor) for budget in budgets]


def rows(result: DesignResult, seed: int) -> Iterator[dict[str, Any]]:
    """What was found, and the known networks."""
    shared = {"budget_ms": result.budget_ms, "seed": seed}
    found_ms = result.measured_ms[result.runtime]
    yield shared | {
        "who": FOUND,
        "measured_ms": found_ms,
        "accuracy": result.accuracy,
        "seconds": result.seconds,
        "budget_used": found_ms / result.budget_ms,
        "returned": result.returned,
        "resolution": result.architecture.input_shape[1],
    }
    if result.searched is not None:  # a known network is returned instead
        yield shared | {
            "who": "searched",
            "measured_ms": result.searched.measured_ms,
            "accuracy": result.searched.accuracy,
            "seconds": None,
            "budget_used": result.searched.measured_ms / result.budget_ms,
        }
    for rival in result.found_against:
        yield shared | {
            "who": "lite0" if rival.network == "efficientnet-lite0" else rival.network,
            "measured_ms": rival.measured_ms,
            "accuracy": rival.accuracy,
            "seconds": None,
            "budget_used": rival.measured_ms / result.budget_ms,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--budgets", default="30%,50%,70%")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--limit-train", type=int, help="use only so many training images")
    parser.add_argument("--pretrained", choices=("none", "lite0"), help="[by the images]")
    parser.add_argument(
        "--precision", choices=("float32", "float16", "int8"), help="of the file that is for the budget"
    )
    parser.add_argument("--resolution", type=int, help="side of the images in pixels [by the budget]")
    parser.add_argument("--compare-with", help="known networks, by commas [those of a design]")
    parser.add_argument("--no-compare", action="store_true", help="train no known networks")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cache = CACHE / "photos"
    where = hashlib.sha256(str(options.data.resolve()).encode()).hexdigest()[:6]
    found: list[dict[str, Any]] = []
    for budget_ms in budgets_ms(options.budgets, cache / "tables"):
        for seed in range(options.first_seed, options.first_seed + options.seeds):
            config = DesignConfig(
                data=str(options.data),
                budget_ms=budget_ms,
                seed=seed,
                tables=str(cache / "tables"),
                limit_train=options.limit_train,
                pretrained=options.pretrained,
                precision=options.precision,
                resolution=options.resolution,
                compare=False if options.no_compare else None,
                compare_with=tuple(options.compare_with.split(",")) if options.compare_with else (),
            )
            name = f"{options.data.name}-{where}-{budget_ms:g}-{seed}-{options.limit_train}-{options.pretrained}"
            further = options.compare_with, options.precision, options.no_compare and "alone"
            name += "".join(f"-{each}" for each in further if each)
            name += f"-{options.resolution}px" if options.resolution else ""
            found += rows(design(config, cache / name), seed)
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        show(f"found and picked: {options.data.name}", found, False)


if __name__ == "__main__":
    main()
