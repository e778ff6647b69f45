"""The sandbox: work on a stranger's file in a process with limits, from which any accident is one clear error here.

Both sides are in this module. `run_sandboxed` starts ``python -m MODULE``, whose ``main`` calls `serve`. A task goes
over as JSON, its result comes back as JSON. The process may crash, hang, eat memory or print anything.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from numbers import Real
from pathlib import Path
from typing import Any

from hwnas.errors import HwnasError, UsageError
from hwnas.temporary import temporary_folder
from hwnas.text import excerpt

GIB = 2**30
MEMORY_BYTES = 8 * GIB
"""Address space of the process. A runtime with a network of a phone's size needs below 1 GiB."""

ANSWER_BYTES = 256 * 2**20
"""The largest file that the process can write, and therefore the largest answer."""

TASK, ANSWER, WORDS = "task.json", "answer.json", "words.txt"

_PARENT_DIED = 1  # PR_SET_PDEATHSIG of <linux/prctl.h>
_START = "import runpy, sys; sys.path.append(sys.argv[1]); runpy.run_module(sys.argv[2], run_name='__main__')"


def run_sandboxed(
    module: str, task: dict[str, Any], who: str, what: str, timeout_s: float, memory_bytes: int = MEMORY_BYTES
) -> dict[str, Any]:
    """The result of a task, worked on in a fresh process that is stopped with all it started, however this call ends.

    The process works in an empty temporary folder, loads Python code from no other folder than this process does (least
    of all from the one the model lies in), and leaves no core dump.

    Args:
        module: Called as ``python -m``; its ``main`` hands the work to `serve`.
        task: JSON values; paths in it are absolute.
        who: the program that does the work, for messages: "litert", as in "litert crashed on model.tflite".
        what: the object of its work: "model.tflite".
        timeout_s: Seconds by the clock after which it is stopped.
        memory_bytes: Limit of its address space.

    Raises:
        HwnasError: The process crashed, hung, needed more memory or answered nonsense; or the work raised one.
        UsageError: The work raised one, or the time is none.
    """
    if not (isinstance(timeout_s, Real) and timeout_s > 0):
        raise UsageError(f"timeout_s must be a number of seconds above 0, not {excerpt(timeout_s)}.")
    with temporary_folder() as folder:
        (folder / TASK).write_text(json.dumps({"memory_bytes": memory_bytes, "parent": os.getpid(), "task": task}))
        code = _run(module, folder, timeout_s)
        if code is None:
            raise HwnasError(
                f"{who} did not finish with {what} within {timeout_s:g} s and was stopped. Either the file is "
                "damaged, or the work is that long: allow more time with --timeout-s."
            )
        answer, words = _answer(folder / ANSWER), _last_words(folder / WORDS)
    if answer is None:
        raise HwnasError(
            f"{who} crashed on {what} ({_cause(code, words)}): the file is damaged, or holds what cannot be run "
            f"here. Its last words: {words or 'none'}"
        )
    if "out_of_memory" in answer:
        raise HwnasError(
            f"{who} needed more than {memory_bytes / GIB:.3g} GiB of memory for {what} and was stopped: the file is "
            "damaged, or its network is too large for this tool."
        )
    if "error" in answer:
        raise (UsageError if answer["usage"] else HwnasError)(answer["error"])
    result: dict[str, Any] = answer["result"]
    return result


def serve(work: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """The other side: limit this process, do the work, leave the answer in the folder that this process works in."""
    given = json.loads(Path(TASK).read_text())
    _die_with_parent(given["parent"])
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, ANSWER_BYTES)
    _limit(resource.RLIMIT_AS, given["memory_bytes"])
    answer: dict[str, Any]
    try:
        answer = {"result": work(given["task"])}
    except HwnasError as error:
        answer = {"error": str(error), "usage": isinstance(error, UsageError)}
    except MemoryError:
        answer = {"out_of_memory": True}
    Path(ANSWER).write_text(json.dumps(answer))


def _run(module: str, folder: Path, timeout_s: float) -> int | None:
    """Exit code of the process, negative for a signal; None if its time was up."""
    # -P: a `numpy.py` beside a downloaded model is not code of ours
    command = [sys.executable, "-P", "-c", _START, str(Path(__file__).parents[1]), module]
    with (folder / WORDS).open("wb") as words:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=words,
            stderr=words,
            cwd=folder,
            env=os.environ | {"TMPDIR": str(folder)},
            start_new_session=True,  # a group of its own: Ctrl-C is for this process, which then stops the group
        )
        try:
            return process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        finally:
            _kill_group(process)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Stop the process and whatever it started: its number is also that of its group."""
    with suppress(ProcessLookupError, PermissionError):  # all gone; macOS answers so for a group of zombies
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _answer(path: Path) -> dict[str, Any] | None:
    """The answer of `serve`; None if it did not get that far."""
    try:
        answer = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return answer if isinstance(answer, dict) and answer.keys() & {"result", "error", "out_of_memory"} else None


def _last_words(path: Path, limit: int = 300) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - limit))
        return " ".join(file.read(limit).decode("utf-8", "replace").split())


def _cause(code: int, words: str) -> str:
    """The cause of the process's death."""
    if code >= 0:
        return f"it ended with exit code {code} and no result"
    if "bad_alloc" in words:
        return f"signal {-code}, out of memory"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "unknown"
    reason = ": the system stopped it, most likely because memory ran out" if -code == signal.SIGKILL else ""
    return f"signal {-code}, {name}{reason}"


def _limit(which: int, value: int) -> None:
    """Lower one limit of this process for good; a lower one that holds already stays."""
    hard = resource.getrlimit(which)[1]
    wanted = value if hard == resource.RLIM_INFINITY else min(value, hard)
    try:
        resource.setrlimit(which, (wanted, wanted))
    except ValueError:  # macOS has no limit of address space; the other limits hold there too
        if sys.platform == "linux":
            raise


def _die_with_parent(parent: int) -> None:
    """Have the kernel stop this process when the one that waits for it is gone, even by a `kill -9`."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PARENT_DIED, signal.SIGKILL)
        if os.getppid() != parent:  # it was gone before
            os.kill(os.getpid(), signal.SIGKILL)
