"""Commands as the tests run them in this process."""

from __future__ import annotations

import sys

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
