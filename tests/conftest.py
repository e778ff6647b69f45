"""Shared fixtures: the public data beside the checkout, and quiet, repeatable torch."""

import atexit
import gc
import os
import shutil
import signal
import subprocess
import tempfile
from functools import partial
from itertools import chain, zip_longest
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


BUNDLES = "bundles"
"""In the cache: programs that are built once for all."""

DEVICES = {"android", "phone", "fake_phone", "board"}
SLOW = [
    "cli",
    "evaluation_study",
    "search_resume",
    "evaluation_cluster",
    "torchrun",
    "design_auto_precision",
    "search_frontier",
    "train_distributed",
    "cli_published",
    "latency_cells",
    "design_precision",
    "once_for_all",
    "design_limits",
    "cli_measuring",
    "cli_export",
    "inspection_mutated",
    "single_path",
    "search_baselines",
    "latency_card",
    "notebooks",
    "weaknas",
    "dsnas",
    "faults",
    "run_kills",
    "several_limits",
    "phone_end_to_end",
    "stopping",
    "campaign_parallel",
    "int8_finetuning",
    "darts",
    "darts_pt",
    "cdarts",
    "export_int8",
    "export_precision",
    "damage",
    "export_zoo",
    "hostile_files",
    "latency_budget",
    "latency_range",
    "model_accuracy",
    "native",
    "native_bundle",
    "run_identity",
    "runners_benchmark_model",
    "runners_native",
    "runners_remote_onnx",
    "search_page",
]
"""Files of tests of which many take seconds, those with the longest tests first."""


def pytest_configure():
    """A cache of its own for each process of tests, with what the others know in it.

    Their phones and boards have one address, each in a network of its own, and locks of devices lie in the cache.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    from hwnas.files import cache_folder

    known, own = cache_folder(), Path(tempfile.mkdtemp(prefix="hwnas-cache-"))
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    (known / BUNDLES).mkdir(parents=True, exist_ok=True)
    for folder in [*known.parent.iterdir(), known / BUNDLES]:
        if folder != known:
            link = own / folder.relative_to(known.parent)
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(folder)
    os.environ["XDG_CACHE_HOME"] = str(own)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """One more than there are cores: a test of a device or of another process waits for it now and then."""
    return 1 + len(os.sched_getaffinity(0))


def pytest_collection_modifyitems(items):
    """Mark what `make test-fast` leaves out, and put it first: nobody waits for a long test at the end.

    Files that wait for devices and files that compute take turns: so not all processes wait at a time.
    """
    devices = {item.path for item in items if _has_device(item)}
    for item in items:
        if _has_device(item) or _place(item.path) < len(SLOW):
            item.add_marker(pytest.mark.slow)
    files = sorted(dict.fromkeys(item.path for item in items), key=_place)
    waiting = [path for path in files if path in devices]
    computing = [path for path in files if path not in devices and _place(path) < len(SLOW)]
    turns = {path: i for i, path in enumerate(chain.from_iterable(zip_longest(waiting, computing)))}
    items.sort(key=lambda item: turns.get(item.path, len(turns)))


def pytest_collection_finish():
    """What is there by now stays: a collection of garbage looks at what tests make, not at all of torch each time.

    And there are fewer collections than usual.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


def _has_device(item) -> bool:
    return not DEVICES.isdisjoint(getattr(item, "fixturenames", ()))


def _place(path) -> int:
    """Of a file among the slow ones; what is not slow comes last."""
    name = path.stem.removeprefix("test_")
    return SLOW.index(name) if name in SLOW else len(SLOW)


# a first example that imports torch is slow: time limits per example would only fail on busy machines
settings.register_profile("hwnas", deadline=None, max_examples=40)
settings.register_profile("thorough", deadline=None, max_examples=500)
settings.load_profile("hwnas")


@pytest.fixture(scope="module")
def few_evaluations():
    """Searches that derive by evaluations make 4 of them, where 16 are the least that a person gets."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hwnas.searches.reranked.LEAST_NETWORKS", 4)
        yield


@pytest.fixture(scope="module")
def final_measurements_in_one_round():
    """And no waiting for a quiet machine, which it never is beside other tests: test_design_final.py tests both."""
    from hwnas.designer import closing, final

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(final, "RETAKES", 0)
        patch.setattr(final, "PATIENT_RETAKES", 0)
        patch.setattr(closing, "measure_models", partial(final.measure_models, rounds=1))
        yield


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
