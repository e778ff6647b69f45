"""A campaign of 200 entries, killed with SIGKILL at 20 random moments: what is lost, and whether the numbers hold.

The same campaign is run once without kills: its entries are compared with those. A repetition counts as made twice
if its model was made and it did not reach the journal.

python benchmarks/kills.py [--json] [--entries 200] [--kills 20]
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from itertools import islice, product
from pathlib import Path
from statistics import median

from common import show

from hwnas.campaign.campaign import Campaign, Entry
from hwnas.campaign.measurement import Measurement
from hwnas.devices.device import load_device
from hwnas.latency.measuring.model_files import block_model, reference_model
from hwnas.runners import open_runner
from hwnas.specs.mbconv import MBConv
from hwnas.specs.spec import Shape

REPETITIONS = 2


def blocks(count: int) -> list[tuple[MBConv, Shape]]:
    """Different blocks, none of which takes longer than a few ms."""
    grid = product((8, 12, 16, 24, 32), (3, 5), (1, 3, 6), (1, 2), (7, 10, 14, 20))
    found = [(MBConv(c, c, kernel=k, expand=e, stride=s), (c, side, side)) for c, k, e, s, side in grid]
    return list(islice(found, count))


def measure_part(folder: Path, count: int) -> dict[str, Measurement]:
    """One process's part of the campaign; each model that it makes is a line in a file."""

    def made(number: int, spec: MBConv, shape: Shape) -> bytes:
        with (folder / "made.txt").open("a") as file:
            file.write(f"{number}\n")
        return block_model(spec, shape, "tflite")

    entries = [
        Entry(str(number), str(spec), partial(made, number, spec, shape))
        for number, (spec, shape) in enumerate(blocks(count))
    ]
    limits = {"visits": REPETITIONS, "extra_visits": 0, "max_ms": 300.0}
    device = load_device("local").model_copy(update=limits)
    with open_runner(device, "litert") as runner:
        return Campaign(device, runner, folder / "journal.jsonl", reference_model("tflite")).run(entries)


def run_killed(folder: Path, count: int, kills: int, seconds: float) -> int:
    """Run processes until one ends by itself, killing the first `kills` of them; returns how many were killed."""
    rng = random.Random(0)
    command = [sys.executable, __file__, "--part", str(folder), "--entries", str(count)]
    killed = 0
    while True:
        with subprocess.Popen(command) as process:
            if killed == kills:
                if process.wait() != 0:
                    raise SystemExit("the last process failed")
                return killed
            begun = _models_made(folder)
            while _models_made(folder) == begun and process.poll() is None:
                time.sleep(0.01)  # starting Python loses nothing: the moments that can lose something come after
            time.sleep(rng.uniform(0, 2 * seconds / (kills + 1)) * 0.8)
            if process.poll() is not None:
                return killed
            process.kill()
            killed += 1


def _models_made(folder: Path) -> int:
    path = folder / "made.txt"
    return len(path.read_text().splitlines()) if path.is_file() else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--entries", type=int, default=200)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--part", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        measure_part(arguments.part, arguments.entries)
        return
    with tempfile.TemporaryDirectory() as whole, tempfile.TemporaryDirectory() as broken:
        begin = time.perf_counter()
        expected = measure_part(Path(whole), arguments.entries)
        seconds = time.perf_counter() - begin
        killed = run_killed(Path(broken), arguments.entries, arguments.kills, seconds)
        records = [json.loads(line) for line in (Path(broken) / "journal.jsonl").read_text().splitlines()[1:]]
        repetitions = Counter(record["entry"] for record in records if "entry" in record)
        found = measure_part(Path(broken), arguments.entries)  # nothing is left to measure
        off = [100 * abs(found[key].median_ms / expected[key].median_ms - 1) for key in expected]
        row = {
            "entries": len(found),
            "kills": killed,
            "complete entries": sum(repetitions[key] == REPETITIONS for key in expected),
            "repetitions made twice": _models_made(Path(broken)) - sum(repetitions.values()),
            "median off, %": median(off),
            "worst off, %": max(off),
            "seconds without kills": seconds,
        }
    show("A campaign killed with SIGKILL, against the same one left alone", [row], arguments.json)


if __name__ == "__main__":
    main()
