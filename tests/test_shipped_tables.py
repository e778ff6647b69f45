"""The latency models that come with hwnas: they load, price, are made of the published figures, and serve a design."""

import csv
import json
import re
import shutil
import sys
import tomllib
from pathlib import Path

import pytest

from hwnas.designer.config import DesignConfig
from hwnas.designer.task_latencies import for_its_table
from hwnas.devices.device import comes_with_hwnas, load_device
from hwnas.errors import HwnasError, UsageError
from hwnas.latency.fitting.fit import fit, published_predictor
from hwnas.latency.fitting.ready import ready_regression, unlike
from hwnas.latency.proxy_space import ProxySpacePredictor
from hwnas.latency.tables.imported.import_table import import_table
from hwnas.latency.tables.known import find_table, shipped_instead
from hwnas.latency.tables.shipped import ShippedTable, shipped_table, shipped_tables, table_folder
from hwnas.latency.tables.table import LatencyTable
from hwnas.spaces import get_space
from tests.commands import answer
from tests.conftest import ROOT
from tests.test_cli import hwnas, only_float32  # noqa: F401  fixtures
from tests.weekly import weekly_except

MODELS = {model.name: model for model in shipped_tables()}
NAMES = {
    *("galaxy-note10/once-for-all", "pixel-1/nn-meter", "pixel-1/proxylessnas", "pixel-1/single-path-nas"),
    *("pixel-4/nn-meter", "xiaomi-11/nn-meter"),
}
FITTED = {"galaxy-note10/once-for-all", "pixel-1/proxylessnas"}
PUBLISHED = "0,0,0,4,3,0,0,0,3,0,0,0,3,2,2,2,3,3,3,3"
SHORT = ["--data", "digits", "--resolution", "16", "--width", "0.25", "--epochs", "1", "--limit-train", "64"]


@pytest.fixture
def no_phone(monkeypatch, tmp_path) -> Path:
    """An empty working folder of a person who has neither adb nor a phone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def making():
    """benchmarks/latency_models.py, as a module."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import latency_models

        yield latency_models
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


def test_these_come_with_hwnas_and_no_table_of_a_person():
    assert set(MODELS) == NAMES
    assert {name for name, model in MODELS.items() if model.figures == "fitted"} == FITTED
    assert {name for name, model in MODELS.items() if "none stated" in model.licence} == FITTED
    assert next(model.name for model in shipped_tables("pixel-1")) == "pixel-1/single-path-nas"


def test_they_and_nothing_else_are_packed_into_the_wheel_and_known_to_git():
    packed = tomllib.loads((ROOT / "pyproject.toml").read_text())
    forced = packed["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert {source: target for source, target in forced.items() if source.startswith("latency_models")} == {
        f"latency_models/{name}": f"hwnas/data/latency_models/{name}" for name in NAMES
    }
    kept = {line.strip("!/") for line in (ROOT / ".gitignore").read_text().splitlines() if line.startswith("!/latency")}
    assert kept == {f"latency_models/{name}" for name in NAMES}


@pytest.mark.parametrize("name", sorted(NAMES))
def test_each_prices_the_spaces_that_a_design_chooses(name):
    table, spaces = LatencyTable.load(MODELS[name].folder), MODELS[name].spaces
    assert {"tiny", "lite", "single-path"} <= set(spaces)
    assert load_device(MODELS[name].device).name == MODELS[name].device
    for space in (get_space("tiny", num_classes=7), get_space("lite", resolution=96), get_space("single-path")):
        predictor = published_predictor(table, space)
        assert not isinstance(predictor, ProxySpacePredictor)
        fastest, slowest = (predictor.predict(end) for end in predictor.extremes(space))
        assert 0 < fastest.low_ms < fastest.ms < slowest.ms < 1000
        exact = space.name in MODELS[name].exact
        assert (fastest.estimated, predictor.half_width > 0.25) == (not exact, not exact)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_each_has_a_card_that_sets_known_networks_beside_what_others_measured(name):
    folder = MODELS[name].folder
    card, text = json.loads((folder / "known_networks.json").read_text()), (folder / "README.md").read_text()
    for word in ("Predicted, never measured", "not published", "commit", MODELS[name].publication):
        assert word in text
    beside = [each for each in card["known_networks"] if each["measured_ms"]]
    assert len(beside) == (30 if name.startswith("pixel-1/") else 0)
    assert {"shufflenet-v2", "mobilenet-v4-conv-small"} <= set(card["not_priced"])
    if name == "pixel-1/single-path-nas":
        errors = {each["network"]: each["error_percent"] for each in beside}
        assert abs(errors["single-path-published"]) < 1.5 and abs(errors["proxylessnas-mobile"]) < 3
        assert MODELS[name].error_percent == pytest.approx(7.3)


def test_the_network_of_single_path_costs_what_its_table_says():
    space = get_space("single-path")
    table = LatencyTable.load(table_folder("pixel-1/single-path-nas"))
    assert published_predictor(table, space).predict(space.decode(PUBLISHED)).ms == pytest.approx(80.4411, abs=1e-4)


# made of the published figures


