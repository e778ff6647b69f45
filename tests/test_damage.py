"""Damaged files are found, not believed; the checkpoint before stands in; a full disk and a kill leave nothing."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from functools import partial
from pathlib import Path

import pytest
import torch

import hwnas
import hwnas.train.loop as loop
from hwnas.campaign.journal import Journal, RepetitionRecord
from hwnas.child import ChildNetwork
from hwnas.errors import HwnasError
from hwnas.files import read_json
from hwnas.latency.additive import AdditivePredictor
from hwnas.latency.fitting.fit import fit
from hwnas.latency.tables.table import LatencyTable
from hwnas.run import Run
from hwnas.spaces import get_space
from hwnas.temporary import temporary_folder
from hwnas.train.checkpoint import load_newest, save_checkpoint
from hwnas.train.child import train_child
from hwnas.train.data import load_data
from tests.test_latency import made_table
from tests.weekly import weekly_except

ROOT = Path(__file__).resolve().parent.parent


def damaged(path: Path, at: float) -> bytes:
    """A file with a page of zeros, or less, from a share of its length on; returns what it held."""
    whole = path.read_bytes()
    start = int(at * len(whole))
    path.write_bytes(whole[:start] + bytes(len(whole[start : start + 4096])) + whole[start + 4096 :])
    return whole


def train(folder: Path) -> ChildNetwork:
    """With a checkpoint after every step."""
    data = load_data("digits", 16, batch_size=8, workers=0, limit_train=24)
    architecture = get_space("tiny", 16, 10, 0.25).decode([3] * 7)
    with pytest.MonkeyPatch.context() as every_step:
        every_step.setattr(loop.train, "__defaults__", (None, 0.0))
        return train_child(architecture, data, Run(folder, {}), epochs=2)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, ChildNetwork]:
    """A run with two checkpoints, and the child that it gives."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    return folder, train(folder)


@pytest.fixture
def trained(finished, tmp_path):
    """Its copy, the child that it gives, and what trains it."""
    folder, child = finished
    shutil.copytree(folder, tmp_path / "run")
    return tmp_path / "run", child, partial(train, tmp_path / "run")


@pytest.mark.parametrize("at", weekly_except([0.0, 0.5, 0.99], [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99]))
def test_a_page_of_zeros_in_the_newest_checkpoint_sends_it_back_to_the_one_before(trained, at, caplog):
    folder, child, train = trained
    damaged(folder / "checkpoint.pt", at)
    again = train()
    assert "checkpoint.pt is damaged" in caplog.text and "checkpoint.previous.pt" in caplog.text
    assert all((again.state_dict()[name] == tensor).all() for name, tensor in child.state_dict().items())


