"""Is a file the same whoever writes it, where and when? And does it tell?"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import ROOT
from export_subjects import build_subject

from hwnas.exporter.export import convert
from hwnas.exporter.formats import FORMATS

SURROUNDINGS = (
    {"PYTHONHASHSEED": "1", "TZ": "UTC", "HOME": "/tmp/first-home", "USER": "first-user", "LANG": "C"},
    {"PYTHONHASHSEED": "2", "TZ": "Asia/Tokyo", "HOME": "/tmp/second-home", "USER": "second-user", "LANG": "C.UTF-8"},
)
"""Two processes that differ in what a careless writer lets into its files; the second runs in another folder, later."""


def check_determinism(names: list[str]) -> list[dict[str, Any]]:
    """Export subjects in two processes: a row per file with whether the bytes are equal, and what they give away."""
    first, second = (_export_apart(names, surroundings) for surroundings in SURROUNDINGS)
    return [
        {
            "network": name,
            "format": format,
            "bytes": first[name][format]["bytes"],
            "identical": first[name][format]["sha256"] == second[name][format]["sha256"],
            "gives away": ", ".join(first[name][format]["found"] + second[name][format]["found"]) or "nothing",
        }
        for name in names
        for format in FORMATS
    ]


def _export_apart(names: list[str], surroundings: dict[str, str]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | surroundings | {"PYTHONPATH": str(ROOT)}
        command = [sys.executable, str(Path(__file__).resolve()), *names]
        finished = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=True)
    return json.loads(finished.stdout.splitlines()[-1])


def describe(model: bytes) -> dict[str, Any]:
    """Size and digest of a file, and which names of this machine, user, place and day are in it."""
    telling = {str(ROOT), str(Path.cwd()), os.environ["HOME"], os.environ["USER"], getpass.getuser() + "@"}
    telling |= {socket.gethostname(), time.strftime("%Y-%m-%d"), time.strftime("%Y%m%d"), sys.prefix}
    found = sorted(word for word in telling if len(word) > 3 and word.encode() in model)
    return {"bytes": len(model), "sha256": hashlib.sha256(model).hexdigest(), "found": found}


def main() -> None:
    found = {}
    for subject in map(build_subject, sys.argv[1:]):
        files = {format: convert(subject.module, subject.input_shape, format) for format in FORMATS}
        found[subject.name] = {format: describe(model) for format, model in files.items()}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