def same_on_any_machine(text: str) -> tuple[list[str], list[float]]:
    """The text without fractions and checksums, and the fractions, whose last digits depend on the processor."""
    parts = re.split(r"(-?\d+\.\d+(?:e[+-]?\d+)?)", re.sub(r"\b[0-9a-f]{8}\b|\b[0-9a-f]{64}\b", "", text))
    return parts[::2], [float(part) for part in parts[1::2]]


@pytest.mark.parametrize("number", weekly_except([2], range(6)))
def test_each_is_made_again_of_its_figures(making, shared_data, tmp_path, number):
    """The regression of proxylessnas is fitted again; others take longer: `make latency-models` does it for all."""
    published = making.PUBLISHED[number]
    if published.file.startswith("ofa"):
        pytest.skip("fitting its regression takes too long here: make latency-models")
    models = {name: each for name, each in MODELS.items() if each.device == published.device}
    by_file = {"pixel1_single_path.csv": "single-path-nas", "proxylessnas_pixel1_lut.csv": "proxylessnas"}
    there = models[f"{published.device}/{by_file.get(published.file, 'nn-meter')}"].folder
    ready = ready_regression(LatencyTable.load(there)) if published.passed_on else None
    made = making.make(published, shared_data / "latency", tmp_path, ready)
    assert sorted(path.name for path in made.iterdir()) == sorted(path.name for path in there.iterdir())
    for path in made.iterdir():
        again, kept = (same_on_any_machine(each.read_text()) for each in (path, there / path.name))
        assert again[0] == kept[0], path.name
        assert again[1] == pytest.approx(kept[1], rel=1e-6), path.name


@pytest.mark.parametrize(
    ("name", "file"),
    [("galaxy-note10/once-for-all", "ofa_note10_lut.csv"), ("pixel-1/proxylessnas", "proxylessnas_pixel1_lut.csv")],
)
def test_of_figures_without_a_licence_only_what_a_regression_says_is_passed_on(shared_data, name, file):
    with (shared_data / "latency" / file).open() as rows:
        published = {float(row["mean_ms"]) for row in csv.DictReader(rows)}
    table = LatencyTable.load(MODELS[name].folder)
    ours = [row.median_ms for row in table.blocks.values()]
    regression = ready_regression(table)
    assert regression is not None
    for figures in (ours, regression.model.measured_ms.tolist()):
        assert sum(ms in published for ms in figures) < len(figures) / 50  # some published ones have few digits, too
    assert all(min(abs(each / ms - 1) for each in published) < 0.02 for ms in ours)


def test_a_ready_regression_serves_its_own_figures_only(tmp_path):
    folder = shutil.copytree(MODELS["pixel-1/proxylessnas"].folder, tmp_path / "copy")
    table = LatencyTable.load(folder)
    assert ready_regression(table) is not None
    table.blocks.pop(next(iter(table.blocks)))
    table.save(folder)
    assert ready_regression(LatencyTable.load(folder)) is None
    (folder / "regression.json").write_text('{"fitted_to": 3')
    with pytest.raises(HwnasError, match="regression"):
        ready_regression(table)


def test_what_is_like_nothing_in_the_figures_is_not_priced():
    table = LatencyTable.load(MODELS["pixel-4/nn-meter"].folder)
    assert unlike(table, get_space("lite").distinct_blocks()) == []
    assert unlike(table, get_space("shufflenet").distinct_blocks()) == ["shuffle_unit"]
    with pytest.raises(HwnasError, match="another space"):
        published_predictor(table, get_space("edgetpu"))
    with pytest.raises(HwnasError, match=r"pixel-4/nn-meter: .*tiny.*--space.*hwnas measure --space darts"):
        shipped_table("pixel-4", "darts")
    assert shipped_table("pixel-8", "tiny") is None


def test_estimates_widen_the_interval_by_their_own_deviation():
    table, space = LatencyTable.load(MODELS["xiaomi-11/nn-meter"].folder), get_space("tiny")
    predictor = fit(table, space)
    estimated = predictor.terms.estimated
    unsure_ms = sum(predictor.terms.block_ms[block] * std for block, std in estimated.items())
    share = 1.645 * unsure_ms / sum(predictor.terms.block_ms.values())
    assert share > 0.1 and predictor.half_width == pytest.approx((0.25**2 + share**2) ** 0.5)


# whose latencies a design takes


def test_a_person_comes_first_with_own_devices_tables_and_phones(no_phone):
    shipped = load_device("pixel-4")
    assert comes_with_hwnas(shipped) and comes_with_hwnas(shipped.with_threads(4))
    assert "adb" in shipped_instead(shipped, "native", "latency_models")
    assert shipped_instead(load_device("pixel-8"), "native", "latency_models") is None  # nothing comes with hwnas
    table = shutil.copytree(MODELS["xiaomi-11/nn-meter"].folder, no_phone / "latency_models" / "pixel-4" / "native")
    assert shipped_instead(shipped, "native", "latency_models") is None
    assert find_table("latency_models", "pixel-4", "native", get_space("tiny"), shipped=True).resolve() == table
    shutil.rmtree(no_phone / "latency_models")
    assert (
        find_table("latency_models", "pixel-4", "native", get_space("tiny"), shipped=True)
        == MODELS["pixel-4/nn-meter"].folder
    )
    (no_phone / "devices").mkdir()
    (no_phone / "devices" / "pixel-4.toml").write_text('name = "pixel-4"\ntransport = "adb"\nserial = "0A1B"\n')
    own = load_device("pixel-4")
    assert not comes_with_hwnas(own) and shipped_instead(own, "native", "latency_models") is None


