"""What is left on a device is found and ended by every kind of tools that a device may have; nothing else is."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from hwnas.transports.own_folder import MARKER, end_leftovers, marked
from tests.device_environment import lacking


@pytest.fixture(params=["coreutils", "toybox", "busybox"])
def shell(request, tmp_path, monkeypatch) -> str:
    """A shell, and on PATH nothing but tools of one kind."""
    if request.param == "coreutils":
        return "sh"
    tools, interpreter = shutil.which(request.param), shutil.which("mksh" if request.param == "toybox" else "busybox")
    if not tools or not interpreter:
        lacking(f"{request.param} is not installed here, or has no shell")
    listed = subprocess.run(
        [tools, *(["--list"] if request.param == "busybox" else [])], capture_output=True, text=True
    )
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in listed.stdout.split():
        (programs / name).symlink_to(tools)
    (programs / "sh").unlink(missing_ok=True)
    (programs / "sh").symlink_to(interpreter)
    monkeypatch.setenv("PATH", str(programs))
    return str(programs / "sh")


def test_leftovers(shell, tmp_path):
    folder, other = tmp_path / "a folder's place", tmp_path / "a folder's place 2"
    for path in (folder, other):
        path.mkdir()
    ours = ["half.0123abcd.part", ".hidden.0123abcd.part"]
    anothers_files = ["whole", "thesis.part", ".thesis.part", "half.0123ABCD.part", "to.0123abcd.part"]
    for name in (*ours, *anothers_files[:-1]):
        (folder / name).touch()
    (folder / anothers_files[-1]).symlink_to("whole")
    (other / ours[0]).touch()
    (folder / MARKER).touch()
    script = "trap '' TERM HUP\nsleep 4327 & sleep 4327; true"
    process, anothers = (
        subprocess.Popen([shell, "-c", f"{marked(str(path))}\ncd /; exec sh -c {script!r}"]) for path in (folder, other)
    )
    unmarked = subprocess.Popen([shell, "-c", "exec sleep 4328"], cwd=folder)
    try:
        end(shell, folder)
        assert process.wait(5) == -9
        assert (anothers.poll(), unmarked.poll()) == (None, None)
        assert {path.name for path in folder.iterdir()} == {MARKER, *anothers_files}
        end(shell, other)
        assert (other / ours[0]).exists(), "hwnas did not make that folder"
        assert anothers.wait(5) == -9
    finally:
        for each in (process, anothers, unmarked):
            each.kill()
            each.wait()


def test_a_shell_that_was_about_to_start_a_program(shell, tmp_path):
    """On a busy device the connection may be lost before the shell has marked anything."""
    folder, other = tmp_path / "a folder's [place].*", tmp_path / "a folder's [place].* 2"
    process, anothers = (
        subprocess.Popen([shell, "-c", f"read wait\n{marked(str(path))}\ncd /; exec sleep 4329"], stdin=subprocess.PIPE)
        for path in (folder, other)
    )
    try:
        end(shell, folder)
        assert process.wait(5) == -9
        assert anothers.poll() is None
        end(shell, other)
        assert anothers.wait(5) == -9
    finally:
        for each in (process, anothers):
            each.kill()
            each.wait()


def test_a_folder_that_is_not_there(shell, tmp_path):
    end(shell, tmp_path / "nothing")


def end(shell: str, folder: Path) -> None:
    done = subprocess.run([shell, "-c", end_leftovers(str(folder))], capture_output=True, timeout=20)
    assert (done.returncode, done.stdout) == (0, b"")
