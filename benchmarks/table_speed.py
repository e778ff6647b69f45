"""How long does a table take, how much of that is inference, and what does a kill in the middle cost?

    python benchmarks/table_speed.py [--json]

A space with 80 distinct MBConv blocks at 224x224 (and a stem and a head) is measured, killed with SIGKILL half-way, and
measured again. Aim: at least 70 % of the time inside inference; the second call measures only what is missing.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import CACHE, show

from hwnas.devices.device import load_device
from hwnas.latency.measuring.measure import measure
from hwnas.space import OneOf, SearchSpace
from hwnas.specs.conv import Conv
from hwnas.specs.head import Head
from hwnas.specs.mbconv import MBConv
from hwnas.specs.spec import Spec

STAGES = ((24, 2), (40, 2), (80, 2), (96, 1), (192, 2))


def eighty_blocks() -> SearchSpace:
    """The stages of Single-Path NAS with kernels 3 and 5 and expansions 2, 3, 4 and 6: 5 x 2 x 8 distinct blocks."""
    nodes: list[Spec | OneOf] = [Conv(3, 16, kernel=3, stride=2)]
    channels = 16
    for out_channels, first_stride in STAGES:
        for stride in (first_stride, 1):
            candidates = tuple(MBConv(channels, out_channels, k, e, stride) for k in (3, 5) for e in (2, 3, 4, 6))
            nodes.append(OneOf(f"block {len(nodes)}", candidates))
            channels = out_channels
    return SearchSpace("eighty-blocks", (*nodes, Head(channels, 1280, 1000)), (3, 224, 224))


def kill_half_way(space: SearchSpace, folder: Path, visits: int) -> tuple[int, float]:
    """Measure in another process and kill it once half of the visits are made: visits kept, seconds taken."""
    begin = time.perf_counter()
    process = subprocess.Popen([sys.executable, __file__, "--measure-into", str(folder)])
    journal = folder / "local" / "litert" / "journal.jsonl"
    while process.poll() is None and visits_in(journal) < visits // 2:
        time.sleep(0.05)
    process.kill()
    process.wait()
    return visits_in(journal), time.perf_counter() - begin


def visits_in(journal: Path) -> int:
    return journal.read_text().count('"entry"') if journal.exists() else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--measure-into", help=argparse.SUPPRESS)
    options = parser.parse_args()
    space = eighty_blocks()
    if options.measure_into:
        measure(space, tables=options.measure_into)
        return
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as name:
        whole = measure(space, tables=Path(name) / "whole")
    entries = whole.entries
    visits = entries * load_device("local").visits
    with tempfile.TemporaryDirectory(dir=CACHE) as name:
        kept, killed_after_s = kill_half_way(space, Path(name), visits)
        rest = measure(space, tables=name)
    rows = [
        {"run": "uninterrupted", **figures(whole)},
        {"run": f"after SIGKILL at {killed_after_s:.0f} s", **figures(rest)},
    ]
    show(
        f"a table of {len(space.distinct_blocks())} blocks and {entries - len(space.distinct_blocks())} networks",
        rows,
        options.json,
        visits_kept_by_the_killed_run=kept,
    )


def figures(run) -> dict[str, object]:
    summary = run.summary
    return {
        "entries": run.entries,
        "visits_measured": summary.visits_measured,
        "visits_reused": summary.visits_reused,
        "minutes": summary.seconds / 60,
        "inference_share": summary.inference_share,
        "drift_percent": f"{summary.drift_min_percent:+.1f} to {summary.drift_max_percent:+.1f}",
    }


if __name__ == "__main__":
    main()
