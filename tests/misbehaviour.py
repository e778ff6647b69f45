"""A process for tests of `hwnas.sandbox`: it does what its task says, however bad."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from hwnas.errors import HwnasError, UsageError
from hwnas.sandbox import ANSWER, serve


def main() -> None:
    serve(lambda task: globals()[task["do"]](task))


def report(task: dict[str, Any]) -> dict[str, Any]:
    limits = {name: resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))[0] for name in ("AS", "CORE", "FSIZE")}
    return {"limits": limits, "folder": str(Path.cwd()), "path": sys.path, "pid": os.getpid()}


def refuse(task: dict[str, Any]) -> dict[str, Any]:
    raise (UsageError if task["usage"] else HwnasError)("the file smells.")


def die(task: dict[str, Any]) -> dict[str, Any]:
    print("about to die", file=sys.stderr, flush=True)
    os.kill(os.getpid(), getattr(signal, task["signal"]))
    time.sleep(60)
    return {}


def leave(task: dict[str, Any]) -> dict[str, Any]:
    os._exit(3)


def hang(task: dict[str, Any]) -> dict[str, Any]:
    """Start a process of its own, note both, and never come back."""
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    Path(task["note"]).write_text(f"{os.getpid()} {other.pid}")
    time.sleep(60)
    return {}


def eat(task: dict[str, Any]) -> dict[str, Any]:
    return {"eaten": len(bytearray(task["bytes"]))}


def chatter(task: dict[str, Any]) -> dict[str, Any]:
    for _ in range(1000):
        os.write(1, b"{garbage}\n" * 100)
        os.write(2, b"\xff" * 1000)
    return {"said": "enough"}


def fill(task: dict[str, Any]) -> dict[str, Any]:
    with Path("large").open("wb") as file:
        file.truncate(task["bytes"])
    return {}


def nonsense(task: dict[str, Any]) -> dict[str, Any]:
    Path(ANSWER).write_text("[1, 2")
    os._exit(0)


if __name__ == "__main__":
    main()
