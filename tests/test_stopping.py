"""Whatever ends a command, nothing temporary stays: signals at once, and kills with the next command."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import pytest

from hwnas.cli.app import GOING_ON, app
from hwnas.temporary import (
    FILES,
    is_abandoned,
    make_temporary_folder,
    owner,
    remove_abandoned_files,
    temporary_folder,
    temporary_name,
)
from tests.android.machine import wait_until
from tests.commands import completed
from tests.small_models import feature_net, model_bytes
from tests.test_output import hwnas
from tests.weekly import weekly_except

ENDED = "from hwnas.temporary import owner; print(owner())"


@pytest.fixture
def gone() -> str:
    """The owner's mark of a process that has ended."""
    return subprocess.run([sys.executable, "-c", ENDED], stdout=-1, text=True, check=True).stdout.strip()


def test_only_what_an_ended_process_of_this_machine_left_is_abandoned(gone):
    other_machine = f"{'0' * 6 if gone[:6] != '0' * 6 else '1' * 6}{gone[6:]}"
    assert is_abandoned(f".hwnas-{gone}.part", FILES)
    for name in (temporary_name(), f".hwnas-{other_machine}.part", f".hwnas-{gone}.part2", ".hwnas-mine.part"):
        assert not is_abandoned(name, FILES), name


def test_what_a_killed_process_left_goes_and_nothing_else(tmp_path, gone):
    left = tmp_path / f"hwnas-{gone}"
    (left / "deep").mkdir(parents=True)
    persons = [tmp_path / name for name in (f"hwnas-{owner()}", "hwnas-photos", "photos")]
    for folder in persons:
        folder.mkdir()
        (folder / f".hwnas-{gone}.part").touch()
    (left / "link").symlink_to(tmp_path / "photos")
    other_left = gone[:-1] + ("0" if gone[-1] != "0" else "1")
    (tmp_path / f"hwnas-{other_left}").symlink_to(tmp_path / "photos")
    with temporary_folder(tmp_path) as folder:
        assert folder.is_dir() and not left.exists()
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()
    assert all((folder / f".hwnas-{gone}.part").exists() for folder in persons)
    remove_abandoned_files(tmp_path / "photos", re.compile("nothing of ours"))
    assert (tmp_path / "photos" / f".hwnas-{gone}.part").exists()
    remove_abandoned_files(tmp_path / "photos")
    assert list((tmp_path / "photos").iterdir()) == []


def test_a_file_of_the_longest_name_is_written(tmp_path):
    from hwnas.files import write_json

    name = "n" * 250 + ".json"
    write_json(tmp_path / name, {})
    assert os.listdir(tmp_path) == [name]


def test_a_design_of_images_with_the_longest_name_has_a_folder(tmp_path):
    from hwnas.designer.config import DesignConfig, default_folder

    for name in ("d" * 255, "é" * 127, "日" * 85):
        (tmp_path / name).mkdir()
        folder = default_folder(DesignConfig(data=str(tmp_path / name), device="d" * 200, budget_ms=1))
        (tmp_path / folder).mkdir(parents=True)


SIGNALS = [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGKILL, -9)]


@pytest.mark.parametrize(("number", "exit_code"), weekly_except([SIGNALS[0], SIGNALS[2]], SIGNALS))
def test_a_signal_in_mid_bench_leaves_nothing(tmp_path, monkeypatch, number, exit_code):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    (tmp_path / "model.tflite").write_bytes(model_bytes(feature_net(), ".tflite"))
    (tmp_path / "slow.toml").write_text('name = "slow"\nmin_ms = 60000\nmax_ms = 60000\nmax_runs = 1000000\n')
    before = signal.getsignal(signal.SIGHUP)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored, and hwnas would leave it so
    process = hwnas("bench", "model.tflite", "--device", "slow.toml", cwd=tmp_path, stdout=subprocess.PIPE)
    signal.signal(signal.SIGHUP, before)
    wait_until(lambda: any(temporary.glob("hwnas-*/task.json")), "the bench is at work", 60)
    process.send_signal(number)
    told = process.communicate(timeout=30)[1].decode()
    assert process.returncode == exit_code, told
    if number != signal.SIGKILL:
        assert "stopped. Repeat the command to start again" in told and "Traceback" not in told
    else:
        monkeypatch.setattr("tempfile.tempdir", str(temporary))
        make_temporary_folder().rmdir()
    assert os.listdir(temporary) == []


def test_the_verbs_that_go_on_are_verbs():
    """A stopped one says that what was finished is kept: see tests/test_cli.py for one that is."""
    assert set(GOING_ON) <= {each.name or each.callback.__name__ for each in app.registered_commands}


def test_more_threads_than_cores_are_refused_before_any_work(tmp_path):
    (tmp_path / "model.tflite").write_bytes(model_bytes(feature_net(), ".tflite"))
    done = completed("bench", tmp_path / "model.tflite", "--threads", 500)
    told = " ".join(done.stderr.split())
    assert done.returncode == 2
    assert "threads is 500, but local can run on" in told
    assert f"at most {len(os.sched_getaffinity(0))}" in told


def test_the_log_of_stages_says_what_is_done_and_left():
    from hwnas.report.progress import StageLog

    lines: list[str] = []
    now = [0.0]
    log = StageLog(lines.append, lambda: now[0])
    log.still()
    log.update("measure", 10, 100, "")
    now[0] = 60
    log.update("measure", 40, 100, "k3 e6, drift +0.1 %")
    log.still()
    now[0] = 180
    log.update("measure", 100, 100, "")
    log.still()
    log.update("search", 0, 7, "")
    now[0] = 7200
    log.still()
    assert lines == [
        "starting, 0:00:00 elapsed",
        "measure: 10/100, 0:00:00 elapsed",
        "measure: 40/100, 0:01:00 elapsed, about 0:02:00 left, k3 e6, drift +0.1 %",
        "measure: 100/100, 0:03:00 elapsed",
        "measure: 100/100, 0:03:00 elapsed, working on what follows",
        "search: 0/7, 0:00:00 elapsed",
        "search: 0/7, 1:57:00 elapsed",
    ]


def test_a_command_that_is_told_nothing_still_says_that_it_is_at_work(monkeypatch, capsys):
    import time

    from hwnas.report import progress

    monkeypatch.setattr(progress, "EVERY_S", 0.05)
    with progress.progress_bars() as update:
        update("export", 0, 2, "[/red]\x1b")
        time.sleep(1)
    assert capsys.readouterr().err.count("export: 0/2, 0:00:0") > 2
