"""A design for several devices and limits at once: one network within all, a record of each, and clear refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import hwnas
from hwnas.cli.designing import _check_within, _design_config
from hwnas.designer.config import DesignConfig, default_folder
from hwnas.designer.counted_limits import counted_limits
from hwnas.designer.design_table import design_table
from hwnas.designer.result import DesignResult
from hwnas.designer.target import further_places
from hwnas.designer.task import Task
from hwnas.designer.wanted_limits import parse_amount, parse_pairs, parse_place
from hwnas.devices.device import load_device
from hwnas.errors import HwnasError, UsageError
from hwnas.files import read_json
from hwnas.latency.measuring.measure import measure
from hwnas.progress import silent
from hwnas.report.page_facts import notes, tiles, verdict
from hwnas.spaces import get_space
from hwnas.train.loop import open_run
from tests.commands import completed
from tests.test_design_precision import QUICK

pytestmark = pytest.mark.usefixtures("final_measurements_in_one_round", "few_evaluations")
SPACE = get_space("tiny", resolution=16, width=0.25)


def test_a_place_is_a_device_and_perhaps_a_runtime() -> None:
    assert parse_place("pixel-1") == ("pixel-1", None)
    assert parse_place("local/onnxruntime") == ("local", "onnxruntime")
    assert parse_place("devices/mine.toml") == ("devices/mine.toml", None)
    assert parse_place("devices/mine.toml/litert") == ("devices/mine.toml", "litert")


@pytest.mark.parametrize(
    ("name", "text", "amount"),
    [
        *[("parameters", "2M", 2e6), ("parameters", "350k", 3.5e5), ("macs", 1000, 1e3)],
        *[("file-size", "1.5MB", 1.5e6), ("peak-memory", "256KiB", 2.0**18)],
    ],
)
def test_amounts_have_units(name: str, text: str, amount: float) -> None:
    assert parse_amount(name, text) == amount


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("parameters", "2MB", "parameters is a number above 0 such as 2M"),
        ("parameters", "0", "parameters is a number"),
        ("file-size", "1.5.2MB", "file-size is a number above 0 such as 1.5MB"),
        ("parameter", "2M", "did you mean 'parameters'|parameters"),
    ],
)
def test_what_is_no_amount_is_refused(name: str, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_amount(name, text)


@pytest.mark.parametrize("text", ["pixel-1", "=3", "pixel-1="])
def test_what_is_no_pair_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--budget takes NAME=VALUE"):
        parse_pairs([text], "--budget")


def test_limits_of_files_are_those_of_the_format_that_the_budget_is_for() -> None:
    names = {formats: [limit.name for limit in counted_limits({"peak-memory": 4e5}, SPACE, formats, "float32", None)]
             for formats in (("tflite",), ("onnx",), ("tflite", "onnx"))}  # fmt: skip
    assert names[("tflite",)] == ["peak-memory"] and names[("onnx",)] == ["peak-memory (onnx)"]
    assert names["tflite", "onnx"] == ["peak-memory (tflite)", "peak-memory (onnx)"]


def test_the_first_budget_is_this_machines_and_both_spellings_are_one_run() -> None:
    together = DesignConfig(budgets={"pixel-1": 60, "local/onnxruntime": "60%", "local": 0.5})
    assert (together.device, together.runtime, together.budget_ms) == ("local", "onnxruntime", "60%")
    assert together.budgets == {"pixel-1": 60.0, "local": 0.5}
    apart = DesignConfig(
        device="local", runtime="onnxruntime", budget_ms="60 %", budgets={"pixel-1": "60", "local": 0.5}
    )
    assert apart == together and default_folder(apart) == default_folder(together)
    assert default_folder(together) != default_folder(together.model_copy(update={"limits": {"macs": 1e6}}))
    flags = {"budgets": ["pixel-1=60", "local/onnxruntime=60%", "local=0.5"], "limits": ["macs=1M"]}
    assert _design_config(flags, None) == together.model_copy(update={"limits": {"macs": 1e6}})
    ahead = _design_config({"budgets": ["pixel-1=60"], "frontier": "40,60"}, None)
    assert (ahead.device, ahead.budget_ms, ahead.frontier, ahead.budgets) == ("pixel-1", 60, (40, 60), {})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budgets": ["local=1", "local=2"]}, "names local twice"),
        ({"budgets": ["local=fast"]}, "--budget local=fast: a budget must be a number of ms"),
        ({"budgets": ["local=1"], "device": "pixel-1"}, "--device and --runtime say what --budget-ms is for"),
        ({"budgets": ["local=1", "pixel-1=2"], "sustained": "s.json"}, "sustained goes with one budget"),
        ({"budgets": ["local=1"], "limits": ["watts=3"]}, "watts"),
        ({"budget_ms": 1, "compare": False, "compare_with": "mnasnet"}, "--compare-with names networks"),
        ({"budget_ms": 1, "int8_max_loss": 2.0}, "--int8-max-loss goes with the precision int8"),
    ],
)
def test_options_that_contradict_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        _design_config(options, None)


def test_two_budgets_for_one_runtime_of_a_device_are_refused_and_unknown_devices_named() -> None:
    def places(**budgets: float) -> None:
        named = {name.replace("_", "/"): ms for name, ms in budgets.items()}
        further_places(DesignConfig(budget_ms=1.0, budgets=named), load_device("local"), "litert")

    with pytest.raises(UsageError, match="two budgets for litert on local"):
        places(local_litert=1.0)
    with pytest.raises(UsageError, match="nokia"):
        places(nokia=1.0)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> DesignConfig:
    """Of a design for both runtimes of this machine, pixel-1, and limits on all that is counted."""
    folder, device = tmp_path_factory.mktemp("limits"), load_device("local").model_copy(update=QUICK)
    tables = [str(measure(SPACE, device, runtime, folder, 5).table.folder) for runtime in ("litert", "onnxruntime")]
    small = {"space": "tiny", "resolution": 16, "width": 0.25, "method": "dsnas", "epochs": 1, "limit_train": 64}
    return DesignConfig(
        **small,
        workers=0,
        budgets={"local": 1000.0, "local/onnxruntime": 1000.0, "pixel-1": "90%"},
        limits={"parameters": "15k", "macs": "2M", "file-size": "200kB", "peak-memory": "60kB"},
        latency=tables[0],
        latencies={"local/onnxruntime": tables[1]},
        tables=str(folder),
    )


@pytest.fixture(scope="module")
def designed(config: DesignConfig, tmp_path_factory: pytest.TempPathFactory) -> DesignResult:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hwnas.designer.closing.PRECISIONS", ("float32",))  # no limit is about int8 files
        return hwnas.design(config, tmp_path_factory.mktemp("runs") / "run")


def test_one_network_is_within_all_and_each_limit_has_a_record(designed: DesignResult, config: DesignConfig) -> None:
    records = {record["name"]: record for record in read_json(designed.run / "report.json", "")["limits"]}
    files = [f"{name} ({format})" for name in ("file-size", "peak-memory") for format in ("tflite", "onnx")]
    phone = "pixel-1"
    assert list(records) == ["local/litert", "local/onnxruntime", phone, "parameters", "macs", *files]
    assert designed.status == "within"
    assert {name for name, record in records.items() if record["status"] != "within"} == {phone}
    assert records[phone]["measured"] is None and records[phone]["interval"][1] <= records[phone]["limit"]
    assert records["local/onnxruntime"]["measured"] == designed.measured_ms["onnxruntime"]
    assert records["parameters"]["measured"] == designed.architecture.params <= 15_000
    assert records["parameters"]["predicted"] == designed.architecture.params
    sizes = {model.format: model.bytes for model in designed.models if model.precision == "float32"}
    for format, size in sizes.items():
        record = records[f"file-size ({format})"]
        assert record["measured"] == size and record["interval"][0] <= size <= record["interval"][1]
        memory = records[f"peak-memory ({format})"]
        assert memory["measured"] == memory["predicted"]
    page, table = (designed.run / "report.html").read_text(), design_table(designed)
    rows = dict(zip(*(map(str, column.cells) for column in table.columns), strict=True))
    for name, record in list(records.items())[1:]:
        assert name in page and record["told"] in page and rows[name] == record["told"]
    colours = {
        row.plain: [str(span.style) for span in row.spans] for row in table.columns[1].cells if hasattr(row, "spans")
    }
    assert "bold green" in colours[records["parameters"]["told"]] and colours[records[phone]["told"]] == []
    assert any("pixel-1" in line and "never measured" in line for line in designed.chosen)


def test_a_run_goes_on_with_the_same_limits_only(designed: DesignResult, config: DesignConfig) -> None:
    open_run(designed.run, Task.of(config, silent, designed.run).resolved())  # is not refused
    for other in ({"limits": {"parameters": 16e3}}, {"budgets": {"local/onnxruntime": 999.0}}):
        with pytest.raises(HwnasError, match="is the run of another configuration"):
            hwnas.design(config.model_copy(update=other), designed.run)


def test_what_cannot_be_met_is_said_before_anything_is_trained(config: DesignConfig, tmp_path: Path) -> None:
    tight = config.model_copy(update={"limits": {"parameters": 10.0}})
    with pytest.raises(HwnasError, match=r"parameters of 10 cannot be met: the least .* takes is"):
        hwnas.design(tight, tmp_path / "run")
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_a_search_without_a_table_of_a_further_device_says_how_to_get_one(tmp_path: Path) -> None:
    done = completed(
        *("search", "--space", "tiny", "--budget", "local=1", "--budget", "local/onnxruntime=1"),
        *("--tables", str(tmp_path), "--epochs", "1"),
    )
    assert done.returncode == 1 and "hwnas measure --space tiny --device local" in " ".join(done.stderr.split())


def test_a_network_over_one_of_its_limits_is_a_failure_that_names_it(designed: DesignResult) -> None:
    first, second, *others = designed.limits
    _check_within(designed)
    over = replace(designed, limits=(first, replace(second, measured=2000.0), *others))
    with pytest.raises(HwnasError, match=r"over 1 of its 9 limits \(local/onnxruntime: 2000 ms measured: over 1000 ms"):
        _check_within(over)
    # of the first budget nothing else is said than before
    report = read_json(designed.run / "report.json", "the report")
    both = {**report, "status": "over", "limits": [record.to_json() for record in over.limits]}
    assert "within the budget" in verdict(both) and tiles(both, {})[0]["state"] == "within"
    told = [note["text"] for note in notes(both, {})]
    (said,) = [text for text in told if " over " in text]
    assert said == f"It is over a limit, local/onnxruntime: {both['limits'][1]['told']}."
    table = design_table(replace(over, status="over"))
    rows = dict(zip(*(map(str, column.cells) for column in table.columns), strict=True))
    assert "within the budget" in rows["measured"] and "over" in rows["local/onnxruntime"]


@pytest.mark.parametrize("options", [{"compare": True}, {"compare_with": ("mobilenet-v2",)}])
def test_known_networks_that_cannot_be_trained_alike_are_refused_before_anything_is_measured(
    config: DesignConfig, tmp_path: Path, options: dict[str, object]
) -> None:
    asked = config.model_copy(
        update=options | {"latency": None, "budgets": {}, "latencies": {}, "tables": str(tmp_path)}
    )
    with pytest.raises(UsageError, match="dsnas trains what it finds in a way of its own"):
        hwnas.design(asked, tmp_path / "run")
    assert not list(tmp_path.rglob("*.csv"))
