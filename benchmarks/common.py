"""What the benchmarks share: the machine in one line, the images, and how results are printed."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from hwnas.runtimes.base import Session

ROOT = Path(__file__).resolve().parent.parent
SHARED_DATA = ROOT.parent / "shared" / "data"
CACHE = ROOT / ".bench"


def machine() -> str:
    """CPU, cores, system and the versions that decide a number."""
    from hwnas.campaign.conditions import current_conditions
    from hwnas.devices.device import load_device
    from hwnas.run import package_versions
    from hwnas.runtimes import get_runtime

    cpu = current_conditions(load_device("local"), get_runtime("litert")).identity["cpu"]
    versions = ", ".join(f"{name} {version}" for name, version in package_versions().items() if version)
    return f"{cpu}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}; {versions}"


def cifar10_subset(train_per_class: int, test_per_class: int) -> Path:
    """The first images of each class of CIFAR-10, unpacked beside the benchmarks. Exits where the archive is absent."""
    archive = SHARED_DATA / "cifar10-images.tar.xz"
    folder = CACHE / f"cifar10-{train_per_class}-{test_per_class}"
    if folder.is_dir():
        return folder
    if not archive.is_file():
        raise SystemExit(f"skipped: there is no {archive.name} in ../shared/data")
    limits = {"train": train_per_class, "test": test_per_class}
    with tarfile.open(archive) as tar:
        for member in tar:
            split, label, name = Path(member.name).parts[-3:] if member.isfile() else ("", "", "")
            if split in limits and int(Path(name).stem) < limits[split]:
                target = folder.with_suffix(".part") / split / label / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(tar.extractfile(member).read())
    folder.with_suffix(".part").rename(folder)
    return folder


def plain_runs_us(session: Session) -> list[float]:
    """What scripts do with a loaded model: 10 warm-ups, then 50 runs, in microseconds."""
    session.prepare(np.random.default_rng(0).standard_normal(session.input_shape).astype(np.float32))
    runs_us = []
    for _ in range(60):
        begin = time.perf_counter_ns()
        session.invoke()
        runs_us.append((time.perf_counter_ns() - begin) / 1000)
    return runs_us[10:]


def answer(*arguments: object) -> Any:
    """The JSON that a command of hwnas prints, also where it fails because a result breaks a limit."""
    command = [sys.executable, "-m", "hwnas.cli", *map(str, arguments), "--json"]
    done = subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode and not done.stdout:
        raise SystemExit(done.returncode)
    return json.loads(done.stdout)


def show(title: str, rows: list[dict[str, Any]], as_json: bool, **facts: Any) -> None:
    """Print rows as a table for people, or everything as one JSON object."""
    if as_json:
        print(json.dumps({"title": title, "machine": machine(), "rows": rows, **facts}, indent=2))
        return
    table = Table(title=title, title_justify="left")
    for column in rows[0]:
        table.add_column(column)
    for row in rows:
        table.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()))
    console = Console(width=150)
    console.print(table)
    for name, value in facts.items():
        console.print(f"{name.replace('_', ' ')}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}")
    console.print(machine(), style="dim")
