"""One design in several processes: one run, one voice, and no process left behind.

A real torchrun starts processes that import torch for seconds: it does so once here, where a design is repeated, and
weekly in each case. The other processes are forked, with the environment that torchrun gives.
"""

import json
import os
import re
import subprocess
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil
import pytest
import torch

from hwnas.cli import main
from hwnas.spaces import get_space
from tests.commands import run_command
from tests.conftest import ROOT
from tests.processes import group_environments, started
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


def command_of_a_group(environment: dict[str, str], words: Path, arguments: list[str]) -> None:
    """One process of a group: ``hwnas ARGUMENTS``, which adds what it says to a file."""
    os.environ.update(environment)
    said = os.open(words, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(said, stream)
    sys.argv = ["hwnas", *arguments]
    main()


def forked(words: Path, *arguments: object) -> list[BaseProcess]:
    """The two processes that ``torchrun --nproc-per-node 2 -m hwnas.cli ARGUMENTS`` would start, running."""
    given = [str(argument) for argument in arguments]
    return [started(command_of_a_group, environment, words, given) for environment in group_environments(2)]


def steps_logged(run: Path) -> list[int]:
    path = run / "metrics.jsonl"
    return [json.loads(line)["step"] for line in path.read_text().splitlines()] if path.exists() else []


def killed_of_torchrun(run: Path, total: int, *arguments: object) -> None:
    """One of two processes is killed in mid training: torchrun ends the other."""
    stopped = torchrun(*arguments)
    while not 3 <= len(steps_logged(run)) < total and stopped.poll() is None:
        time.sleep(0.01)
    processes = psutil.Process(stopped.pid).children()
    processes[0].kill()
    assert stopped.wait(timeout=60) != 0
    assert not any(process.is_running() for process in processes)


def killed_of_a_group(run: Path, total: int, *arguments: object) -> None:
    """One of two processes is killed in mid training: the other ends with an error."""
    words = run.with_suffix(".txt")
    first, other = forked(words, *arguments)
    while not 3 <= len(steps_logged(run)) < total and first.is_alive():
        time.sleep(0.01)
    first.kill()
    other.join(timeout=60)
    assert other.exitcode not in (None, 0)
    assert "Traceback" not in words.read_text()


@pytest.mark.weekly
@pytest.mark.parametrize("kill", [killed_of_a_group, killed_of_torchrun])
def test_one_design_killed_and_repeated_writes_the_files_of_one_process(
    table, config, tmp_path, monkeypatch, capsys, kill
):
    epochs = ["--epochs", 3, "--budget-ms", 1000, "--json"]
    design = ["design", *SMALL, "--latency", table, "--config", config, *epochs]
    alone, two = tmp_path / "alone", tmp_path / "two"
    assert run_command(monkeypatch, capsys, *design, "--out", alone)[0] == 0
    total = len(steps_logged(alone))

    kill(two, total, *design, "--out", two)
    out, err = torchrun(*design, "--out", two).communicate(timeout=120)
    assert json.loads(out)["status"] == "predicted", err  # one JSON object, of one process
    assert steps_logged(two) == list(range(1, total + 1))

    def names(folder) -> set[str]:
        """Of its files but hidden ones: a lock is there until this process has forgotten its run, and a kill may leave
        half a file. Evaluations are named for the weights, which differ between one process and two."""
        found = (str(path.relative_to(folder)) for path in folder.rglob("[!.]*"))
        return {re.sub(r"^derivation-[0-9a-f]{12}", "derivation", name) for name in found}

    assert names(two) == names(alone)
    configs = [json.loads((folder / "run.json").read_text())["config"] for folder in (alone, two)]
    assert configs[0] == configs[1] | {"processes": 1}


@pytest.mark.parametrize("by_torchrun", [False, pytest.param(True, marks=pytest.mark.weekly)])
def test_an_error_ends_all_processes_with_one_message(table, config, tmp_path, by_torchrun):
    """Every process finds this one, at its own time."""
    search = ["search", *SMALL, "--latency", table, "--config", config, "--budget-ms", "0.0001"]
    search += ["--out", tmp_path / "run"]
    if by_torchrun:
        process = torchrun(*search)
        _, err = process.communicate(timeout=120)
        assert process.returncode != 0
    else:
        processes = forked(tmp_path / "words.txt", *search)
        for each in processes:
            each.join(timeout=60)
        assert all(each.exitcode not in (None, 0) for each in processes)
        err = (tmp_path / "words.txt").read_text()
    assert err.count("error:") == 1 and "cannot be met" in " ".join(err.split())
    assert not (tmp_path / "run").exists()
