"""One design in several processes, started by a real torchrun: one run, one voice, and no process left behind."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from hwnas.spaces import get_space
from tests.commands import run_command
from tests.conftest import ROOT
from tests.test_latency import made_table

pytestmark = pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="this torch has no gloo backend")

SPACE = get_space("tiny", resolution=16, width=0.25)
SMALL = ["--space", "tiny", "--resolution", "16", "--width", "0.25", "--data", "digits", "--limit-train", "64"]


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    """A table as a publication gives it: nothing is measured for it."""
    folder = tmp_path_factory.mktemp("tables") / "published"
    published = made_table(SPACE, networks=12)
    published.conditions["imported"] = {"publication": "a test"}
    published.save(folder)
    return folder


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    """Batches of 16, and a checkpoint after every step."""
    path = tmp_path_factory.mktemp("config") / "config.toml"
    path.write_text("batch_size = 16\nworkers = 0\nsettings = {checkpoint_seconds = 0.0}\n")
    return path


def torchrun(*arguments: object) -> subprocess.Popen:
    """``torchrun --nproc-per-node 2 -m hwnas.cli ARGUMENTS``, running."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.Popen(
        [*command, "-m", "hwnas.cli", *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def steps_logged(run: Path) -> list[int]:
    path = run / "metrics.jsonl"
    return [json.loads(line)["step"] for line in path.read_text().splitlines()] if path.exists() else []


def test_one_design_killed_and_repeated_writes_the_files_of_one_process(table, config, tmp_path, monkeypatch, capsys):
    epochs = ["--epochs", 3, "--budget-ms", 1000, "--json"]
    design = ["design", *SMALL, "--latency", table, "--config", config, *epochs]
    alone, two = tmp_path / "alone", tmp_path / "two"
    assert run_command(monkeypatch, capsys, *design, "--out", alone)[0] == 0
    total = len(steps_logged(alone))

    stopped = torchrun(*design, "--out", two)
    while not 3 <= len(steps_logged(two)) < total and stopped.poll() is None:
        time.sleep(0.01)
    processes = psutil.Process(stopped.pid).children()
    processes[0].kill()
    assert stopped.wait(timeout=60) != 0
    assert not any(process.is_running() for process in processes)

    out, err = torchrun(*design, "--out", two).communicate(timeout=120)
    assert json.loads(out)["status"] == "predicted", err  # one JSON object, of one process
    assert steps_logged(two) == list(range(1, total + 1))

    def names(folder, pattern="*") -> set[str]:
        """Of its files; evaluations are named for the weights, which differ between one process and two."""
        found = (str(path.relative_to(folder)) for path in folder.rglob(pattern))
        return {re.sub(r"^derivation-[0-9a-f]{12}", "derivation", name) for name in found}

    assert names(two, "[!.]*") == names(alone)  # a kill may leave half a hidden one
    configs = [json.loads((folder / "run.json").read_text())["config"] for folder in (alone, two)]
    assert configs[0] == configs[1] | {"processes": 1}


def test_an_error_ends_all_processes_with_one_message(table, config, tmp_path):
    """Every process finds this one, at its own time."""
    process = torchrun(
        "search", *SMALL, "--latency", table, "--config", config, "--budget-ms", "0.0001", "--out", tmp_path / "run"
    )
    _, err = process.communicate(timeout=120)
    assert process.returncode != 0
    assert err.count("error:") == 1 and "cannot be met" in " ".join(err.split())
    assert not (tmp_path / "run").exists()
