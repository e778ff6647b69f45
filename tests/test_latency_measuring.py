"""Measuring a space: what is drawn, what is measured once, what a second space adds."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest

from hwnas.campaign.conditions import current_conditions
from hwnas.devices.device import Device, load_device
from hwnas.errors import HwnasError, UsageError
from hwnas.exporter.formats import FORMATS, get_format
from hwnas.latency.fitting.fit import fit
from hwnas.latency.measuring.measure import measure, spread_sample
from hwnas.latency.measuring.model_files import make_reference_model, reference_model
from hwnas.latency.measuring.table_campaign import SpaceTable, check_table_conditions
from hwnas.latency.tables.table import LatencyTable
from hwnas.runtimes import get_runtime
from hwnas.spaces import SPACES, get_space
from tests.weekly import weekly_except

SPACE = get_space("tiny", resolution=16, width=0.25)
QUICK = load_device("local").model_copy(
    update={"min_ms": 0.5, "warmup_ms": 0.0, "min_runs": 5, "visits": 1, "drift_limit_percent": 1e6}
)


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> SpaceTable:
    return measure(SPACE, QUICK, tables=tmp_path_factory.mktemp("measured"), networks=5)


@pytest.fixture
def tables(measured, tmp_path) -> Path:
    """A copy of the tables in which it lies."""
    return shutil.copytree(measured.folder.parents[1], tmp_path / "tables")


@pytest.mark.parametrize("name", weekly_except(set(SPACES) - {"darts"}, SPACES))
def test_a_sample_spreads_over_the_range_and_begins_with_the_smaller_sample(name):
    space = get_space(name)
    sample = spread_sample(space, 40)
    assert len({architecture.digest for architecture in sample}) == 40
    assert spread_sample(space, 15) == sample[:15]
    macs = [architecture.macs for architecture in sample]
    sizes = sorted(space.decode([i] * len(space.decisions)).macs for i in (0, 1, 2))
    assert min(macs) < 1.3 * sizes[0]
    assert max(macs) > 0.8 * sizes[-1]


def test_a_space_with_fewer_networks_than_asked_for_gives_them_all():
    from hwnas.space import OneOf, SearchSpace
    from hwnas.specs.conv import Conv
    from hwnas.specs.head import Head
    from hwnas.specs.mbconv import MBConv

    choice = OneOf("block", (MBConv(8, 8, 3, 3), MBConv(8, 8, 5, 3)))
    assert len(spread_sample(SearchSpace("two", (Conv(3, 8), choice, Head(8, 8, 2)), (3, 8, 8)), 30)) == 2


def test_each_distinct_block_is_measured_once_and_a_second_space_adds_what_is_new(measured, tables):
    assert (measured.entries, measured.measured, measured.reused) == (31, 31, 0)
    assert set(measured.table.blocks) == set(SPACE.distinct_blocks())
    again = measure(SPACE, QUICK, tables=tables, networks=5)
    assert (again.measured, again.reused) == (0, 31)
    assert again.table.blocks == measured.table.blocks
    assert again.folder == tables / "local" / "litert"
    other = get_space("tiny", resolution=16, width=0.25, num_classes=7)
    second = measure(other, QUICK, tables=tables, networks=5)
    assert second.measured == 1 + 5  # the head, and networks that end in it
    table = LatencyTable.load(tables / "local" / "litert")
    assert len(table.blocks) == 27
    assert (len(table.networks_of(SPACE)), len(table.networks_of(other))) == (5, 5)
    assert not table.missing(SPACE)
    assert not table.missing(other)


def test_every_run_is_kept_and_the_conditions_are_recorded(tmp_path):
    measured = measure(SPACE, QUICK, "onnxruntime", tmp_path, networks=5)
    table = LatencyTable.load(measured.folder)
    identity = table.conditions["identity"]
    assert (identity["runtime"], identity["threads"], identity["precision"]) == ("onnxruntime", 1, "float32")
    assert len(identity["library_sha256"]) == 64
    assert table.conditions["circumstances"]["date"]
    with (measured.folder / "blocks.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 26
    assert all(int(row["runs"]) >= 5 for row in rows)
    runs = (measured.folder / "journal.jsonl").read_text().count("runs_us")
    assert runs >= 31


@pytest.mark.weekly
def test_a_fit_on_real_measurements_predicts_networks_it_has_not_seen(tmp_path):
    """On real LiteRT, with short repetitions on a busy machine: far from exact, but no accident either."""
    careful = QUICK.model_copy(update={"min_ms": 10.0, "warmup_ms": 5.0, "visits": 2})
    space = get_space("tiny")
    card = fit(measure(space, careful, tables=tmp_path, networks=15).table, space).card
    assert card.n_networks == 15
    assert card.mape < 25
    assert card.spearman > 0.7


def test_a_table_without_its_journal_is_not_overwritten_by_other_conditions(tables):
    folder = tables / "local" / "litert"
    (folder / "journal.jsonl").unlink()
    before = (folder / "blocks.csv").read_bytes()
    with pytest.raises(HwnasError, match="threads: 1 in"):
        measure(SPACE, QUICK.model_copy(update={"threads": 2}), tables=tables, networks=5)
    assert (folder / "blocks.csv").read_bytes() == before


@pytest.mark.parametrize("format", FORMATS)
def test_the_reference_is_a_file_of_each_format_that_computes_what_its_block_does(format):
    """A file, since random weights differ in their last digits between processors, and its hash is its name."""
    import torch

    torch.manual_seed(3)
    state = torch.get_rng_state()
    made = make_reference_model(format)
    assert torch.equal(state, torch.get_rng_state())
    images = np.random.default_rng(0).normal(size=(1, 32, 28, 28)).astype(np.float32)
    runtime = get_runtime(get_format(format).runtime)
    answers = [runtime.load(model, threads=1).run(images) for model in (reference_model(format), made)]
    assert np.allclose(*answers, atol=1e-4) and answers[0].std() > 0.01


def test_the_table_remembers_how_fast_the_machine_was(tables):
    reference_us = LatencyTable.load(tables / "local" / "litert").conditions["summary"]["reference_us"]
    again = measure(SPACE, QUICK, tables=tables, networks=5)  # nothing to measure, so nothing new is known
    assert again.summary.reference_us == reference_us > 0


def test_numbers_of_other_conditions_are_refused_with_the_place_and_the_cure():
    recorded = current_conditions(Device(name="test"), "litert", "float32")
    check_table_conditions(recorded.to_json() | {"summary": {}}, recorded, Path("tables/test"))
    other = current_conditions(Device(name="test", threads=2), "litert", "float32")
    with pytest.raises(HwnasError, match=r"tables/test .*other conditions \(threads: 1 in the table, 2 now\)"):
        check_table_conditions(recorded.to_json(), other, Path("tables/test"))


def test_a_table_of_batches_is_refused_before_anything_is_made(tmp_path):
    with pytest.raises(UsageError, match=r"a latency table is of single images, and local is measured with batch = 2"):
        measure(SPACE, QUICK.model_copy(update={"batch": 2}), tables=tmp_path)
    assert not list(tmp_path.iterdir())
