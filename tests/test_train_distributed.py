"""Several processes: two real ones of a gloo group, against one process on the doubled batch."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from hwnas.searches.dsnas import DSNASSettings, DSNASTrainer
from hwnas.train import distributed, threads
from hwnas.train.data import load_data
from hwnas.train.loop import open_run, train
from tests.processes import group_environments, started
from tests.test_dsnas import problem

Work = Callable[[Path], Any]
"""What each process does, with a folder for all: it returns JSON values."""


def dsnas_trainer(lr: float) -> DSNASTrainer:
    data = load_data("digits", resolution=16, batch_size=32, limit_train=128, workers=0)
    shares = {"pretrain": 0.0, "search": 0.7}
    settings = DSNASSettings(lr=lr, **shares, fixing_gap=0.05, first_logits="uniform", clip_norm=None)
    return DSNASTrainer(problem(data, epochs=3), settings)


def sums(trainer: DSNASTrainer) -> dict[str, float]:
    values = trainer.net.state_dict()
    return {name: value.double().sum().item() for name, value in values.items() if value.is_floating_point()}


def train_one_path(folder: Path) -> dict[str, float]:
    """With batch norms as in evaluation and one path for all: what must equal a doubled batch.

    At a higher rate rounding errors grow within a few steps.
    """
    trainer = dsnas_trainer(lr=0.05)
    trainer.derived = [0] * 7
    trainer.net.eval()
    for images, labels in trainer.problem.data.train_batches(0):
        trainer.step(distributed.share(images), distributed.share(labels))
    return sums(trainer)


def search_together(folder: Path) -> dict[str, Any]:
    """A whole search, in which each process finds another number of cores."""
    trainer = dsnas_trainer(lr=0.5)
    paths = [trainer.sample()[0] for trainer.step_count in range(4)]
    trainer.step_count = 0
    run = open_run(folder / "run", {})
    os.environ.pop("OMP_NUM_THREADS", None)
    torch.set_num_threads(2 * (1 + distributed.rank()))
    threads.WORTH_STEPS, threads.ROUNDS = 1, 1
    with threads.training_threads(run.folder) as chosen:
        train(trainer, trainer.problem.data, run, checkpoint_seconds=0.0)
        count = torch.get_num_threads()
    assert chosen.count == count
    if trainer.derived is None:
        trainer.derive()
    return {
        "paths": paths,
        "state": sums(trainer),
        "taken": trainer.derived,
        "fixed": sorted(trainer.fixed),
        "threads": count,
    }


def rank_of(rank: int, environment: dict[str, str], work: Work, folder: Path) -> None:
    """One process of a group: what it returns becomes a file."""
    os.environ.update(environment)
    torch.set_num_threads(1)
    distributed.join()
    (folder / f"{rank}.json").write_text(json.dumps(work(folder)))


def run_processes(count: int, work: Work, folder: Path) -> list[Any]:
    """What `work` returns in each of `count` processes that train together."""
    folder.mkdir()
    environments = group_environments(count) if count > 1 else [{}]
    processes = [started(rank_of, rank, environment, work, folder) for rank, environment in enumerate(environments)]
    for process in processes:
        process.join(timeout=300)
    assert [process.exitcode for process in processes] == [0] * count
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(count)]


needs_gloo = pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="this torch has no gloo backend")


@needs_gloo
def test_two_processes_equal_one_on_the_doubled_batch_where_they_sample_one_path(tmp_path):
    (alone,) = run_processes(1, train_one_path, tmp_path / "one")
    first, second = run_processes(2, train_one_path, tmp_path / "two")
    assert first == second
    for name, value in alone.items():
        assert first[name] == pytest.approx(value, rel=1e-5, abs=1e-4), name


@needs_gloo
def test_ranks_sample_different_paths_and_stay_one_network(tmp_path):
    first, second = run_processes(2, search_together, tmp_path / "two")
    assert first["paths"] != second["paths"]
    assert first["state"] == second["state"]  # bit for bit: weights, logits and statistics
    assert first["taken"] == second["taken"] is not None
    assert first["fixed"] == second["fixed"] != []
    assert first["threads"] == second["threads"]  # chosen by timing steps, by the first one
    steps = [json.loads(line)["step"] for line in (tmp_path / "two" / "run" / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 13))
