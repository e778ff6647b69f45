"""What a device can do: the range of a space and known networks, measured on real LiteRT and from published tables."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from PIL import Image

from hwnas.devices.device import load_device
from hwnas.errors import HwnasError, UsageError
from hwnas.files import write_json
from hwnas.latency.fitting.fit import fit
from hwnas.latency.measuring.known_networks import KNOWN_FOLDER, known_at, known_table, measure_known, networks_in
from hwnas.latency.measuring.latency_range import NEAR_MACS, NOT_PICKED, PICKED, latency_range
from hwnas.latency.tables.imported.import_table import import_table
from hwnas.latency.tables.table import LatencyTable
from hwnas.networks import NETWORKS, get_network, usual_networks
from hwnas.report.pictures import check_picture
from hwnas.space import Architecture
from hwnas.spaces import get_space
from hwnas.specs.skip import Skip
from tests.commands import answer, completed
from tests.test_latency import made_table
from tests.test_latency_until_accurate import QUICK, SPACE

TINY = get_space("tiny")
DEVICE = """
name = "quick"
warmup_runs = 1
warmup_ms = 0
min_ms = 0.5
min_runs = 5
max_runs = 20
visits = 1
extra_visits = 0
reference_every = 20
drift_limit_percent = 1e6
"""


TWO = [("plain-cnn", 0.25), ("mobilenet-v2", 0.35)]


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made table of `tiny` that counts as published, of a phone that is not here."""
    tables = tmp_path_factory.mktemp("tables")
    made_table(TINY).save(tables / "pixel-1" / "made-up")
    write_json(tables / "pixel-1" / "made-up" / "conditions.json", {"imported": {"publication": "made up"}})
    return tables


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory):
    """The range of the smallest space, the device file, and the folder of the tables."""
    folder, stages = tmp_path_factory.mktemp("measured"), list[str]()
    (folder / "quick.toml").write_text(DEVICE)
    device, tables = load_device(folder / "quick.toml"), folder / "tables"
    found = latency_range(SPACE, device, tables=tables, goal_mape=500, progress=lambda stage, _: stages.append(stage))
    assert list(dict.fromkeys(stages)) == ["tiny 16 px", "networks"]
    return found, device, tables


def test_the_ends_are_those_of_the_measured_table_and_measured_themselves(measured):
    found = measured[0]
    ends, beside = found.spaces[0].ends, known_table(found.table)
    predictor = fit(LatencyTable.load(found.table), SPACE)
    assert tuple(end.architecture for end in ends.values()) == predictor.extremes(SPACE)
    for end in ends.values():
        assert end.is_measured and end.ms == beside.networks[end.architecture].median_ms
        assert end.prediction == predictor.predict(end.architecture)
    assert (found.fastest_ms, found.slowest_ms) == (ends["fastest"].ms, ends["slowest"].ms)


def test_known_networks_are_measured_in_a_table_that_no_predictor_is_fitted_to(measured):
    found = measured[0]
    beside = LatencyTable.load(found.table / KNOWN_FOLDER)
    assert len(beside.networks) == len(found.known) + 2 > 10 and not beside.blocks
    assert not set(beside.networks) & set(LatencyTable.load(found.table).networks)
    for each in found.known:
        assert each.network.network in PICKED and each.network.resolution == 16
        assert each.source == "measured" and each.interval_ms is None
        assert each.network.ms == beside.networks[each.network.architecture].median_ms
        assert each.network.architecture.macs <= NEAR_MACS * found.spaces[0].slowest.architecture.macs
    ms = [each.network.ms for each in found.known]
    assert ms == sorted(ms)
    assert len(found.known) + len(found.left_out) == len(known_at([16], 10))
    assert found.left_out["mobilenet-v1 1 at 16 px"].endswith("M MACs are far outside")
    assert found.left_out["mobilenet-v1 0.25 at 16 px"] == NOT_PICKED


