"""A process of its own with limits: whatever it does, one error comes back and nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from hwnas.errors import HwnasError, UsageError
from hwnas.sandbox import ANSWER_BYTES, GIB, run_sandboxed
from tests.conftest import ROOT


def ask(do: str, timeout_s: float = 30, memory_bytes: int = 2 * GIB, **task: Any) -> dict[str, Any]:
    return run_sandboxed(
        "tests.misbehaviour", {"do": do, **task}, "the reader", "model.tflite", timeout_s, memory_bytes
    )


def is_running(pid: int) -> bool:
    """Whether a process exists and is more than a zombie that nobody has asked for yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_gone(*pids: int) -> bool:
    deadline = time.monotonic() + 10
    while any(map(is_running, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(map(is_running, pids))


def wait_for(note: Path) -> list[int]:
    """The process numbers in a note, once it is written."""
    deadline = time.monotonic() + 20
    while not (note.exists() and " " in note.read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return [int(pid) for pid in note.read_text().split()]


def test_the_process_is_limited_and_its_folder_is_gone_afterwards() -> None:
    found = ask("report", memory_bytes=3 * GIB)
    assert found["limits"] == {"AS": 3 * GIB, "CORE": 0, "FSIZE": ANSWER_BYTES}
    assert found["pid"] != os.getpid() and not is_running(found["pid"])
    assert not Path(found["folder"]).exists()
    assert "" not in found["path"] and found["folder"] not in found["path"]


def test_code_beside_a_model_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("json", "runpy", "numpy", "hwnas"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('code of a stranger')")
    monkeypatch.chdir(tmp_path)
    assert ask("report")["pid"]


@pytest.mark.parametrize(("usage", "kind"), [(True, UsageError), (False, HwnasError)])
def test_an_error_of_the_work_comes_back_as_it_is(usage: bool, kind: type[HwnasError]) -> None:
    with pytest.raises(HwnasError, match=r"^the file smells\.$") as caught:
        ask("refuse", usage=usage)
    assert type(caught.value) is kind


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGFPE", "SIGBUS", "SIGILL", "SIGKILL"])
def test_a_crash_is_named_with_its_last_words(name: str) -> None:
    message = rf"the reader crashed on model.tflite \(signal {int(getattr(signal, name))}, {name}.*: about to die"
    with pytest.raises(HwnasError, match=message):
        ask("die", signal=name)


def test_an_end_without_a_result_is_named() -> None:
    with pytest.raises(HwnasError, match=r"crashed on model.tflite \(it ended with exit code 3 and no result\)"):
        ask("leave")
    with pytest.raises(HwnasError, match=r"it ended with exit code 0 and no result"):
        ask("nonsense")


def test_memory_has_a_limit() -> None:
    assert ask("eat", bytes=10**8) == {"eaten": 10**8}
    with pytest.raises(HwnasError, match=r"needed more than 0\.5 GiB of memory for model.tflite"):
        ask("eat", bytes=GIB, memory_bytes=GIB // 2)


def test_files_have_a_limit() -> None:
    with pytest.raises(HwnasError, match=r"crashed .*File too large"):
        ask("fill", bytes=ANSWER_BYTES + 1)


def test_what_it_prints_does_not_matter() -> None:
    assert ask("chatter") == {"said": "enough"}


def test_a_hang_is_stopped_with_all_that_it_started(tmp_path: Path) -> None:
    note = tmp_path / "note"
    started = time.monotonic()
    with pytest.raises(HwnasError, match=r"did not finish with model.tflite within 2 s and was stopped.*--timeout-s"):
        ask("hang", timeout_s=2, note=str(note))
    assert time.monotonic() - started < 10
    assert wait_until_gone(*wait_for(note))


@pytest.mark.parametrize("name", ["SIGINT", "SIGKILL"])
def test_it_does_not_outlive_the_one_that_waits_for_it(tmp_path: Path, name: str) -> None:
    """After Ctrl-C nothing is left. After `kill -9`, the kernel stops the process itself; its own are its business."""
    if name == "SIGKILL" and sys.platform != "linux":
        pytest.skip("only Linux stops a process with its parent")
    note = tmp_path / "note"
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from hwnas.sandbox import run_sandboxed\n"
        f"run_sandboxed('tests.misbehaviour', {{'do': 'hang', 'note': {str(note)!r}}}, 'the reader', 'a file', 60)"
    )
    environment = os.environ | {"TMPDIR": str(tmp_path)}  # whoever is killed cannot remove its temporary folder
    waiting = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.DEVNULL, env=environment)
    process, started_by_it = wait_for(note)
    waiting.send_signal(getattr(signal, name))
    waiting.wait(10)
    assert wait_until_gone(process)
    if name == "SIGINT":
        assert wait_until_gone(started_by_it)
    elif is_running(started_by_it):
        os.kill(started_by_it, signal.SIGKILL)
