"""A published table from the file to a page: import, fit, price and search without a phone, as people type it."""

import json
import shutil
from pathlib import Path

import pytest
import torch

import hwnas as library
from hwnas.child import load_child
from hwnas.errors import HwnasError, UsageError
from hwnas.latency.fitting.fit import published_predictor
from hwnas.latency.proxy_space import ProxySpacePredictor
from hwnas.latency.tables.imported.import_table import import_table
from hwnas.latency.tables.known import find_table
from hwnas.latency.tables.table import LatencyTable
from hwnas.spaces import get_space
from tests.commands import answer
from tests.conftest import ROOT
from tests.test_cli import hwnas  # noqa: F401  a fixture

PAPER = get_space("single-path")
PUBLISHED = "0,0,0,4,3,0,0,0,3,0,0,0,3,2,2,2,3,3,3,3"
SEARCH = ["--method", "single-path", "--space", "single-path", "--device", "pixel-1", "--data", "digits"]
SMALL = ["--resolution", "32", "--width", "0.25", "--budget-ms", "75", "--epochs", "1", "--limit-train", "64"]


@pytest.fixture(scope="module")
def pixel1_file(shared_data) -> Path:
    return shared_data / "latency" / "pixel1_single_path.json"


@pytest.fixture(scope="module")
def tables(pixel1_file, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    import_table(pixel1_file, tables=folder)
    return folder


@pytest.fixture(scope="module")
def searched(tables, tmp_path_factory) -> dict:
    """The JSON of one search without a phone."""
    out = tmp_path_factory.mktemp("runs") / "run"
    command = ["search", *SEARCH, *SMALL, "--tables", str(tables), "--out", str(out)]
    return answer(*command)


def test_import_says_what_became_of_the_rows(hwnas, pixel1_file, tmp_path):  # noqa: F811
    code, out, err = hwnas("measure", "--import", pixel1_file, "--device", "pixel-1", "--tables", tmp_path)
    assert (code, out) == (0, "")
    for word in ("1904.02877", "88 of 88 rows", "Apache-2.0", "runtime version", "single-path-nas"):
        assert word in err
    code, out, _ = hwnas("measure", "--import", pixel1_file, "--tables", tmp_path, "--json")
    told = json.loads(out)
    assert (code, told["rows"], told["mapped"], told["unmapped"]) == (0, 88, 88, {})
    assert LatencyTable.load(told["table"]).publication == told["conditions"]["imported"]["publication"]


def test_import_refuses_two_devices_and_unknown_files(hwnas, pixel1_file, tmp_path):  # noqa: F811
    code, _, err = hwnas("measure", "--import", pixel1_file, "--device", "a", "--device", "b", "--tables", tmp_path)
    assert (code, "name one" in err) == (2, True)
    code, _, err = hwnas("measure", "--import", ROOT / "README.md", "--tables", tmp_path)
    assert (code, "Single-Path NAS: JSON" in err) == (1, True)
    assert not list(tmp_path.iterdir())


def test_price_in_json_and_for_people(hwnas, tables):  # noqa: F811
    folder = tables / "pixel-1" / "single-path-nas"
    command = ["price", "--space", "single-path", "--code", PUBLISHED, "--latency", folder]
    code, out, _ = hwnas(*command, "--json")
    told = json.loads(out)
    assert code == 0
    assert told["predicted_ms"] == pytest.approx(80.44, abs=0.005)
    assert {"spec", "ms", "source"} <= told["blocks"][0].keys()
    code, out, err = hwnas(*command)
    assert (code, out) == (0, "")
    for word in ("80.44", "60.33 to 100.6 ms", "MBConv(k5 e6 24->40 s2)", "imported"):
        assert word in err


@pytest.mark.parametrize(
    ("changes", "exit_code", "word"),
    [
        ({"--code": "1,2"}, 2, "20 indices"),
        ({"--space": "nothing"}, 2, "unknown space"),
        ({"--latency": "nowhere"}, 1, "no latency table"),
    ],
)
def test_price_refuses(hwnas, tables, changes, exit_code, word):  # noqa: F811
    options = {"--space": "single-path", "--code": PUBLISHED, "--latency": tables / "pixel-1" / "single-path-nas"}
    arguments = [part for pair in (options | changes).items() for part in pair]
    code, _, err = hwnas("price", *arguments)
    assert (code, word in err) == (exit_code, True)


def test_fit_of_an_imported_table_writes_a_card_that_says_so(hwnas, tables, tmp_path):  # noqa: F811
    folder = shutil.copytree(tables / "pixel-1" / "single-path-nas", tmp_path / "copy")
    code, out, _ = hwnas("fit", folder, "--json")
    card = json.loads(out)
    assert (code, card["n_networks"], card["n_blocks"], card["interval_percent"]) == (0, 0, 44, 25)
    assert "1904.02877" in (folder / "CARD.md").read_text()


def test_nothing_is_measured_into_a_published_table(hwnas, tables, tmp_path):  # noqa: F811
    shutil.copytree(tables / "pixel-1" / "single-path-nas", tmp_path / "local" / "litert")
    before = (tmp_path / "local" / "litert" / "blocks.csv").read_bytes()
    code, _, err = hwnas("measure", "--space", "tiny", "--device", "local", "--tables", tmp_path)
    assert code == 1
    assert "never mixed" in err
    assert (tmp_path / "local" / "litert" / "blocks.csv").read_bytes() == before


def test_a_search_without_a_phone_ends_within_the_budget_as_predicted(searched):
    assert (searched["status"], searched["measured_ms"], searched["models"]) == ("predicted", {}, [])
    assert searched["interval_ms"][1] <= 75
    price = searched["price"]
    assert sum(block["ms"] for block in price["blocks"]) == pytest.approx(searched["predicted_ms"])
    assert price["predicted_ms"] == searched["predicted_ms"]
    assert {block["source"] for block in price["blocks"]} == {"imported"}
    assert price["architecture"]["code"] == searched["architecture"]["code"]
    assert price["architecture"]["input_shape"] == [3, 224, 224]
    assert searched["architecture"]["input_shape"] == [3, 32, 32]
    assert "1904.02877" in searched["publication"]


def test_its_run_holds_the_child_and_the_page(searched):
    run = Path(searched["run"])
    assert load_child(run).architecture.to_json() == searched["architecture"]
    assert not (run / "models").exists()
    indicators = json.loads((run / "indicators.json").read_text())
    page = (run / "report.html").read_text()
    assert len(indicators) == 55
    for each in indicators:
        assert f"{each['choice']} {each['size']:.3g} {'≥' if each['slack'] >= 0 else '&lt;'} " in page
    for block in searched["price"]["blocks"]:
        assert f"{block['ms']:.3f}" in page
    assert "Expected latency, from " in page


def test_it_is_repeated_from_its_checkpoint(hwnas, searched, tables):  # noqa: F811
    code, out, _ = hwnas("search", *SEARCH, *SMALL, "--tables", tables, "--out", searched["run"], "--json")
    again = json.loads(out)
    assert code == 0
    assert {k: v for k, v in again.items() if k != "seconds"} == {k: v for k, v in searched.items() if k != "seconds"}


def test_a_search_that_no_table_serves_says_what_to_do(hwnas, tables, tmp_path):  # noqa: F811
    shutil.copytree(tables / "pixel-1", tmp_path / "pixel-8")  # for which nothing comes with hwnas
    code, _, err = hwnas("search", "--space", "tiny", "--device", "pixel-8", "--tables", tmp_path, "--budget-ms", 1)
    assert code == 1
    for word in ("single-path-nas", "hwnas measure --space tiny --device pixel-8", "--import"):
        assert word in err


# which table, and what it prices


def test_a_measured_table_comes_before_a_published_one(tables, tmp_path):
    shutil.copytree(tables / "pixel-1", tmp_path / "pixel-1")
    published = tmp_path / "pixel-1" / "single-path-nas"
    assert find_table(tmp_path, "pixel-1", "litert", PAPER) == published
    shutil.copytree(published, tmp_path / "pixel-1" / "litert")
    assert find_table(tmp_path, "pixel-1", "litert", PAPER) == tmp_path / "pixel-1" / "litert"
    with pytest.raises(UsageError, match="--latency"):
        find_table(tmp_path, "pixel-1", "native", PAPER)
    with pytest.raises(HwnasError, match="no published one"):
        find_table(tmp_path, "pixel-4", "native", PAPER)


def test_small_copies_are_priced_as_what_is_published(tables):
    table = LatencyTable.load(tables / "pixel-1" / "single-path-nas")
    small = get_space("single-path", resolution=32, num_classes=10, width=0.25)
    predictor = published_predictor(table, small)
    assert isinstance(predictor, ProxySpacePredictor)
    assert predictor.predict(small.decode(PUBLISHED)).ms == pytest.approx(80.4411, abs=1e-6)
    assert not isinstance(published_predictor(table, PAPER), ProxySpacePredictor)
    with pytest.raises(HwnasError, match="another space"):
        published_predictor(table, get_space("tiny"))


def test_the_verb_in_python_finds_the_same_network_with_the_same_weights(searched, tables, tmp_path):
    config = json.loads((Path(searched["run"]) / "run.json").read_text())["config"]
    data = library.load_data(config["data"], 32, batch_size=config["batch_size"], limit_train=config["limit_train"])
    space = library.get_space("single-path", 32, len(data.classes), config["width"])
    predictor = published_predictor(LatencyTable.load(tables / "pixel-1" / "single-path-nas"), space)
    options = {"method": "single-path", "epochs": config["epochs"], "torch_device": "cpu"}
    library.search(space, data, predictor, config["budget_ms"], tmp_path / "run", **options)
    ours, theirs = load_child(tmp_path / "run"), load_child(searched["run"])
    assert ours.architecture == theirs.architecture
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], tensor), name


@pytest.mark.parametrize("verb", ["search", "design"])
def test_a_device_that_torch_does_not_have_is_refused(hwnas, tables, tmp_path, verb):  # noqa: F811
    code, _, err = hwnas(verb, *SEARCH, *SMALL, "--tables", tables, "--out", tmp_path / "run", "--torch-device", "none")
    assert code == 2 and "torch cannot train on 'none'" in err and "cpu" in err
