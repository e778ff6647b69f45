"""Shared fixtures: the public data beside the checkout, and quiet, repeatable torch."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from hypothesis import settings

# tests run beside one another, a process per core: threads of their own would only wait for each other
os.environ.setdefault("OMP_NUM_THREADS", "1")
# where a test computes with two threads nevertheless, one that waits leaves its core to others at once
os.environ.setdefault("GOMP_SPINCOUNT", "0")
# what is printed is as wide wherever the tests run
os.environ["COLUMNS"] = "120"

pytest_plugins = ["tests.device_environment"]

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public tables beside the checkout; tests that need it skip where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no ../shared/data beside this checkout: the published tables are not there")
    return folder


DEVICES = {"android", "phone", "fake_phone", "board"}
SLOW = [
    "campaign_parallel",
    "cli",
    "cli_export",
    "cli_measuring",
    "cli_published",
    "damage",
    "darts",
    "darts_pt",
    "dsnas",
    "export_int8",
    "export_precision",
    "export_zoo",
    "faults",
    "hostile_files",
    "inspection_mutated",
    "latency_card",
    "latency_cells",
    "latency_budget",
    "latency_range",
    "model_accuracy",
    "native",
    "native_bundle",
    "phone_end_to_end",
    "run_identity",
    "run_kills",
    "runners_benchmark_model",
    "runners_native",
    "runners_remote_onnx",
    "search_baselines",
    "search_frontier",
    "search_page",
    "search_resume",
    "single_path",
    "stopping",
    "torchrun",
    "train_distributed",
]
"""Files of tests of which many take seconds."""


def pytest_collection_modifyitems(items):
    """Mark what `make test-fast` leaves out."""
    for item in items:
        if DEVICES & set(getattr(item, "fixturenames", ())) or item.path.stem.removeprefix("test_") in SLOW:
            item.add_marker(pytest.mark.slow)


# a first example that imports torch is slow: time limits per example would only fail on busy machines
settings.register_profile("hwnas", deadline=None)
settings.load_profile("hwnas")


@pytest.fixture
def full_disk(tmp_path):
    """A real file system of 1 MiB; skips where the tests may not mount one."""
    folder = tmp_path / "full"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("mounting a small tmpfs needs root: a full disk cannot be tried here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture(autouse=True)
def _interruptible():
    """Ctrl-C works as at a terminal, even where the tests run in the background of a shell, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