def test_a_design_without_a_phone_says_that_it_is_predicted_and_writes_the_files(hwnas, no_phone, only_float32):  # noqa: F811
    found = answer("design", "--device", "pixel-4", *SHORT, "--budget-ms", "20", "--out", "run")
    assert (found["status"], found["measured_ms"], found["device"]) == ("predicted", {}, "pixel-4")
    assert found["interval_ms"][1] <= 20 and "nn-Meter" in found["publication"]
    assert any("predicted, never measured" in said and "pixel-4/nn-meter" in said for said in found["chosen"])
    assert {block["source"] for block in found["price"]["blocks"]} == {"regression"}
    assert all(Path(model["path"]).is_file() and model["ms"] == {} for model in found["models"]) and found["models"]
    assert "predicted, never measured" in Path("run/models/CARD.md").read_text()
    assert "never measured" in Path("run/report.html").read_text()
    assert not Path("latency_models").exists()
    code, _, err = hwnas("design", "--device", "pixel-4", *SHORT, "--budget-ms", "0.001", "--out", "other")
    assert code == 1 and "cannot be met" in err
    code, _, err = hwnas("design", "--device", "pixel-4", *SHORT, "--budget-ms", "20", "--space", "darts")
    assert code == 1 and "pixel-4/nn-meter" in err
    code, _, err = hwnas("bench", "run/models/model.tflite", "--device", "pixel-4")
    assert code == 1 and "adb" in err


def test_a_named_table_is_of_its_own_device():
    about = DesignConfig(latency="pixel-1/nn-meter", budget_ms=1.0)
    named = about.model_copy(update={"device": "pixel-1"})
    assert for_its_table(about) == for_its_table(named) == named
    with pytest.raises(UsageError, match="is about pixel-1, not pixel-4: leave --device out"):
        for_its_table(about.model_copy(update={"device": "pixel-4"}))


def test_devices_lists_them_as_what_measures_nothing(hwnas, no_phone):  # noqa: F811
    told = answer("devices")["latency_models"]
    assert {each["name"] for each in told} == NAMES
    assert next(each for each in told if each["name"] == "pixel-1/single-path-nas")["spaces"]["exact"] == [
        "single-path"
    ]
    _, _, shown = hwnas("devices")
    assert "they predict, and measure nothing" in shown


def test_price_range_and_search_take_them_by_name(hwnas, no_phone):  # noqa: F811
    price = answer("price", "--space", "tiny", "--code", "0,0,0,0,0,0,0", "--latency", "xiaomi-11/nn-meter")
    assert 0 < price["predicted_ms"] < 10
    shown = answer("range", "--space", "tiny", "--device", "galaxy-note10")
    assert shown["publication"].startswith("Once-for-All")
    code, _, err = hwnas("price", "--space", "tiny", "--code", "0,0,0,0,0,0,0", "--latency", "pixel-9/nn-meter")
    assert code == 1 and "no latency table" in err and "pixel-4/nn-meter" in "".join(err.split())


def test_damaged_conditions_are_one_clear_error(tmp_path):
    folder = shutil.copytree(MODELS["pixel-1/proxylessnas"].folder, tmp_path / "pixel-1" / "proxylessnas")
    conditions = json.loads((folder / "conditions.json").read_text())
    conditions.pop("checksum")
    del conditions["shipped"]["exact"]
    (folder / "conditions.json").write_text(json.dumps(conditions))
    with pytest.raises(HwnasError, match=r"exact.*install hwnas again"):
        ShippedTable.of(folder)


def test_an_import_never_writes_into_what_comes_with_hwnas(shared_data, tmp_path):
    shutil.copytree(MODELS["pixel-4/nn-meter"].folder, tmp_path / "pixel-4" / "nn-meter")
    before = (tmp_path / "pixel-4" / "nn-meter" / "conditions.json").read_bytes()
    with pytest.raises(HwnasError, match=r"comes with hwnas.*--tables"):
        import_table(shared_data / "latency" / "nnmeter_block_lut.csv.gz", "pixel-4", tmp_path)
    assert (tmp_path / "pixel-4" / "nn-meter" / "conditions.json").read_bytes() == before


def test_nor_does_a_fit(hwnas, tmp_path):  # noqa: F811
    shutil.copytree(MODELS["pixel-4/nn-meter"].folder, tmp_path / "nn-meter")
    before = {path.name: path.read_bytes() for path in (tmp_path / "nn-meter").iterdir()}
    code, _, err = hwnas("fit", tmp_path / "nn-meter")
    assert code == 1 and "comes with hwnas and stays as it is" in err
    assert {path.name: path.read_bytes() for path in (tmp_path / "nn-meter").iterdir()} == before
