"""Threads of a training: what a run computes with, and that it goes on with as many as it began with."""

import os
import subprocess
import sys

import pytest
import torch

from hwnas.errors import HwnasError, UsageError
from hwnas.files import read_json
from hwnas.train.threads import THREADS_FILE, training_threads
from tests.conftest import ROOT


@pytest.fixture(autouse=True)
def threads_as_they_were():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_a_run_goes_on_with_the_threads_it_began_with(tmp_path):
    torch.set_num_threads(3)
    with training_threads(tmp_path) as began:
        assert began == torch.get_num_threads() == 3
    torch.set_num_threads(1)  # as on another machine
    with training_threads(tmp_path) as now:
        assert now == torch.get_num_threads() == 3
    assert torch.get_num_threads() == 1


def test_threads_that_are_asked_for_count_and_are_kept(tmp_path):
    torch.set_num_threads(1)
    with training_threads(tmp_path):
        pass
    with training_threads(tmp_path, 2):
        assert torch.get_num_threads() == 2
    with training_threads(tmp_path) as now:
        assert now == 2


def test_threads_are_put_back_after_a_failure(tmp_path):
    torch.set_num_threads(1)
    with pytest.raises(HwnasError, match="no room"), training_threads(tmp_path, 2):
        raise HwnasError("no room")
    assert torch.get_num_threads() == 1


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