def test_nothing_is_measured_twice(measured):
    found, device, tables = measured
    journals = sorted(tables.rglob("journal.jsonl"))
    before = [path.read_bytes().count(b'"entry"') for path in journals]
    again = latency_range(SPACE, device, tables=tables, goal_mape=500)
    assert [path.read_bytes().count(b'"entry"') for path in journals] == before
    assert again.to_json() == found.to_json()


def test_a_table_that_is_named_is_taken_as_it_is_with_the_networks_measured_beside_it(measured):
    found = measured[0]
    named = latency_range(SPACE, device="pixel-8", latency=found.table)
    assert (named.fastest_ms, named.slowest_ms) == (found.fastest_ms, found.slowest_ms)
    assert [each.network for each in named.known if each.source == "measured"] == [each.network for each in found.known]
    assert len({each.network.architecture for each in named.known}) == len(named.known)  # measured or priced, not both


def test_several_resolutions_are_one_range(tmp_path):
    spaces = [get_space("tiny", side) for side in (24, 32)]
    table = made_table(spaces[0])
    table.blocks |= made_table(spaces[1]).blocks
    found = latency_range(spaces, latency=_saved(table, tmp_path / "table"))
    small, large = (fit(table, space) for space in spaces)
    assert found.fastest_ms == small.predict(small.extremes(spaces[0])[0]).ms
    assert found.slowest_ms == large.predict(large.extremes(spaces[1])[1]).ms
    assert [row["resolution"] for row in found.to_json()["resolutions"]] == [24, 32]
    assert {each.network.resolution for each in found.known} == {24, 32}
    ms = [each.network.ms for each in found.known]
    assert ms == sorted(ms)


def test_json_holds_the_networks_between_and_those_outside(measured):
    found = measured[0]
    data = json.loads(json.dumps(found.to_json()))
    assert data["known"] + data["outside"]
    assert all(set(row) >= {"network", "width", "resolution", "ms"} for row in data["known"] + data["outside"])
    assert all(data["fastest_ms"] <= row["ms"] <= data["slowest_ms"] for row in data["known"])
    assert not any(data["fastest_ms"] <= row["ms"] <= data["slowest_ms"] for row in data["outside"])
    assert len(data["known"]) + len(data["outside"]) == len(found.known)


def test_a_published_table_needs_no_device_and_says_what_it_cannot_price(tables):
    found = latency_range(TINY, "pixel-1", tables=tables)
    predictor = fit(LatencyTable.load(tables / "pixel-1" / "made-up"), TINY)
    assert found.fastest_ms == predictor.predict(predictor.extremes(TINY)[0]).ms
    assert (found.table, found.publication) == (tables / "pixel-1" / "made-up", "made up")
    sources = {each.network.network: each.source for each in found.known}
    assert sources["mobilenet-v2"] == "estimated"
    assert "plain-cnn" not in sources
    assert found.left_out["plain-cnn 1 at 32 px"] == "the table holds no block of the kind max_pool, pool_linear"
    assert all(each.interval_ms[0] < each.network.ms < each.interval_ms[1] for each in found.known)


def test_networks_of_blocks_that_the_table_holds_are_priced_and_not_estimated(tmp_path):
    """All blocks of one known network, and the space's: what one adds is what it takes."""
    network, table = get_network("mobilenet-v2", 0.35, 32, 10), made_table(TINY)
    blocks = [block for block in network.placed_blocks() if not block[0].is_identity]
    row = next(iter(table.blocks.values()))
    table.blocks |= {block: row for block in blocks if block not in table.blocks}
    table.save(tmp_path / "table")
    found = {
        (each.network.network, each.network.width): each
        for each in latency_range(TINY, latency=tmp_path / "table").known
    }
    known = found["mobilenet-v2", 0.35]
    assert known.source == "priced"
    assert known.network.ms == pytest.approx(sum(table.block_ms(*block) for block in blocks))
    assert found["mobilenet-v2", 0.5].source == "estimated"


