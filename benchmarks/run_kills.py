"""The whole line, stopped at random moments: does the same command then end with what it ends with undisturbed?

Each verb is run once alone. Then it is begun in a fresh folder, stopped at a random moment by SIGKILL, SIGTERM or
SIGINT, and repeated to its end, which is compared: bit for bit where nothing is measured. Left over means: files of an
unfinished write, temporary folders, locks and processes.

python benchmarks/run_kills.py [--json] [--kills 60] [--verbs measure,search,design,export]
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from common import show

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGKILL, signal.SIGKILL)
"""In turn: most of them cannot be caught."""

SMALL = ["--space", "tiny", "--resolution", "16", "--width", "0.25"]
QUICK = ["--accept-conditions", "--device", "../fast.toml"]
SEARCH = [*SMALL, "--limit-train", "400", "--budget-ms", "0.2", "--config", "../search.toml"]
VERBS = {
    "measure": ["measure", *SMALL, "--classes", "10", "--device", "../fast.toml", "--networks", "3", "--tables", "out"],
    "search": ["search", *SEARCH, "--latency", "../published", "--out", "out"],
    "design": ["design", *SEARCH, "--latency", "../table", *QUICK, "--out", "out"],
    "help": ["--help"],
    "export": ["export", "out", "--precision", "float32,float16"],
}
"""The search is by a published table, so that nothing of it is measured."""

PRELOADED = [
    *("hwnas.cli", "hwnas.designer.design", "hwnas.report.console", "torch._dynamo"),
    *("kornia.augmentation", "sklearn.datasets", "matplotlib.pyplot", "ai_edge_litert.interpreter", "onnx"),
]

MARK = "HWNAS_RUN_KILLS"
ENDS_WITHIN_S = 15.0
"""Worker processes look every few seconds whether the one that they work for is still there."""


def prepare(place: Path) -> None:
    """What all commands share: two tables, a device that is measured quickly, and settings."""
    from hwnas.latency.tables.table import Latency, LatencyTable
    from hwnas.spaces import get_space

    space = get_space("tiny", 16, 10, 0.25)
    for name, conditions in (("table", {"identity": {}, "circumstances": {}}), ("published", {})):
        table = LatencyTable(conditions=conditions or {"imported": {"publication": "made up"}})
        blocks = {block: 0.002 + block[0].macs(block[1]) / 1e7 for block in space.distinct_blocks()}
        table.blocks = {block: Latency(ms, 0.99 * ms, 1.01 * ms, 20, 0.5) for block, ms in blocks.items()}
        table.save(place / name)
    limits = "visits = 1\nextra_visits = 0\nmin_runs = 5\nmax_ms = 20.0\nwarmup_ms = 0.5\nmin_ms = 1.0\n"
    (place / "fast.toml").write_text(f'name = "fast"\ntransport = "local"\nruntime = "litert"\n{limits}')
    (place / "search.toml").write_text("epochs = 2\nworkers = 0\n[settings]\ncheckpoint_seconds = 0.05\n")


def command(folder: str, arguments: list[str]) -> None:
    """``hwnas ARGUMENTS`` in a folder, in this process, with all that it prints kept in a file there."""
    import torch

    from hwnas.cli import main

    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(1)
    os.chdir(folder)
    os.environ |= {"TMPDIR": f"{folder}/tmp", "XDG_CACHE_HOME": f"{folder}/../cache", MARK: folder}
    tempfile.tempdir = None
    words = os.open("words.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(words, 1)
    os.dup2(words, 2)
    sys.argv = ["hwnas", *arguments]
    main()


def run(folder: Path, verb: str, stop_after_s: float | None = None, how: int = signal.SIGKILL) -> tuple[int, float]:
    """Exit code and seconds of a verb in `folder`, stopped after some seconds if it is not done by then."""
    (folder / "tmp").mkdir(exist_ok=True)
    # forked from a server that has imported all of this, but run nothing: a fresh process, without the wait
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=command, args=(str(folder), VERBS[verb]))
    begin = time.perf_counter()
    process.start()
    process.join(stop_after_s)
    if process.is_alive():
        os.kill(process.pid, how)
        process.join()
    return process.exitcode, time.perf_counter() - begin


def outcome(folder: Path, verb: str) -> dict[str, Any]:
    """What must be the same: the content of every file that is no measurement, and of reports what is not."""
    found: dict[str, Any] = {}
    for path in sorted((folder / "out").rglob("*")):
        name = str(path.relative_to(folder))
        if path.name == "report.json":
            report = json.loads(path.read_text())
            found[name] = [report[key] for key in ("status", "architecture", "accuracy", "classes", "images")]
        elif path.name in ("blocks.csv", "networks.csv"):
            with path.open(newline="") as file:
                found[name] = sorted(row.get("spec") or row["architecture"] for row in csv.DictReader(file))
        elif path.suffix in (".safetensors", ".tflite", ".onnx", ".jsonl") and verb != "measure":
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        elif path.name in ("architecture.json", "predictor.json", "run.json"):
            found[name] = path.read_text()
        elif path.is_file():
            found[name] = None  # that it is there
    return found


def leftovers(folder: Path) -> list[str]:
    """Unfinished files, locks, temporary folders and processes, once what ends by itself has had the time."""
    until = time.monotonic() + ENDS_WITHIN_S
    while (processes := _processes(folder)) and time.monotonic() < until:
        time.sleep(0.1)
    files = [path for path in (folder / "out").rglob("*") if path.name.endswith(".part") or path.name == ".lock"]
    files += [path for path in (folder / "tmp").iterdir() if path.name.startswith(("hwnas", "tmp"))]
    return [str(path.relative_to(folder)) for path in files] + processes


def _processes(folder: Path) -> list[str]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(folder) or process.cwd() == str(folder):
                found.append(f"process {process.pid}: {' '.join(process.cmdline())}")
        except psutil.Error:
            continue
    return found


def tried(place: Path, verb: str, kills: int, rng: random.Random) -> dict[str, Any]:
    """A row: a verb stopped `kills` times, each time in a fresh folder, and repeated."""
    begun = place / "begun"
    shutil.rmtree(begun, ignore_errors=True)
    begun.mkdir()
    if verb == "export":
        shutil.copytree(place / "searched", begun / "out")
    whole = place / "whole"
    shutil.copytree(begun, whole)
    run(place, "help")  # starts the server, which is no part of what a command takes
    code, seconds = run(whole, verb)
    if code != 0:
        raise SystemExit(f"{verb} fails undisturbed: {(whole / 'words.txt').read_text()[-1500:]}")
    expected, faults, stopped = outcome(whole, verb), [], 0
    for number in range(kills):
        folder = place / f"{verb}-{number}"
        shutil.copytree(begun, folder)
        after_s, how = rng.uniform(0.05, seconds), SIGNALS[number % len(SIGNALS)]
        code, _ = run(folder, verb, after_s, how)
        stopped += code != 0
        code, _ = run(folder, verb)
        found = outcome(folder, verb)
        wrong = [f"{name} differs" for name in {**expected, **found} if expected.get(name, 0) != found.get(name, 0)]
        wrong += [f"exit code {code}: {(folder / 'words.txt').read_text()[-600:]}"] if code else []
        wrong += [f"left over: {name}" for name in leftovers(folder)]
        faults += [f"{verb} {number}, {signal.Signals(how).name} after {after_s:.2f} s: {fault}" for fault in wrong]
        print(f"{verb} {number + 1}/{kills}", *wrong, sep="\n    ", file=sys.stderr, flush=True)
        shutil.rmtree(folder)
    if verb == "search":
        shutil.copytree(whole / "out", place / "searched")
    shutil.rmtree(whole)
    return {"verb": verb, "seconds alone": round(seconds, 1), "begun": kills, "stopped": stopped, "faults": faults}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--verbs", default="measure,search,design,export")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    verbs, rng = arguments.verbs.split(","), random.Random(arguments.seed)
    with tempfile.TemporaryDirectory(prefix="run-kills-") as name:
        prepare(Path(name))
        shares = [len(range(i, arguments.kills, len(verbs))) for i in range(len(verbs))]
        rows = [tried(Path(name), verb, share, rng) for verb, share in zip(verbs, shares, strict=True)]
    show("Commands stopped at random moments and repeated, against the same ones left alone", rows, arguments.json)
    sys.exit(any(row["faults"] for row in rows))


if __name__ == "__main__":
    main()
