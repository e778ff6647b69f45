"""The programs on this machine that reach a device: run one, and be sure that it ends and nothing of it stays."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from hwnas.errors import HwnasError, UsageError


@dataclass(frozen=True)
class ClientEnd:
    """How a client program ended."""

    exit_code: int | None
    """None: it did not end in time and was killed."""
    output: bytes
    error: bytes


def run_client(command: Sequence[str], timeout_s: float, install: str, source: Path | None = None) -> ClientEnd:
    """Run a program of this machine, with everything it starts in a process group of its own.

    Args:
        command: program and arguments.
        timeout_s: after so long the whole group is killed.
        install: what to do if there is no such program; the end of the error's sentence.
        source: the file that is its standard input; None: nothing is.

    Raises:
        HwnasError: there is no such program, or it cannot be started.
        UsageError: the arguments are longer than this system can pass on.
    """
    # files and not pipes: a program that goes on in the background, as ssh's master does, would keep a pipe open
    with (
        tempfile.TemporaryFile() as output,
        tempfile.TemporaryFile() as error,
        Path(source or os.devnull).open("rb") as given,
    ):
        process = _start(command, install, stdin=given, stdout=output, stderr=error)
        try:
            exit_code: int | None = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            exit_code = None
        finally:
            if process.poll() is None:
                _end_session(process.pid)
                process.wait()
        output.seek(0)
        error.seek(0)
        return ClientEnd(exit_code, output.read(), error.read())


def _end_session(leader: int) -> None:
    """Kill a program and all that it has started: also in process groups of their own, as coreutils' `timeout` does."""
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)
    for pid in psutil.pids():
        with suppress(ProcessLookupError, PermissionError):
            if os.getsid(pid) == leader:
                os.kill(pid, signal.SIGKILL)


def _start(
    command: Sequence[str], install: str, stdin: IO[bytes], stdout: IO[bytes], stderr: IO[bytes]
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(command, start_new_session=True, stdin=stdin, stdout=stdout, stderr=stderr)
    except FileNotFoundError:
        raise HwnasError(f"there is no program {command[0]} on this machine; {install}") from None
    except ValueError:  # half a character, or a NUL
        raise UsageError(f"{list(command)!r} holds a character that no program can be given.") from None
    except OSError as problem:
        if problem.errno == errno.E2BIG:
            raise UsageError("the arguments are too long to be sent to a device; put them into a file.") from None
        raise HwnasError(f"{command[0]} cannot be started: {problem.strerror}; {install}") from None
