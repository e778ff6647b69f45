"""`hwnas gate`, as a person and a CI system type it, on real runtimes with a device of very short visits.

Limits are so far from what is measured that no machine is slow or noisy enough to change an outcome.
"""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from torch import nn

from hwnas.campaign.baseline import read_baseline
from hwnas.campaign.conditions import Conditions, current_conditions
from hwnas.cli.gating import _budget
from hwnas.devices.device import load_device
from hwnas.errors import HwnasError
from hwnas.exporter.export import convert
from hwnas.latency.tables.table import LatencyTable
from hwnas.report.gate_report import write_junit
from tests.commands import answer, completed
from tests.small_models import feature_net, model_bytes

QUICK = """
name = "quick"
warmup_runs = 1
warmup_ms = 0
min_ms = 0
min_runs = 5
max_runs = 5
visits = 1
extra_visits = 0
drift_limit_percent = 1e6
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds a device file, a small model, one that takes a hundred times as long, and a bench of the small one."""
    folder = tmp_path_factory.mktemp("gate")
    (folder / "quick.toml").write_text(QUICK)
    (folder / "small.tflite").write_bytes(model_bytes(feature_net(), ".tflite"))
    large = nn.Sequential(*(nn.Conv2d(3 if i == 0 else 64, 64, 3, 1, 1) for i in range(5))).eval()
    (folder / "large.tflite").write_bytes(convert(large, (1, 3, 40, 40), "tflite"))
    found = answer("bench", folder / "small.tflite", "--device", folder / "quick.toml")
    assert len(found["reference_us"]) == len(found["repetitions_us"]) == 1
    (folder / "bench.json").write_text(json.dumps(found))
    return folder


def case_of(path: Path) -> ElementTree.Element:
    suites = ElementTree.parse(path).getroot()
    (case,) = suites.findall("testsuite/testcase")
    assert suites.get("failures") == str(len(case.findall("failure")))
    assert suites.get("errors") == str(len(case.findall("error")))
    return case


def test_a_model_within_its_budget_passes_and_becomes_a_baseline_for_a_slower_one(folder: Path) -> None:
    device = ("--device", folder / "quick.toml")
    saved, junit = folder / "saved.json", folder / "junit.xml"
    found = answer("gate", folder / "small.tflite", *device, "--budget-ms", 1e4, "--save", saved, "--junit", junit)
    assert (found["status"], len(found["rounds"])) == ("within", 4)
    assert found["excess"]["interval_percent"][1] < 0 and json.loads(saved.read_text())["rounds"] == found["rounds"]
    case = case_of(junit)
    assert case.find("failure") is None and "with a budget of 10000 ms" in case.findtext("system-out", "")
    done = completed("gate", folder / "large.tflite", *device, "--baseline", saved, "--junit", junit)
    assert done.returncode == 3 and done.stdout == ""
    assert "large.tflite is too slow: against" in " ".join(done.stderr.split())
    failure = case_of(junit).find("failure")
    assert failure is not None and failure.get("type") == "too slow" and "+4 % is allowed" in failure.get("message", "")


def test_a_model_is_compared_with_the_file_before_it(folder: Path) -> None:
    done = completed(
        "gate", folder / "large.tflite", "--device", folder / "quick.toml", "--baseline", folder / "small.tflite"
    )
    assert done.returncode == 3 and "small.tflite it takes +" in " ".join(done.stderr.split())


def test_a_bench_is_a_baseline_of_one_round(folder: Path) -> None:
    found = json.loads((folder / "bench.json").read_text())
    (each,) = read_baseline(folder / "bench.json").rounds
    assert (each.ms, each.reference_ms) == (found["repetitions_us"][0] / 1000, found["reference_us"][0] / 1000)
    assert each.ratio == each.ms / each.reference_ms


