"""Commands as the tests run them in this process."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import pytest

from hwnas.cli import main


def run_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object
) -> tuple[int, str, str]:
    """``hwnas ARGUMENTS``: exit code, standard output, and error output with its line breaks removed."""
    monkeypatch.setattr(sys, "argv", ["hwnas", *map(str, arguments)])
    code = 0
    try:
        main()
    except SystemExit as stop:
        code = int(stop.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, " ".join(captured.err.split())


def completed(*arguments: object) -> subprocess.CompletedProcess[str]:
    """``hwnas ARGUMENTS`` as if in a process of its own, which would import torch for seconds; for any fixture."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["hwnas", *map(str, arguments)])
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
    return subprocess.CompletedProcess(sys.argv, code, out.getvalue(), err.getvalue())


def answer(*arguments: object) -> dict[str, Any]:
    """The JSON that ``hwnas ARGUMENTS --json`` prints."""
    done = completed(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