def test_a_checkpoint_that_cannot_be_read_just_now_stays(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    for step in (1, 2):
        save_checkpoint(path, {"step": step})

    def opened(*_):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(zipfile, "ZipFile", opened)
    with pytest.raises(HwnasError, match="cannot be read: Too many open files; repeat"):
        load_newest(path)
    monkeypatch.undo()
    assert load_newest(path) == {"step": 2}


READ_WITHOUT_MEMORY = """
import resource, sys
from pathlib import Path
import psutil
from hwnas.train.checkpoint import load_newest
path = Path(sys.argv[1])
limits = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + 2**24, limits[1]))
load_newest(path)
"""


def test_a_checkpoint_for_which_memory_is_short_just_now_stays(tmp_path):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"step": 2, "weights": torch.zeros(2**24)})
    # A process of its own: this one may have enough memory that earlier tests freed.
    ran = subprocess.run([sys.executable, "-c", READ_WITHOUT_MEMORY, path], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 1 and "HwnasError: there is not enough memory to read the checkpoint" in ran.stderr
    assert load_newest(path)["step"] == 2


def test_two_damaged_checkpoints_are_one_clear_error(trained):
    folder, _, train = trained
    for name in ("checkpoint.pt", "checkpoint.previous.pt"):
        damaged(folder / name, 0.4)
    with pytest.raises(HwnasError, match=r"checkpoint.previous.pt is damaged .* and so is .*checkpoint.pt"):
        train()
    with pytest.raises(HwnasError, match="is damaged"):  # and the first try has deleted none
        train()


@pytest.mark.parametrize("at", [0.0, 0.3, 0.6, 0.95])
def test_damaged_weights_are_not_believed(tmp_path, trained, at):
    _, child, _ = trained
    hwnas.save_child(child, tmp_path / "child")
    damaged(tmp_path / "child" / "weights.safetensors", at)
    with pytest.raises(HwnasError, match="weights"):
        hwnas.load_child(tmp_path / "child")


def a_digit_less(path: Path) -> None:
    """Another last digit of a number in the middle of a text: JSON and CSV as valid as before."""
    text = path.read_text()
    places = [i for i, sign in enumerate(text) if sign in "12345678" and text[i - 1] == "."]
    at = places[len(places) // 2] if places else next(i for i, s in enumerate(text) if s in "12345678")
    path.write_text(text[:at] + str(int(text[at]) + 1) + text[at + 1 :])


def test_a_changed_number_in_any_file_is_found(tmp_path, trained):
    folder, child, _ = trained
    hwnas.save_child(child, tmp_path)
    table = made_table(networks=6)
    table.save(tmp_path / "table")
    fit(table).save(tmp_path / "predictor.json")
    with Journal(tmp_path / "journal.jsonl", {"threads": 1}) as journal:
        for number in range(3):
            journal.append(RepetitionRecord(entry="a", runs_us=(1.5 + number,)))
    readers = {
        folder / "run.json": lambda path: Run(path.parent, {}),
        folder / "metrics.jsonl": lambda path: Run(path.parent, {}).metrics(),
        tmp_path / "architecture.json": lambda path: hwnas.load_child(path.parent),
        tmp_path / "predictor.json": AdditivePredictor.load,
        tmp_path / "table" / "blocks.csv": lambda path: LatencyTable.load(path.parent),
        tmp_path / "table" / "networks.csv": lambda path: LatencyTable.load(path.parent),
        tmp_path / "table" / "conditions.json": lambda path: read_json(path, "the table"),
        tmp_path / "journal.jsonl": lambda path: Journal(path, {"threads": 1}),
    }
    for path, read in readers.items():
        whole = path.read_bytes()
        read(path) if path.name != "journal.jsonl" else read(path).close()
        a_digit_less(path)
        with pytest.raises(HwnasError, match=rf"{path.name}.* damaged"):
            read(path)
        path.write_bytes(whole)


def test_a_full_disk_at_weights_and_checkpoints_is_one_paragraph_and_keeps_the_old_ones(full_disk):
    import torch

    from hwnas.train.checkpoint import load_newest, save_checkpoint

    small = hwnas.build_child(get_space("tiny", 16, 10, 0.25).decode([0] * 7))
    hwnas.save_child(small, full_disk)
    save_checkpoint(full_disk / "checkpoint.pt", {"step": 1})
    large = hwnas.build_child(get_space("tiny", 16, 10, 2.0).decode([3, 4, 3, 4, 4, 3, 4]))
    with pytest.raises(HwnasError, match=r"weights.safetensors: .*No space left"):
        hwnas.save_child(large, full_disk)
    with pytest.raises(HwnasError, match=r"cannot write .*checkpoint.pt"):
        save_checkpoint(full_disk / "checkpoint.pt", {"x": torch.zeros(500_000)})
    assert load_newest(full_disk / "checkpoint.pt") == {"step": 1}
    assert hwnas.load_child(full_disk).architecture == small.architecture
    assert not list(full_disk.glob(".*.part"))


LEAVE_A_TEMPORARY_FOLDER = """
import os
import resource
from hwnas.temporary import temporary_folder
with temporary_folder() as folder:
    (folder / "large").write_bytes(bytes(1000))
    os.kill(os.getpid(), 9)
"""


def test_the_temporary_folder_of_a_killed_process_goes_with_the_next_one(tmp_path, monkeypatch):
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", LEAVE_A_TEMPORARY_FOLDER], env=environment, cwd=ROOT)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (left,) = tmp_path.iterdir()
    with temporary_folder() as first, temporary_folder() as second:
        assert sorted(tmp_path.iterdir()) == sorted([first, second])
    assert not left.exists() and not list(tmp_path.iterdir())
