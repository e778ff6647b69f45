"""From a phone to a predictor and back: measure, fit and bench as a person types them, on the emulated arm64 phone.

What qemu takes is no latency: these tests look at what is there and whether it computes the same, never at how long.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hwnas.child import build_child
from hwnas.devices.device import load_device
from hwnas.exporter.export import export
from hwnas.latency.measuring.measure import spread_sample
from hwnas.latency.measuring.model_files import block_model, network_model
from hwnas.latency.tables.table import LatencyTable
from hwnas.runners import open_runner
from hwnas.runners.base import Runner
from hwnas.runtimes import get_runtime
from hwnas.spaces import get_space
from tests.android.phone import Phone
from tests.commands import answer

SPACE = get_space("tiny", resolution=16, width=0.25)
OPTIONS = ("--space", "tiny", "--resolution", "16", "--width", "0.25")
NETWORKS = 3
DEVICE = """
name = "emulated"
transport = "adb"
serial = "{serial}"
cores = "big"
warmup_runs = 1
warmup_ms = 0
min_ms = 0
min_runs = 3
max_runs = 3
visits = 1
extra_visits = 0
reference_every = 50
drift_limit_percent = 1e6
"""


@pytest.fixture(scope="module")
def phone(_phone: Phone) -> Iterator[Phone]:
    """One phone for all of these tests, as a person has it."""
    _phone.reset()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in _phone.environment.items():
            patch.setenv(name, value)
        yield _phone


@pytest.fixture(scope="module")
def folder(phone: Phone, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds the device file, and the table that `hwnas measure` made of it."""
    folder = tmp_path_factory.mktemp("phone")
    (folder / "emulated.toml").write_text(DEVICE.format(serial=phone.serial))
    options = ("--device", folder / "emulated.toml", "--networks", NETWORKS, "--tables", folder / "tables")
    result = answer("measure", *OPTIONS, *options)
    assert result["entries"] == result["measured"] == len(SPACE.distinct_blocks()) + NETWORKS
    assert not phone.processes()
    return folder


def test_the_table_is_whole_and_says_where_it_is_from(folder: Path) -> None:
    table = LatencyTable.load(folder / "tables" / "emulated" / "native")
    assert not table.missing(SPACE) and len(table.networks_of(SPACE)) == NETWORKS
    identity, circumstances = table.conditions["identity"], table.conditions["circumstances"]
    assert (identity["architecture"], identity["runtime"]) == ("aarch64", "native")
    assert identity["cores"] == list(range(identity["core_count"] // 2, identity["core_count"]))
    assert (circumstances["model"], circumstances["os_version"]) == ("Emulated Phone", "Android 14")
    assert (circumstances["battery_percent"], circumstances["thermal_status"]) == (90, 0)


def test_a_predictor_is_fitted(folder: Path) -> None:
    card = answer("fit", folder / "tables" / "emulated" / "native")
    assert card["n_blocks"] == len(SPACE.distinct_blocks()) and card["n_networks"] == NETWORKS


def test_an_exported_model_is_benched_by_the_serial(folder: Path, phone: Phone) -> None:
    (model,) = (m for m in export(build_child(SPACE.decode([0] * 7)), folder / "models") if m.format == "tflite")
    result = answer("bench", model.path, "--device", phone.serial)
    assert result["median_ms"] > 0 and result["conditions"]["identity"]["architecture"] == "aarch64"
    assert not phone.processes()


def test_networks_and_one_block_of_each_form_compute_the_same_as_here(folder: Path) -> None:
    networks = [network_model(architecture, "tflite") for architecture in spread_sample(SPACE, NETWORKS)[:2]]
    forms = {re.sub(r"\d+->\d+", "", str(spec)): (spec, shape) for spec, shape in SPACE.distinct_blocks()}
    assert len(forms) >= 8
    blocks = [block_model(spec, shape, "tflite") for spec, shape in forms.values()]
    with open_runner(load_device(folder / "emulated.toml")) as runner:
        for model in networks + blocks:
            check_outputs(runner, model)


def check_outputs(runner: Runner, model: bytes) -> None:
    with runner.load(model) as there:
        x = np.random.default_rng(1).standard_normal(there.input_shape).astype(np.float32)
        expected = get_runtime("litert").load(model).run(x)
        np.testing.assert_allclose(there.run(x), expected, rtol=1e-5, atol=1e-5)