def test_a_table_of_few_blocks_prices_the_space_alone(tmp_path):
    space = get_space("nas-bench-201", 16, 10)
    table = made_table(space)
    assert len(table.blocks) > 10
    found = latency_range(space, latency=_saved(table, tmp_path / "table"))
    assert not found.known and found.left_out  # it holds none of their kinds
    table.blocks = dict(list(table.blocks.items())[:1])
    with pytest.raises(HwnasError, match=r"lacks .* of the .* blocks of space 'nas-bench-201' at 16 px"):
        latency_range(space, latency=_saved(table, tmp_path / "table"))


def _saved(table: LatencyTable, folder: Path) -> Path:
    table.save(folder)
    return folder


def test_a_published_table_is_refused_for_another_resolution(tables):
    with pytest.raises(HwnasError, match=r"at 64 px, among them .* about another resolution"):
        latency_range(get_space("tiny", 64), "pixel-1", tables=tables)
    with pytest.raises(UsageError, match="name one or more"):
        latency_range([], "pixel-1", tables=tables)


def test_known_networks_of_a_real_phone_are_estimated_from_its_published_table(shared_data, tmp_path):
    """MobileNetV2 as its authors measured it on a Pixel 1, from the table of Single-Path NAS with its other blocks."""
    folder = import_table(shared_data / "latency" / "pixel1_single_path.json", tables=tmp_path).folder
    found = latency_range(get_space("single-path"), latency=folder)
    with (shared_data / "latency" / "mobilenets_pixel.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["precision"] == "float" and row["resolution_px"] == "224"]
    published_ms = {(row["network"], float(row["width"])): float(row["pixel1_ms"]) for row in rows}
    ours = {(each.network.network, each.network.width): each for each in found.known}
    v2 = [key for key in published_ms if key[0] == "mobilenet-v2" and key in ours]
    assert len(v2) == 4
    assert all(ours[key].network.ms == pytest.approx(published_ms[key], rel=0.06) for key in v2)
    for key in published_ms.keys() & ours.keys():
        low, high = ours[key].interval_ms
        assert low <= published_ms[key] <= high
    published = ours["single-path-published", 1.0]
    assert (published.source, round(published.network.ms, 2)) == ("priced", 80.44)


def test_a_network_that_cannot_be_measured_is_named_and_the_others_are_measured(tmp_path):
    wanted = {(*key, 16): known_at([16], 4)[*key, 16] for key in TWO}
    wanted["nothing", 1.0, 16] = Architecture((Skip(3, 3),), (3, 16, 16))  # which no file can be made of
    found = measure_known(wanted, QUICK, tables=tmp_path)
    assert [(each.network, each.width) for each in found.networks] in (TWO, TWO[::-1])
    assert set(found.failures) == {"nothing 1 at 16 px"} and found.failures["nothing 1 at 16 px"]
    assert networks_in(known_table(tmp_path / "local" / "litert"), wanted) == found.networks
    assert networks_in(known_table(tmp_path / "local" / "litert"), known_at([24], 4)) == []
    assert networks_in(known_table(tmp_path), wanted) == []


def test_usual_widths_are_those_that_a_network_has():
    usual = usual_networks(224, 1000)
    assert {name for name, _ in usual} == set(NETWORKS)
    assert usual["mobilenet-v2", 0.35] == get_network("mobilenet-v2", 0.35)
    assert not {name for name, _ in usual_networks(8, 10)} & {"squeezenet-1.0"}  # its windows are larger
    with pytest.raises(UsageError, match="resolution"):
        usual_networks(4, 10)


# as a person types it


def test_the_verb_prints_a_table_or_json_and_draws_a_picture(tables, tmp_path):
    pytest.importorskip("matplotlib", reason="pictures need matplotlib")
    command = ("range", "--space", "tiny", "--device", "pixel-1", "--tables", tables, "--out", tmp_path / "range.png")
    data = answer(*command)
    assert data["fastest_ms"] < data["slowest_ms"] and data["picture"] == str(tmp_path / "range.png")
    assert Image.open(tmp_path / "range.png").size[0] > 500
    done = completed(*command)
    said = " ".join(done.stderr.split())
    assert (done.returncode, done.stdout) == (0, "")
    assert "fastest of tiny: " in said and "slowest of tiny: " in said and "made up" in said
    assert f"{data['known'][0]['ms']:.4g}" in said and data["known"][0]["network"] in said
    assert "plain-cnn: the table holds no block of the kind max_pool, pool_linear" in said.replace(" │ │ │ ", " ")


def test_a_person_s_picture_is_not_replaced(tmp_path):
    pytest.importorskip("matplotlib", reason="pictures need matplotlib")
    path = tmp_path / "holiday.png"
    Image.new("RGB", (8, 8), "red").save(path)
    before = path.read_bytes()
    with pytest.raises(HwnasError, match="would be replaced"):
        check_picture(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--resolution", "32,x"], 2, "separated by commas, such as 32,48,64"),
        (["--resolution", "4"], 2, "must be a whole number from 8 to 1024, not 4"),
        (["--out", "picture.jpg"], 2, "its name ends in .png"),
        (["--device", "toaster"], 2, "unknown device"),
        (["--latency", "/no/table"], 1, "there is no latency table"),
        (["--latency", "pixel-4/nn-meter"], 2, "is about pixel-4, not pixel-1"),
        (["--latency", "pixel-1/nn-meter", "--threads", "4"], 2, "nothing is measured; leave out --threads"),
        (["--resolution", "32,64"], 1, "at 64 px"),
    ],
)
def test_wrong_input_is_refused(tables, arguments, code, says):
    done = completed("range", "--device", "pixel-1", "--tables", tables, *arguments, "--json")
    assert (done.returncode, done.stdout) == (code, "")
    assert says in " ".join(done.stderr.split()) and "Traceback" not in done.stderr


