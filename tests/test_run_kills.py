"""The benchmark of stopped commands, as far as a test suite has time for it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.weekly
def test_a_search_that_is_stopped_and_repeated_ends_as_if_left_alone():
    """Once each by SIGKILL, SIGTERM and SIGINT; every verb, and many more times: ``benchmarks/run_kills.py``."""
    command = [sys.executable, "benchmarks/run_kills.py", "--json", "--kills", "3", "--verbs", "search"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = json.loads(done.stdout)["rows"]
    assert row["faults"] == [] and row["stopped"] >= 1
