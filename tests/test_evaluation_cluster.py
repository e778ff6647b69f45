"""Tasks on Dask: real worker processes that are killed, a scheduler by its address, and what is missing."""

import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from hwnas.child import load_child
from hwnas.errors import HwnasError
from hwnas.evaluation import cluster
from hwnas.evaluation.cluster import ThisProcess, workers
from hwnas.evaluation.tasks import RUN_FOLDER, Task, run_task
from hwnas.spaces import get_space
from hwnas.train.data import load_data
from hwnas.train.loop import CHECKPOINT_FILE
from tests.commands import completed
from tests.test_latency import made_table

SPACE = get_space("tiny", resolution=16, width=0.25)
needs_dask = pytest.mark.skipif(
    find_spec("distributed") is None, reason="NOT TESTED: Dask is missing; pip install 'hwnas[cluster]'"
)


@pytest.fixture(scope="module")
def digest() -> str:
    return load_data("digits", 16, batch_size=32, seed=0, limit_train=64, workers=0).digest


def trainings(folder: Path, digest: str, *epochs: int) -> list[Task]:
    """Children to train, each for so many epochs: random networks of the space."""
    rng = random.Random(1)
    common = {
        "space": "tiny",
        "resolution": 16,
        "classes": 10,
        "width": 0.25,
        "images": {"seed": 0, "sha256": digest},
        "batch_size": 32,
        "limit_train": 64,
        "seed": 0,
        "weights_seed": 0,
        "torch_device": "cpu",
        "train_threads": 1,
    }
    return [
        Task(
            "train",
            str(folder / str(number)),
            common | {"epochs": each, "architecture": SPACE.sample(rng).to_json()},
            "digits",
            "",
            "",
        )
        for number, each in enumerate(epochs)
    ]


def weights(tasks: list[Task]) -> list[dict]:
    return [load_child(Path(task.folder) / RUN_FOLDER).state_dict() for task in tasks]


def equal(first: list[dict], second: list[dict]) -> bool:
    return all(
        one.keys() == other.keys() and all((one[name] == other[name]).all() for name in one)
        for one, other in zip(first, second, strict=True)
    )


def without_seconds(results: list[dict]) -> list[dict]:
    return [{name: value for name, value in result.items() if name != "seconds"} for result in results]


def silent(done: int, total: int, task: Task) -> None:
    pass


@needs_dask
@pytest.mark.slow
@pytest.mark.weekly
@pytest.mark.parametrize("deaths", [1, 2])
def test_two_workers_that_are_killed_find_what_one_process_finds(tmp_path, digest, monkeypatch, deaths):
    """A worker is killed with SIGKILL while it trains, and perhaps the one that follows it, too.

    Each death costs the start of another worker, which imports torch for seconds.
    """
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    alone = trainings(tmp_path / "alone", digest, 6, 1, 1)
    expected = ThisProcess().run(alone, silent)
    tasks = trainings(tmp_path / "killed", digest, 6, 1, 1)
    killed: list[int] = []

    def kill_who_trains() -> None:
        """As often as wanted: the process that holds the lock of the first training."""
        lock = Path(tasks[0].folder) / RUN_FOLDER / ".lock"
        while len(killed) < deaths and tasks[0].result is None:
            holder = int(lock.read_text() or 0) if lock.exists() else 0
            if holder and holder != os.getpid() and holder not in killed:
                killed.append(holder)
                os.kill(holder, signal.SIGKILL)
            time.sleep(0.01)

    with workers(2, None, tmp_path) as able:
        killer = threading.Thread(target=kill_who_trains)
        killer.start()
        found = able.run(tasks, silent)
        killer.join()
    assert killed, "nobody was killed: the trainings are too short"
    assert without_seconds(found) == without_seconds(expected)
    assert equal(weights(tasks), weights(alone))
    assert (Path(tasks[0].folder) / RUN_FOLDER / CHECKPOINT_FILE).exists()
    left = [path.name for path in (tmp_path / "temporary").iterdir()]
    assert [name for name in left if name.startswith(("dask", "hwnas"))] == []


@pytest.fixture
def address():
    """Of a scheduler that was started by somebody else, with a worker of two threads."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as made:
        yield made.scheduler_address


@needs_dask
def test_a_scheduler_by_its_address_does_the_tasks_once_and_one_at_a_time(tmp_path, digest, address):
    """Two threads would draw from one random generator: dropout, augmentation and weights would be others."""
    tasks, alone = (trainings(tmp_path / name, digest, 2, 2) for name in ("there", "here"))
    with workers(1, address, tmp_path) as able:
        found = able.run(tasks, silent)
        assert able.run(tasks, silent) == found
    assert without_seconds(ThisProcess().run(alone, silent)) == without_seconds(found)
    assert equal(weights(tasks), weights(alone))


@needs_dask
def test_a_task_that_fails_says_why(tmp_path, address):
    """Images that are others than the study's, and a folder that is not there: no error of Dask's."""
    told = pytest.raises(HwnasError, match="others here than where the study was begun")
    with workers(1, address, tmp_path) as able, told:
        able.run(trainings(tmp_path / "wrong", "0" * 64, 1), silent)
    blind = pytest.raises(HwnasError, match="does not see")
    with blind, workers(1, address, tmp_path / "nowhere"):
        pass


def test_a_task_waits_for_a_process_that_is_about_to_end(tmp_path, digest):
    """As one that was killed: its task is given to another worker as soon as its connection ends."""
    task = trainings(tmp_path, digest, 1)[0]
    folder = Path(task.folder) / RUN_FOLDER
    folder.mkdir(parents=True)
    code = (
        "import sys, time; from pathlib import Path; from hwnas.locks import FolderLock\n"
        "lock = FolderLock(Path(sys.argv[1])); print('held', flush=True); time.sleep(2)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        found = run_task(task.to_json())
    assert found == task.result


@needs_dask
def test_no_scheduler_is_said_with_a_cure(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_S", 1)
    refused = completed_study(tmp_path, "--cluster", "tcp://127.0.0.1:9")
    assert refused.returncode == 1
    assert "no Dask scheduler answers at tcp://127.0.0.1:9" in " ".join(refused.stderr.split())


def test_without_dask_workers_are_refused_with_a_cure(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.setattr(cluster, "find_spec", lambda name: None)
    refused = completed_study(tmp_path, "--workers", "2")
    assert refused.returncode == 1
    assert "pip install 'hwnas[cluster]'" in " ".join(refused.stderr.split())


def completed_study(folder: Path, *options: str):
    made_table(SPACE).save(folder / "table")
    size = ["--resolution", "16", "--width", "0.25", "--limit-train", "64", "--epochs", "1"]
    told = ["--latency", folder / "table", "--budget-ms", "60%", "--seeds", "1", "--out", folder / "study"]
    return completed("evaluate", *size, *told, *options)
