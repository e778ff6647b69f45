"""The environment that litert-torch lives in: its 2 GB stay out of ours. Made when it is first needed, then kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from importlib.metadata import version
from pathlib import Path
from typing import Any

from common import CACHE, ROOT
from export_subjects import Subject
from safetensors.torch import save_file

FOLDER = ROOT / ".venv-litert-torch"
PYTHON = FOLDER / "bin" / "python"
INSTALLED = FOLDER / ".installed"
FILES = CACHE / "export"
"""Weights for the other environment, and what comes back from it."""


def requirements() -> list[str]:
    """Both exporters, on the torch of this environment: the same numbers then come out of the same weights."""
    torch_version = version("torch").split("+")[0]
    return [f"torch=={torch_version}", "litert-torch==0.10.0", f"onnx=={version('onnx')}", "onnxscript==0.7.2"]


def make_environment() -> str | None:
    """Make the environment unless it is there. Returns why there is none, in one line, or None if there is."""
    wanted = "\n".join(requirements())
    if INSTALLED.is_file() and INSTALLED.read_text() == wanted:
        return None
    print(f"making {FOLDER.name} (2 GB, once) ...", file=sys.stderr)
    venv.create(FOLDER, with_pip=True)
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    finished = subprocess.run([*pip, *requirements()], capture_output=True, text=True)
    if finished.returncode != 0:
        reason = finished.stderr.strip().rsplit("\n", 1)[-1]
        return f"pip cannot install {', '.join(requirements())}: {reason}"
    INSTALLED.write_text(wanted)
    return None


def convert_there(subjects: list[Subject]) -> dict[str, Any]:
    """What `other_exporters.py` makes of the subjects: name -> its results, files as Paths; empty where it died."""
    FILES.mkdir(parents=True, exist_ok=True)
    for subject in subjects:
        save_file(subject.module.state_dict(), FILES / f"{subject.name}.safetensors")
        (FILES / f"{subject.name}.json").unlink(missing_ok=True)
    script = Path(__file__).with_name("other_exporters.py")
    log = FILES / "other_exporters.log"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with log.open("w") as output:
        command = [PYTHON, script, FILES, *(subject.name for subject in subjects)]
        finished = subprocess.run(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    if finished.returncode != 0:
        print(f"the other environment failed with {finished.returncode}, see {log}", file=sys.stderr)
    return {subject.name: _results(subject) for subject in subjects}


def _results(subject: Subject) -> dict[str, Any]:
    path = FILES / f"{subject.name}.json"
    results = json.loads(path.read_text()) if path.is_file() else {}
    for result in results.values():
        if "file" in result:
            result["file"] = FILES / result["file"]
    return results
