"""Threads of a training: what a run computes with, and that it goes on with as many as it began with."""

import os
import shutil
import subprocess
import sys

import pytest
import torch

from hwnas.errors import HwnasError, UsageError
from hwnas.files import read_json
from hwnas.run import Run
from hwnas.searches.search import get_search
from hwnas.train import threads
from hwnas.train.data import load_data
from hwnas.train.threads import THREADS_FILE, fastest, training_threads
from tests.conftest import ROOT
from tests.test_dsnas import problem
from tests.test_search_resume import digest
from tests.weekly import weekly_except


@pytest.fixture(autouse=True)
def threads_as_they_were():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_a_run_goes_on_with_the_threads_it_began_with(tmp_path):
    torch.set_num_threads(3)
    with training_threads(tmp_path) as began:
        assert began.count == torch.get_num_threads() == 3
    torch.set_num_threads(1)  # as on another machine
    with training_threads(tmp_path) as now:
        assert now.count == torch.get_num_threads() == 3
    assert torch.get_num_threads() == 1


def test_threads_that_are_asked_for_count_and_are_kept(tmp_path):
    torch.set_num_threads(1)
    with training_threads(tmp_path):
        pass
    with training_threads(tmp_path, 2):
        assert torch.get_num_threads() == 2
    with training_threads(tmp_path) as now:
        assert now.count == 2


def test_threads_are_put_back_after_a_failure(tmp_path):
    torch.set_num_threads(1)
    with pytest.raises(HwnasError, match="no room"), training_threads(tmp_path, 2):
        raise HwnasError("no room")
    assert torch.get_num_threads() == 1


def test_the_fastest_number_is_taken_and_of_two_about_as_fast_the_smaller():
    assert fastest({1: 0.30, 2: 0.16, 4: 0.10}) == 4
    assert fastest({1: 0.30, 2: 0.103, 4: 0.10}) == 2
    assert fastest({1: 0.10, 2: 0.24}) == 1


@pytest.fixture(scope="module")
def digits():
    return load_data("digits", resolution=16, batch_size=32, limit_train=64, workers=0)


def searched(method: str, data, folder) -> str:
    """The digest of all weights of a short search, on a machine of two cores as torch sees it."""
    torch.set_num_threads(2)
    chosen, run = get_search(method), Run(folder, {})
    with training_threads(folder):
        assert torch.get_num_threads() == 1
        found = chosen.search(problem(data, epochs=1), run, None, chosen.resolve({}))
        assert torch.get_num_threads() == read_json(folder / THREADS_FILE, "the threads")["training_threads"]
    return digest(found)


@pytest.mark.parametrize("method", weekly_except(["single-path"], ["dsnas", "single-path"]))
def test_the_choice_leaves_no_trace_and_a_run_that_is_repeated_does_not_choose_again(
    tmp_path, monkeypatch, caplog, digits, method
):
    """The second run begins with the number of the first one, as a run that was killed right after the choice."""
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(threads, "WORTH_STEPS", 1)
    monkeypatch.setattr(threads, "ROUNDS", 1)
    monkeypatch.setattr(threads, "fastest", max)  # two threads, even on a machine where one is faster
    caplog.set_level("INFO", "hwnas")
    random_numbers = torch.random.get_rng_state()
    first = searched(method, digits, tmp_path / "chosen")
    assert torch.equal(torch.random.get_rng_state(), random_numbers)
    kept = read_json(tmp_path / "chosen" / THREADS_FILE, "the threads")
    assert (kept["training_threads"], sorted(kept["seconds_per_step"])) == (2, ["1", "2"])
    (said,) = (record.getMessage() for record in caplog.records if "steps/s" in record.getMessage())
    assert said.startswith("Training with 2 threads per process: ")
    Run(tmp_path / "repeated", {})
    shutil.copy(tmp_path / "chosen" / THREADS_FILE, tmp_path / "repeated")
    monkeypatch.setattr(threads, "_step_seconds", None)  # chooses no more
    assert searched(method, digits, tmp_path / "repeated") == first


def test_a_short_training_is_not_timed(tmp_path, monkeypatch, digits):
    monkeypatch.delenv("OMP_NUM_THREADS")
    searched("dsnas", digits, tmp_path / "run")
    kept = read_json(tmp_path / "run" / THREADS_FILE, "the threads")
    assert (kept["training_threads"], kept["seconds_per_step"]) == (1, {})


@pytest.mark.parametrize("content", ["{", "[]", '{"training_threads": 0}', '{"training_threads": true}'])
def test_a_damaged_number_of_threads_is_refused(tmp_path, content):
    (tmp_path / THREADS_FILE).write_text(content)
    with pytest.raises(HwnasError, match=f"{THREADS_FILE} is damaged"), training_threads(tmp_path):
        pass
    with training_threads(tmp_path, 1):  # the cure
        pass
    assert read_json(tmp_path / THREADS_FILE, "the threads") == {"training_threads": 1}


def test_no_threads_are_refused(tmp_path):
    with pytest.raises(UsageError, match="1 thread or more, not 0"), training_threads(tmp_path, 0):
        pass


@pytest.mark.parametrize(
    ("given", "spins"),
    [({}, "5000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")],
)
def test_threads_that_wait_do_not_spin_for_long_unless_somebody_wants_that(given, spins):
    shown = "import os, hwnas; print(os.environ.get('GOMP_SPINCOUNT'))"
    clean = {key: value for key, value in os.environ.items() if key not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    command = [sys.executable, "-c", shown]
    done = subprocess.run(command, env=clean | given, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == spins