def test_a_baseline_of_other_conditions_is_refused_after_one_round(folder: Path) -> None:
    other = json.loads((folder / "bench.json").read_text())
    other["conditions"]["identity"]["cpu"] = "Another CPU"
    (folder / "other.json").write_text(json.dumps(other))
    junit = folder / "other.xml"
    done = completed(
        *("gate", folder / "small.tflite", "--device", folder / "quick.toml"),
        *("--baseline", folder / "other.json", "--junit", junit),
    )
    told = " ".join(done.stderr.split())
    assert done.returncode == 1 and "cpu: Another CPU in the baseline" in told and "--accept-conditions" in told
    error = case_of(junit).find("error")
    assert error is not None and "Another CPU" in error.get("message", "")


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        ((), 2, "needs something to hold a model against"),
        (("--budget-ms", "0"), 2, "more than 0 ms"),
        (("--budget-ms", "nan"), 2, "more than 0 ms"),
        (("--baseline", "absent.json"), 1, "there is no baseline absent.json"),
        (("--baseline", "{folder}", "--allow-percent", "5"), 2, "Add --budget-ms"),
        (("--baseline", "{folder}/quick.toml"), 1, "is damaged"),
        (("--baseline", "{folder}/list.json"), 1, "rounds"),
        (("--baseline", "{folder}/old.json"), 1, "without the reference model"),
        (("--baseline", "{folder}/elsewhere.json"), 1, "another reference model"),
        (("--baseline", "{folder}/bench.json", "--allow-percent", "nan"), 2, "0 to 1000 % slower"),
        (("--baseline", "{folder}/bench.json", "--budget-ms", "1"), 2, "two questions"),
        (("--budget-ms", "1", "--allow-percent", "10"), 2, "leave out --allow-percent"),
        (("--baseline", "before.onnx"), 1, "there is no baseline before.onnx"),
        (("--baseline", "{folder}/before.onnx"), 2, "must be a .tflite file"),
        (("--baseline", "{folder}/small.tflite", "--save", "x.json"), 2, "save in a run without"),
        (("--budget-ms", "1", "--save", "{folder}/one", "--junit", "{folder}/one"), 2, "two files, not one"),
    ],
)
def test_what_cannot_be_compared_is_said_before_anything_is_measured(
    folder: Path, options: tuple[str, ...], code: int, told: str
) -> None:
    bench = json.loads((folder / "bench.json").read_text())
    (folder / "list.json").write_text(json.dumps({"rounds": [], "reference": "a", "conditions": {}}))
    (folder / "old.json").write_text(json.dumps({"median_ms": 1.0, "conditions": bench["conditions"]}))
    (folder / "elsewhere.json").write_text(json.dumps(bench | {"reference": "0123456789ab"}))
    (folder / "before.onnx").write_bytes(b"")
    filled = [option.format(folder=folder) for option in options]
    done = completed("gate", folder / "small.tflite", "--device", folder / "quick.toml", *filled)
    assert done.returncode == code and told in " ".join(done.stderr.split())
    assert "gate: " not in done.stderr  # no round began
    assert not (folder / "one").exists()


@pytest.mark.parametrize("option", ["--save", "--junit"])
def test_a_person_s_file_is_not_replaced(folder: Path, option: str) -> None:
    """Nor one that names hwnas, as a person's notes may and a model does that hwnas has exported."""
    (folder / "notes.xml").write_text("mine, of hwnas")
    done = completed("gate", folder / "small.tflite", "--budget-ms", 1e4, option, folder / "notes.xml")
    assert done.returncode == 1 and "was not written by" in " ".join(done.stderr.split())
    assert (folder / "notes.xml").read_text() == "mine, of hwnas"


@pytest.mark.parametrize(("name", "code"), [("absent.tflite", 1), ("model.pt", 2)])
def test_a_model_that_cannot_be_measured_is_an_error_and_no_slow_model(folder: Path, name: str, code: int) -> None:
    junit = folder / "absent.xml"
    done = completed(
        "gate", folder / name, "--device", folder / "quick.toml", "--budget-ms", 1, "--json", "--junit", junit
    )
    assert done.returncode == code and done.stdout == "" and name in done.stderr
    assert case_of(junit).find("error") is not None


def test_a_name_that_no_xml_may_hold_is_written_out(tmp_path: Path) -> None:
    write_junit(tmp_path / "j.xml", "a\ufffe\x1b\udce9<&>.tflite", "local", None, "\uffff")
    case = case_of(tmp_path / "j.xml")
    assert case.get("name") == "a\\ufffe\\x1b\\udce9<&>.tflite"


def test_a_baseline_without_its_conditions_is_named(tmp_path: Path) -> None:
    rounds = [{"model_us": [1.0], "reference_us": [1.0]}]
    written = {"rounds": rounds, "reference": "a", "conditions": {"identity": {}}}
    (tmp_path / "base.json").write_text(json.dumps(written))
    with pytest.raises(HwnasError, match=r"base\.json: conditions: must hold identity and circumstances"):
        read_baseline(tmp_path / "base.json")


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_the_table_of_any_precision_says_how_fast_the_device_was(precision: str, monkeypatch, tmp_path: Path) -> None:
    """The reference model, which is what is compared, is the same in all of them."""
    now = current_conditions(load_device("local"), "litert")
    identity = now.identity | {"precision": precision}
    conditions = {"identity": identity, "circumstances": now.circumstances, "summary": {"reference_us": 50.0}}
    monkeypatch.setattr(LatencyTable, "load", lambda folder: LatencyTable(conditions=conditions))
    limit = _budget(1.0, tmp_path, accept_conditions=False)
    assert limit is not None and limit.check is not None
    limit.check(now)
    with pytest.raises(HwnasError, match="threads"):
        limit.check(Conditions(now.identity | {"threads": 7}, now.circumstances))