@pytest.mark.weekly
def test_measure_takes_the_known_networks_and_goes_on_with_those_of_a_range(measured):
    found, device, tables = measured
    command = ("measure", "--networks", "known", "--device", tables.parent / "quick.toml", "--tables", tables)
    small = ("--resolution", 16, "--classes", 10)
    first = answer(*command, *small)
    assert first["table"] == str(found.table / KNOWN_FOLDER) and first["failed"] == {}
    assert first["entries"] == len(first["known"]) == len(usual_networks(16, 10))
    assert first["reused"] == len(found.known) and first["measured"] == len(found.left_out)
    # a range shows them all now
    again = latency_range(SPACE, device, tables=tables, goal_mape=500)
    assert {each.network.network for each in again.known} > {each.network.network for each in found.known}
    assert NOT_PICKED not in again.left_out.values()
    assert set(first["known"][0]) == {"network", "width", "resolution", "ms"}
    done = completed(*command, *small)
    said = " ".join(done.stderr.split())
    assert done.returncode == 0 and f"0 measured now, {first['entries']} known already" in said
    assert all(row["network"] in said for row in first["known"])


@pytest.mark.parametrize("networks", ["2", "1001", "some", "-5", "3.5"])
def test_networks_are_a_number_or_known(networks):
    done = completed("measure", "--networks", networks)
    assert done.returncode == 2 and "a number from 3 to 1000, or known" in " ".join(done.stderr.split())


def test_known_networks_are_measured_as_they_are_published():
    done = completed("measure", "--networks", "known", "--width", 0.5)
    assert done.returncode == 2 and "no --from, --until-mape, --width" in " ".join(done.stderr.split())
    done = completed("measure", "--networks", "known", "--space", "lite")
    assert done.returncode == 2 and "and no space's; leave out --space" in " ".join(done.stderr.split())
