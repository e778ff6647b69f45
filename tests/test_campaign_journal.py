"""Journal: what survives crashes, full disks and foreign hands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hwnas.campaign.journal import Journal
from hwnas.errors import HwnasError
from hwnas.records import read_record

IDENTITY = {"runtime": "litert", "threads": 1}
NEXT = {"entry": "next", "runs_us": [3.5]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal with three records."""
    path = tmp_path / "new" / "journal.jsonl"
    with Journal(path, IDENTITY) as journal:
        for number in range(3):
            journal.append({"entry": f"block {number}", "runs_us": [1.5, 2.5]})
    return path


def reopened(path: Path) -> list[str]:
    """The entries that a journal holds, after one more was appended and it was opened again."""
    with Journal(path, IDENTITY) as journal:
        journal.append(NEXT)
    assert read_record(path.read_text().splitlines()[-1]) == NEXT, "something of a torn line is left"
    with Journal(path, IDENTITY) as journal:
        assert journal.records[-1] == NEXT
        return [record["entry"] for record in journal.records[:-1]]


def test_is_json_lines_after_a_header(path: Path) -> None:
    lines = [read_record(line) for line in path.read_text().splitlines()]
    assert lines[0] == {"hwnas_journal": 1, "identity": IDENTITY}
    assert lines[2] == {"entry": "block 1", "runs_us": [1.5, 2.5]}
    assert reopened(path) == ["block 0", "block 1", "block 2"]


def test_a_file_torn_at_any_byte_loses_the_last_line_at_most(path: Path) -> None:
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        complete = max(whole[:length].count(b"\n") - 1, 0)
        assert reopened(path) == [f"block {number}" for number in range(complete)], length


@pytest.mark.parametrize("tail", [b"\0" * 40, b"\0" * 40 + b"\n", b'{"entry": "blo\n', b"[1, 2]\n"])
def test_a_garbled_last_line_is_dropped(path: Path, tail: bytes) -> None:
    """File systems that keep a file's length but not its last bytes leave such tails after a power cut."""
    path.write_bytes(path.read_bytes() + tail)
    assert reopened(path) == ["block 0", "block 1", "block 2"]


def test_damage_before_the_end_is_named_by_line_and_left_alone(path: Path) -> None:
    damaged = path.read_bytes().replace(b'{"entry": "block 1"', b'{"entry": "block')
    path.write_bytes(damaged)
    with pytest.raises(HwnasError, match=r"journal.jsonl, line 3, is damaged: .*Delete that line"):
        Journal(path, IDENTITY)
    assert path.read_bytes() == damaged


@pytest.mark.parametrize(
    ("record", "rule"),
    [
        ({"entry": "next"}, "a visit to an entry must have runs_us"),
        ({"entry": "next", "runs_us": []}, "a visit to an entry must have runs_us"),
        ({"reference": "abc"}, "a look at the reference model must have runs_us"),
        ({"entry": "next", "runs_us": [1.5, 0]}, r"runs_us\[1\]: must be greater than 0 \(found 0\)"),
        ({"entry": None, "runs_us": [1.5]}, "entry: must be a valid string"),
    ],
)
def test_a_visit_without_valid_runs_is_named_by_file_and_line(path: Path, record: dict[str, object], rule: str) -> None:
    with Journal(path, IDENTITY) as journal:
        journal.append(record)
    with pytest.raises(HwnasError, match=rf"journal.jsonl, line 5, is damaged: {rule}.*; delete that line to lose one"):
        Journal(path, IDENTITY)


@pytest.mark.parametrize("content", [b"precious notes\n", b"precious", b'{"other": 1}\n', b"\0\0\0\0", b"\n"])
def test_a_file_that_is_no_journal_is_never_written_to(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(HwnasError, match="is not a journal"):
        Journal(path, IDENTITY)
    assert path.read_bytes() == content


def test_other_conditions_are_listed_and_nothing_is_mixed(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(HwnasError, match=r"threads: 1 in the journal, 2 now\). Restore .*another folder"):
        Journal(path, IDENTITY | {"threads": 2})
    assert path.read_bytes() == before
    assert reopened(path) == ["block 0", "block 1", "block 2"]


def test_two_campaigns_cannot_write_one_journal(path: Path) -> None:
    pytest.importorskip("fcntl")
    with Journal(path, IDENTITY), pytest.raises(HwnasError, match="in use: another process"):
        Journal(path, IDENTITY)
    assert reopened(path) == ["block 0", "block 1", "block 2"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A file where a folder should be, and a folder where the file should be: these stop even root."""
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "journal.jsonl", tmp_path):
        with pytest.raises(HwnasError, match=r"cannot write the journal .*What it may hold is unchanged\. Make room"):
            Journal(path, IDENTITY)


def test_a_full_disk_keeps_what_was_finished(tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk: the kernel refuses the write half-way, as it does there,
    and unlike a small mounted file system it needs no privileges. In a subprocess, because it holds for a process."""
    pytest.importorskip("resource")  # not on Windows
    path = tmp_path / "journal.jsonl"
    code = f"""
import resource
from pathlib import Path
from hwnas.errors import HwnasError
from hwnas.campaign.journal import Journal
from hwnas.records import read_record
resource.setrlimit(resource.RLIMIT_FSIZE, (1200, 1200))
journal = Journal(Path({str(path)!r}), {IDENTITY})
try:
    while True:
        journal.append({{"entry": "x" * 200, "runs_us": [1.5]}})
except HwnasError as error:
    print(len(journal.records), error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "The 4 records before this are kept. Make room" in done.stdout
    assert path.read_bytes().endswith(b"}\n")
    assert reopened(path) == ["x" * 200] * 4
