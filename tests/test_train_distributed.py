"""Several processes: two real ones of a gloo group, against one process on the doubled batch."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent

WORKER = """
import json, os, sys
import torch
from hwnas.latency.budget import Budget
from hwnas.latency.fitting.fit import fit
from hwnas.searches.problem import SearchProblem
from hwnas.searches.dsnas import DSNASSettings, DSNASTrainer
from hwnas.spaces import get_space
from hwnas.train import distributed
from hwnas.train.data import load_data
from hwnas.train import threads
from hwnas.train.loop import open_run, train
from tests.test_latency import made_table

mode, out = sys.argv[1:]
torch.set_num_threads(1)
distributed.join()
space = get_space("tiny", resolution=16, width=0.25)
predictor = fit(made_table(space, networks=12))
fastest, slowest = (predictor.predict(a).ms for a in predictor.extremes(space))
data = load_data("digits", resolution=16, batch_size=32, limit_train=128, workers=0)
problem = SearchProblem(data, Budget((fastest + slowest) / 2, space, predictor), epochs=3)
lr = 0.05 if mode == "same-path" else 0.5  # at a higher rate rounding errors grow within a few steps
settings = DSNASSettings(lr=lr, pretrain=0.0, search=0.7, fixing_gap=0.05, clip_norm=None)
trainer = DSNASTrainer(problem, settings)
if mode == "same-path":  # batch norms as in evaluation, and one path for all: what must equal a doubled batch
    trainer.derived = [0] * 7
    trainer.net.eval()
    for images, labels in data.train_batches(0):
        trainer.step(distributed.share(images), distributed.share(labels))
    paths, count = [], torch.get_num_threads()
else:
    paths = [trainer.sample()[0] for trainer.step_count in range(4)]
    trainer.step_count = 0
    run = open_run(out + "/run", {})
    del os.environ["OMP_NUM_THREADS"]
    torch.set_num_threads(2 * (1 + distributed.rank()))  # each finds another number of cores
    threads.WORTH_STEPS, threads.ROUNDS = 1, 1
    with threads.training_threads(run.folder) as chosen:
        train(trainer, data, run, checkpoint_seconds=0.0)
        count = torch.get_num_threads()
    assert chosen.count == count
    if trainer.derived is None:
        trainer.derive()
values = trainer.net.state_dict()
state = {name: value.double().sum().item() for name, value in values.items() if value.is_floating_point()}
result = {"paths": paths, "state": state, "taken": trainer.derived, "fixed": sorted(trainer.fixed), "threads": count}
with open(f"{out}/{distributed.rank()}.json", "w") as file:
    json.dump(result, file)
"""


def run_processes(count: int, mode: str, folder: Path, worker: str = WORKER) -> list[dict]:
    """The results of `count` processes that train together: what `worker` writes."""
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    environment = os.environ | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    if count > 1:
        environment["WORLD_SIZE"] = str(count)
    command = [sys.executable, "-c", worker, mode, str(folder)]
    processes = [
        subprocess.Popen(command, cwd=ROOT, env=environment | ({"RANK": str(rank)} if count > 1 else {}))
        for rank in range(count)
    ]
    assert [process.wait(timeout=300) for process in processes] == [0] * count
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(count)]


needs_gloo = pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="this torch has no gloo backend")


@needs_gloo
def test_two_processes_equal_one_on_the_doubled_batch_where_they_sample_one_path(tmp_path):
    (alone,) = run_processes(1, "same-path", tmp_path / "one")
    first, second = run_processes(2, "same-path", tmp_path / "two")
    assert first["state"] == second["state"]
    for name, value in alone["state"].items():
        assert first["state"][name] == pytest.approx(value, rel=1e-5, abs=1e-4), name


@needs_gloo
def test_ranks_sample_different_paths_and_stay_one_network(tmp_path):
    first, second = run_processes(2, "search", tmp_path / "two")
    assert first["paths"] != second["paths"]
    assert first["state"] == second["state"]  # bit for bit: weights, logits and statistics
    assert first["taken"] == second["taken"] is not None
    assert first["fixed"] == second["fixed"] != []
    assert first["threads"] == second["threads"]  # chosen by timing steps, by the first one
    steps = [json.loads(line)["step"] for line in (tmp_path / "two" / "run" / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 13))
