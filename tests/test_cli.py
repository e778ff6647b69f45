"""The command line as people and scripts use it: what it prints, where, with which exit code, and what it refuses."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hwnas.child import load_child
from hwnas.files import read_json, write_json
from tests.commands import answer, run_command
from tests.conftest import ROOT
from tests.image_files import path_of_bytes
from tests.weekly import weekly_except

pytestmark = pytest.mark.usefixtures("final_measurements_in_one_round", "few_evaluations")

QUICK = ["--space", "tiny", "--resolution", "16", "--width", "0.25"]
LOCAL = """
name = "local"
warmup_ms = 0
min_runs = 20
max_runs = 20
min_ms = 0
visits = 3
extra_visits = 0
drift_limit_percent = 1e6
"""
"""This machine with fewer and shorter repetitions: what is tested is the way, not the numbers."""


@pytest.fixture
def hwnas(capsys, monkeypatch):
    """Run a command in this process: (exit code, stdout, stderr with its line breaks removed)."""
    monkeypatch.setenv("COLUMNS", "200")

    return partial(run_command, monkeypatch, capsys)


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """A folder of tables with one of the quick space on LiteRT, measured once on this machine, by its device file."""
    folder = tmp_path_factory.mktemp("tables")
    (folder / "local.toml").write_text(LOCAL)
    device = ["--device", folder / "local.toml", "--tables", folder]
    answer("measure", *QUICK, "--runtime", "litert", "--networks", 8, *device)
    return folder


@pytest.fixture(scope="module")
def design_options(tables, tmp_path_factory):
    """Of one whole design. A file says some of it, and a budget that its flag overrides."""
    config = tmp_path_factory.mktemp("config") / "wanted.toml"
    config.write_text('space = "tiny"\nresolution = 16\nwidth = 0.25\nbudget_ms = 1e-9\nepochs = 1\ndata = "digits"\n')
    table = tables / "local" / "litert"
    return ["--config", config, "--latency", table, "--epochs", 2, "--limit-train", 128, "--budget-ms", 1000]


@pytest.fixture(scope="module")
def designed(design_options, tmp_path_factory):
    """The JSON of one whole design."""
    return answer("design", *design_options, "--out", tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def only_float32(monkeypatch):
    """Designs write no int8 files, which cost as much again to make, measure and judge."""
    monkeypatch.setattr("hwnas.designer.closing.PRECISIONS", ("float32",))


def quick_design(tables, out, *more: object) -> list[object]:
    table = tables / "local" / "litert"
    return ["design", *QUICK, "--latency", table, "--epochs", 1, "--limit-train", 64, "--out", out, "--json", *more]


def test_every_verb_has_help_with_an_example(hwnas):
    assert hwnas("--help")[0] == 0
    verbs = (
        "devices",
        "measure",
        "fit",
        "price",
        "range",
        "search",
        "export",
        "bench",
        "gate",
        "accuracy",
        "design",
        "report",
    )
    for verb in verbs:
        code, out, _ = hwnas(verb, "--help")
        assert code == 0
        assert f"hwnas {verb}" in " ".join(out.split()).split("Example")[1], verb


def test_devices_lists_this_machine_and_its_runtimes(hwnas):
    code, out, _ = hwnas("devices", "--json")
    assert code == 0
    found = json.loads(out)
    assert "local" in found["devices"]
    assert found["runtimes"]["litert"][0].isdigit()


def test_measure_says_what_it_did_and_measures_nothing_twice(hwnas, tables):
    measure = ["measure", *QUICK, "--device", tables / "local.toml", "--tables", tables, "--networks"]
    code, out, err = hwnas(*measure, 8, "--json")
    result = json.loads(out)
    assert code == 0
    assert set(result) >= {"table", "entries", "measured", "reused", "seconds", "fastest_ms", "slowest_ms"}
    assert (result["entries"], result["measured"], result["reused"]) == (34, 0, 34)  # 26 blocks and 8 networks
    assert 0 < result["fastest_ms"] < result["slowest_ms"]
    code, out, err = hwnas(*measure, 9)
    assert (code, out) == (0, "")
    assert "1 measured now, 34 known already" in err


def test_fit_prints_the_error_card(hwnas, tables):
    table = tables / "local" / "litert"
    code, out, err = hwnas("fit", table)
    assert (code, out) == (0, "") and "mean error" in err and "CARD.md" in "".join(err.split())
    card = read_json(table / "card.json", "the card")
    assert set(card) >= {"predictor", "n_blocks", "n_networks", "mape", "hit5", "hit10", "spearman", "noise_floor"}
    assert (card["n_blocks"], card["n_networks"] >= 8) == (26, True)
    assert 0 <= card["mape"] < 50


def test_design_keeps_its_contract(designed):
    assert designed["status"] == "within"
    assert set(designed) >= {
        *("status", "budget_ms", "predicted_ms", "interval_ms", "measured_ms", "accuracy", "macs", "params"),
        *("architecture", "models", "run", "seconds"),
    }
    assert set(designed["measured_ms"]) >= {"litert", "onnxruntime"}
    assert designed["interval_ms"][0] <= designed["predicted_ms"] <= designed["interval_ms"][1]
    assert 0 <= designed["accuracy"] <= 1
    assert -100 < designed["drift_percent"] < math.inf
    low, high = designed["interval_ms"]
    assert designed["in_interval"] == (low <= designed["measured_ms"]["litert"] <= high)


def test_a_design_is_predicted_by_the_table_whatever_the_machine_does_now(designed):
    from hwnas.latency.additive import AdditivePredictor
    from hwnas.space import Architecture

    predictor = AdditivePredictor.load(ROOT / designed["run"] / "predictor.json")
    prediction = predictor.predict(Architecture.from_json(designed["architecture"]))
    assert designed["drift_percent"] != 0
    assert designed["predicted_ms"] == pytest.approx(prediction.ms, rel=1e-9)
    assert designed["interval_ms"] == pytest.approx(prediction.interval_ms, rel=1e-4)
    assert designed["interval_ms"][1] <= designed["budget_ms"] * (1 + 1e-4)
    for model in designed["models"]:
        assert set(model) == {
            *("format", "precision", "path", "bytes", "sha256", "max_relative_error", "ms", "accuracy"),
        }
        assert Path(model["path"]).stat().st_size == model["bytes"]
        assert model["max_relative_error"] <= 1e-5 or model["precision"] == "int8"


def test_every_file_of_a_design_was_measured_and_evaluated(designed):
    """In float32 and int8, on the runtime that takes it: in the report, on the card, on the page."""
    by_name = {Path(model["path"]).name: model for model in designed["models"]}
    assert list(by_name) == ["model.tflite", "model.onnx", "model.int8.tflite", "model.int8.onnx"]
    run = Path(designed["run"])
    card, page = (run / "models" / "CARD.md").read_text(), (run / "report.html").read_text()
    for name, model in by_name.items():
        runtime = "litert" if name.endswith("tflite") else "onnxruntime"
        assert model["ms"][runtime] > 0 and 0 <= model["accuracy"] <= 1
        (row,) = (line for line in card.splitlines() if line.startswith(f"| `{name}` |"))
        for said in (row, page):
            assert f"{model['ms'][runtime]:.4g} ms on {runtime}" in said
        assert f"{model['accuracy']:.1%}" in row
    for runtime, ms in designed["measured_ms"].items():  # the budget is for float32
        assert ms in (by_name["model.tflite"]["ms"].get(runtime), by_name["model.onnx"]["ms"].get(runtime))
    assert list(by_name["model.int8.tflite"]["ms"]) == ["litert"]


def test_the_page_of_a_design_is_written_again_from_what_is_stored(hwnas, designed):
    run = Path(designed["run"])
    before = (run / "report.html").read_bytes()
    (run / "report.html").unlink()
    assert hwnas("report", run)[0] == 0
    assert (run / "report.html").read_bytes() == before
    counts = json.loads((run / "report.json").read_text())["confusion"]
    assert sum(counts[i][i] for i in range(10)) / sum(map(sum, counts)) == pytest.approx(designed["accuracy"])
    assert b"data:image/jpeg;base64," in before


def test_the_run_folder_holds_all_that_is_needed_to_ship(designed):
    import numpy as np
    import torch

    import hwnas
    from hwnas.runtimes import get_runtime

    child = hwnas.load_child(designed["run"])
    assert child.architecture.to_json() == designed["architecture"]
    assert (child.architecture.macs, child.architecture.params) == (designed["macs"], designed["params"])
    x = np.random.default_rng(0).standard_normal((1, 3, 16, 16), dtype=np.float32)
    expected = child(torch.from_numpy(x)).detach().numpy()
    for model in (each for each in designed["models"] if each["precision"] == "float32"):
        runtime = get_runtime({"tflite": "litert", "onnx": "onnxruntime"}[model["format"]])
        out = runtime.load(Path(model["path"])).run(x)
        np.testing.assert_allclose(out, expected, atol=1e-4 * np.abs(expected).max())
    report = json.loads((ROOT / designed["run"] / "report.json").read_text())
    assert len(report["preprocessing"]["mean"]) == 3
    assert (report["preprocessing"]["crop"], report["preprocessing"]["resize"]) == (
        "largest-centred",
        "antialiased-bilinear",
    )
    assert len(report["classes"]) == 10


@pytest.mark.weekly  # test_cli_published.py repeats one that is predicted, test_wanted_budget.py reads a table
def test_a_finished_design_is_repeated_from_its_checkpoint_and_printed_as_a_table_for_people(
    hwnas, designed, design_options, tmp_path, only_float32
):
    """By `search`, too, which is the same with a table that exists."""
    run = shutil.copytree(designed["run"], tmp_path / "run")
    steps = (run / "metrics.jsonl").read_text()
    code, out, err = hwnas("search", *design_options, "--out", run)
    assert (code, out) == (0, ""), err
    said = "".join(err.replace("│", "").split())  # a table breaks long paths anywhere
    for word in ("budget", "1000ms", "measured", "within", "predicted", "accuracy", "model.tflite", "model.onnx"):
        assert word in said
    again = json.loads((run / "report.json").read_text())
    assert again["architecture"] == designed["architecture"]
    assert again["accuracy"] == designed["accuracy"]
    assert (run / "metrics.jsonl").read_text() == steps  # nothing was trained


def test_options_of_a_file_are_overridden_by_flags(hwnas, designed, tmp_path):
    assert designed["budget_ms"] == 1000
    config = json.loads((Path(designed["run"]) / "run.json").read_text())["config"]
    assert (config["space"], config["epochs"], config["settings"]["momentum"]) == ("tiny", 2, 0.9)
    path = tmp_path / "wrong.toml"
    for line, named in (("[settings]\nmomentun = 0.8\n", "momentum"), ('spaze = "tiny"\n', "spaze")):
        path.write_text(line)
        code, _, err = hwnas("design", "--config", path, "--budget-ms", 999, "--out", tmp_path / "run")
        assert (code, named in err) == (2, True)


def test_export_writes_one_format_on_request(hwnas, designed, tmp_path):
    code, out, _ = hwnas("export", designed["run"], "--format", "onnx", "--out", tmp_path, "--json")
    assert code == 0
    assert [model["format"] for model in json.loads(out)["models"]] == ["onnx"]
    assert sorted(os.listdir(tmp_path)) == ["CARD.md", "export.json", "model.onnx"]


def test_bench_measures_any_model_and_records_its_conditions(hwnas, designed, tmp_path):
    quick = tmp_path / "quick.toml"
    quick.write_text('name = "quick"\nmin_ms = 1.0\nwarmup_ms = 0.0\nmin_runs = 20\nvisits = 1\n')
    for path in (next(m["path"] for m in designed["models"] if m["format"] == name) for name in ("tflite", "onnx")):
        code, out, _ = hwnas("bench", path, "--device", quick, "--threads", 2, "--json")
        result = json.loads(out)
        assert code == 0
        assert 0 < result["p5_ms"] <= result["median_ms"] <= result["p95_ms"]
        assert result["runs"] >= 20
        assert result["conditions"]["identity"]["threads"] == 2
    code, out, err = hwnas("bench", designed["models"][0]["path"], "--device", quick, "--runtime", "tflite-runtime")
    assert (code, out) == (0, "")
    assert "tflite-runtime 2.14" in err


def test_a_design_from_a_folder_of_images(hwnas, tables, tmp_path):
    """Two classes of real image files: grey and with transparency, a truncated one, a text, some copies, a HEIC."""
    for label, colour in (("dark", 40), ("light", 220)):
        folder = tmp_path / "photos" / label
        folder.mkdir(parents=True)
        for i in range(40):
            mode = ("RGB", "L", "RGBA", "CMYK")[i % 4]
            pixels = np.random.default_rng(colour + i % 28).integers(colour - 20, colour + 20, (17, 20), dtype=np.uint8)
            image = Image.fromarray(pixels).convert(mode)
            image.save(folder / f"{i}.{'png' if mode == 'RGBA' else 'jpg'}")
    (tmp_path / "photos" / "dark" / "note.jpg").write_text("not an image")
    jpeg = tmp_path / "photos" / "light" / "1.jpg"
    jpeg.write_bytes(jpeg.read_bytes()[:200])
    path_of_bytes(tmp_path / "photos" / "light", b"\xe9t\xe9.HEIC").write_bytes(b"no matter")
    options = ["--data", tmp_path / "photos", "--networks", 5, "--tables", tmp_path / "tables", "--budget-ms", 1000]
    options += ["--device", tables / "local.toml"]
    options += ["--method", "once-for-all", "--no-compare"]
    code, _, err = hwnas("design", *QUICK, *options, "--epochs", 1, "--out", tmp_path / "run", "--json")
    assert code == 0, err
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["classes"] == ["dark", "light"]
    assert report["found_against"] == []  # which this method does as a rule
    assert sum(skipped["count"] for skipped in report["skipped"].values()) == 2
    # pictures 28 to 39 are those of 0 to 11, and some are in two splits
    copies = report["data"]["leaked"]["test"]["count"]
    assert 0 < copies < report["images"]["test"] and 0 <= report["accuracy_without_leaked"] <= 1
    exported = json.loads((tmp_path / "run" / "models" / "export.json").read_text())
    for file in exported["files"]:  # they are evaluated without the copies
        assert file["accuracy"]["images"] == report["images"]["test"] - copies
    assert sum(found["count"] for found in report["data"]["left_out"].values()) == 1
    card, page = (tmp_path / "run" / name for name in ("models/CARD.md", "report.html"))
    assert f"- {copies} test images are copies" in card.read_text()
    assert "- 3 files of the folder were left out" in card.read_text()
    for said in (" ".join(err.split()), page.read_text()):
        assert f"Copies of training or validation images among the test images: {copies} (" in said
        assert "cannot read (.heic" in said


WRONG = {
    "budget below the fastest": (["--budget-ms", "1e-6"], 1, "the fastest architecture of space 'tiny', code"),
    "negative budget": (["--budget-ms", "-1"], 2, "budget-ms"),
    "budget that is no number": (["--budget-ms", "fast"], 2, "budget-ms"),
    "no budget": ([], 2, "budget-ms"),
    "unknown space": (["--budget-ms", "1", "--space", "huge"], 2, "single-path"),
    "unknown method": (["--budget-ms", "1", "--method", "magic"], 2, "dsnas"),
    "unknown runtime": (["--budget-ms", "1", "--runtime", "tvm"], 2, "onnxruntime"),
    "unknown device": (["--budget-ms", "1", "--device", "toaster"], 2, "local"),
    "no such folder": (["--budget-ms", "1", "--data", "/no/such/folder"], 1, "/no/such/folder"),
    "table of other threads": (["--budget-ms", "1000", "--threads", "2"], 1, "threads: 1 in"),
    "table of another runtime": (["--budget-ms", "1000", "--runtime", "onnxruntime"], 1, "runtime: litert in"),
    "table that lacks the blocks": (["--budget-ms", "1000", "--width", "0.5"], 1, "lacks"),
    "a table that is not there": (["--budget-ms", "1", "--latency", "/no/table"], 1, "hwnas measure"),
    "a resolution too small": (["--budget-ms", "1", "--resolution", "2"], 2, "resolution"),
    "no epochs": (["--budget-ms", "1", "--epochs", "0"], 2, "epochs"),
    "a run folder that cannot be": (["--budget-ms", "1000", "--out", "/proc/nowhere"], 1, "cannot make the run folder"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_refused_in_one_paragraph(hwnas, tables, tmp_path, case):
    arguments, exit_code, says = WRONG[case]
    code, out, err = hwnas(*quick_design(tables, tmp_path / "run", *arguments))
    assert (code, out) == (exit_code, "")
    assert says in err
    assert "Traceback" not in err


def test_to_compile_where_nothing_is_trained_alone_is_refused(hwnas, tables, tmp_path, monkeypatch):
    monkeypatch.setattr("hwnas.designer.design.check_can_compile", lambda torch_device: None)  # it takes a while
    unmeasured = "--tables", tmp_path / "tables"
    code, _, err = hwnas(*quick_design(tables, tmp_path / "run", "--budget-ms", 1000, "--compile", *unmeasured))
    assert code == 2 and "say --retrain, or leave it out" in err
    assert not (tmp_path / "tables").exists()


def test_networks_to_be_measured_and_a_table_that_is_taken_as_it_is_are_refused_together(hwnas, tables):
    named = "--latency", tables / "local" / "litert", "--networks", 99
    code, _, err = hwnas("design", "--data", "digits", "--budget-ms", 1000, *named)
    assert code == 2 and "networks is of a table that is measured, and latency names one" in err


def test_a_table_of_other_conditions_is_taken_if_asked(hwnas, tables, tmp_path):
    """A table of two threads: to measure with as many here takes minutes where other programs run beside the tests."""
    shutil.copytree(tables / "local" / "litert", tmp_path / "table")
    path = tmp_path / "table" / "conditions.json"
    conditions = read_json(path, "the conditions")
    conditions["identity"]["threads"] = 2
    write_json(path, conditions)
    design = quick_design(tables, tmp_path / "run", "--budget-ms", 1e-6, "--latency", tmp_path / "table")
    code, _, err = hwnas(*design)
    assert code == 1 and "threads: 2 in" in err
    code, _, err = hwnas(*design, "--accept-conditions")
    assert code == 1 and "threads" not in err and "cannot be met" in err  # which only the table can tell


def test_measuring_into_a_table_of_other_threads_is_refused_and_leaves_it(hwnas, tables):
    before = (tables / "local" / "litert" / "blocks.csv").read_bytes()
    code, _, err = hwnas("measure", *QUICK, "--threads", 2, "--tables", tables)
    assert code == 1
    assert "threads" in err
    assert (tables / "local" / "litert" / "blocks.csv").read_bytes() == before


def test_a_run_folder_of_another_configuration_is_refused_and_left(hwnas, designed, design_options):
    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in Path(designed["run"]).rglob("*") if path.is_file()}

    before = files()
    code, _, err = hwnas("design", *design_options, "--seed", 7, "--out", designed["run"])
    assert code == 1
    assert "seed: 0 there, 7 now" in err
    assert files() == before


@pytest.mark.parametrize(
    "content", weekly_except([b"TFL3 but not a model"], [b"", b"TFL3 but not a model", bytes(400), "für dich".encode()])
)
@pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
def test_bench_refuses_foreign_files(hwnas, tmp_path, content, suffix):
    path = tmp_path / f"model{suffix}"
    path.write_bytes(content)
    code, out, err = hwnas("bench", path, "--json")
    assert (code, out) == (1, "")
    assert path.name in err
    assert "Traceback" not in err


@pytest.mark.parametrize("name", ["missing.tflite", "model.pt"])
def test_bench_refuses_what_it_cannot_run(hwnas, tmp_path, name):
    code, _, err = hwnas("bench", tmp_path / name)
    assert code in (1, 2)
    assert name in err


def test_a_damaged_table_is_named(hwnas, tables, tmp_path):
    shutil.copytree(tables / "local" / "litert", tmp_path / "table")
    (tmp_path / "table" / "blocks.csv").write_bytes(b"block,ms\nx,y\n")
    code, _, err = hwnas("fit", tmp_path / "table")
    assert code == 1
    assert "blocks.csv" in err


@pytest.mark.weekly
def test_a_full_disk_keeps_what_was_measured(hwnas, full_disk):
    """The journal fills what is left of a 1 MiB disk; what it holds by then is whole, and the message says so."""
    (full_disk / "other files").write_bytes(bytes(900 * 1024))
    code, _, err = hwnas("measure", "--space", "tiny", "--tables", full_disk)
    assert code == 1
    assert "No space left" in err or "disk" in err.lower()
    journal = (full_disk / "local" / "litert" / "journal.jsonl").read_text().splitlines()
    assert len([json.loads(line) for line in journal[:-1]]) > 5


@pytest.mark.weekly
def test_ctrl_c_keeps_what_was_measured_and_the_next_call_goes_on(tmp_path):
    arguments = ["measure", *QUICK, "--networks", "5", "--tables", str(tmp_path)]
    process = subprocess.Popen(
        [sys.executable, "-m", "hwnas.cli", *arguments, "--json"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    journal = tmp_path / "local" / "litert" / "journal.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (journal.exists() and journal.read_text().count('"entry"') >= 5):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert "repeat the command to go on" in err
    kept = journal.read_text().count('"entry"')
    assert answer(*arguments)["entries"] == 31
    assert journal.read_text().count('"entry"') >= 2 * 31
    assert kept >= 5


AGAINST_PLAIN = ["--data", "digits", "--method", "once-for-all", "--budget-ms", 0.3]
"""The plain network that fits is larger than any of the space, and small enough to be trained in seconds."""


@pytest.mark.weekly  # the next one compares, too; that a run keeps its networks is all that it adds
def test_what_is_found_is_compared_with_a_network_as_one_would_have_picked_it(hwnas, tables, tmp_path):
    """Trained the same way; the same command goes on with the same networks, though they might measure otherwise."""
    command = quick_design(tables, tmp_path / "run", *AGAINST_PLAIN)
    code, out, err = hwnas(*command)
    assert code == 0, err
    report = json.loads(out)
    (rival,) = report["found_against"]
    assert rival["network"] == "plain-cnn"
    assert 0 < rival["measured_ms"] <= 0.3
    assert 0 <= rival["accuracy"] <= 1
    assert report["budget_used"] == pytest.approx(report["measured_ms"]["litert"] / 0.3)
    returned = rival["network"] if report["returned"] != "found" else report["architecture"]["space"]
    assert returned == report["architecture"]["space"]
    code, out, err = hwnas(*command)
    assert code == 0, err
    again = json.loads(out)
    assert again["found_against"] == report["found_against"]
    assert again["accuracy"] == report["accuracy"]


def test_a_known_network_that_is_better_is_what_a_design_returns(hwnas, tables, tmp_path, monkeypatch, only_float32):
    """Files, accuracy and figures are its own, within the budget; what was searched is kept beside it."""
    monkeypatch.setattr("hwnas.designer.comparison.SHARE", 0.5)  # a busy machine may not put it over the budget
    monkeypatch.setattr("hwnas.networks.scaling.MOST_MEASUREMENTS", 1)
    command = quick_design(tables, tmp_path / "run", *AGAINST_PLAIN, "--epochs", 4, "--limit-train", 320)
    code, out, err = hwnas(*command)
    assert code == 0, err
    report = json.loads(out)
    (rival,) = report["found_against"]
    assert report["returned"] == rival["network"] == "plain-cnn"
    assert report["searched"]["val_accuracy"] < report["val_accuracy"] == rival["val_accuracy"]
    assert report["accuracy"] == rival["accuracy"]
    assert report["status"] == "within"
    assert report["predicted_ms"] is report["price"] is None
    assert load_child(tmp_path / "run").architecture == load_child(rival["folder"]).architecture
    assert load_child(report["searched"]["folder"]).architecture.space == "tiny"
    card = (tmp_path / "run" / "models" / "CARD.md").read_text()
    assert f"measured **{report['measured_ms']['litert']:.4g} ms, within the budget**." in card
    page = (tmp_path / "run" / "report.html").read_text()
    assert "plain-cnn is returned" in page and "found by the search, 16 px" in page
    assert hwnas("accuracy", tmp_path / "run", "--data", "digits")[0] == 0
    assert hwnas("report", tmp_path / "run")[0] == 0
    assert hwnas("export", tmp_path / "run", "--out", tmp_path / "again", "--data", "digits")[0] == 0
