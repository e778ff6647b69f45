"""`hwnas evaluate`: a whole small study from the command line, repeated, extended, shown, compared, and refused."""

import gzip
import json
import shutil
import statistics
import tomllib
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image

from hwnas.errors import HwnasError
from hwnas.evaluation.config import StudyConfig
from hwnas.evaluation.gap import seed_ceiling
from hwnas.evaluation.study import NEVER_SEARCHED, REPORT_FILE, Study, evaluate
from hwnas.evaluation.study_images import _places
from hwnas.evaluation.tasks import RESULT_FILE, RUN_FOLDER, Task, images, keep_predictor
from hwnas.evaluation.truth import Truth
from hwnas.files import read_json, write_json
from hwnas.progress import silent
from hwnas.report.study_page import study_page
from hwnas.report.study_table import cells
from hwnas.spaces import get_space
from hwnas.train.data import load_data
from tests.commands import answer, completed
from tests.test_latency import made_table

SPACE = get_space("tiny", resolution=16, width=0.25)
CONTRACT = {
    "method",
    "data",
    "budget_ms",
    "seeds",
    "accuracy_mean",
    "regret_mean",
    "relative_improvement",
    "interval",
    "p",
    "p_holm",
    "seconds",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Holds a latency table, published accuracies of some networks, and a configuration."""
    folder = tmp_path_factory.mktemp("study")
    made_table(SPACE, networks=12).save(folder / "table")
    (folder / "truth.csv").write_text("code,accuracy\n")
    (folder / "misnamed.toml").write_text("budget_ms = 1.0\n[settings.random]\nevaluations = 3\n")
    (folder / "study.toml").write_text(
        'methods = ["random-search"]\nspace = "tiny"\nresolution = 16\nwidth = 0.25\nepochs = 1\nlimit_train = 64\n'
        f'latency = "{folder / "table"}"\nbudget_ms = "60%"\nranked = 3\nseeds = 2\n'
        "[settings.random-search]\nevaluations = 3\n"
    )
    return folder


@pytest.fixture(scope="module", autouse=True)
def few_are_scored():
    """Naswot compares 4 networks, where it is 50 otherwise, each time that a study goes on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hwnas.evaluation.rules.SCORED", 4)
        yield


def study(folder: Path, *options: object) -> dict:
    return answer("evaluate", "--config", folder / "study.toml", "--out", folder / "made", *options)


@pytest.fixture(scope="module")
def made(folder) -> dict:
    return study(folder)


def test_random_networks_and_simple_rules_are_in_every_table(made):
    rows = {row["method"]: row for row in made["rows"]}
    assert set(rows) == {"random", "most-layers", "most-macs", "naswot", "random-search"}
    assert all(row.keys() >= CONTRACT for row in rows.values())
    assert all(row["seeds"] == len(row["accuracies"]) == 2 for row in rows.values())
    assert all(0 < row["budget_used"] <= 1 for row in rows.values())
    assert [rows["random"][name] for name in ("relative_improvement", "interval", "p", "p_holm")] == [None] * 4
    found = rows["random-search"]
    ratio = statistics.fmean(found["accuracies"]) / statistics.fmean(rows["random"]["accuracies"])
    assert found["relative_improvement"] == pytest.approx(100 * (ratio - 1))
    assert found["p_holm"] >= found["p"] > 0
    assert {row["regret_mean"] for row in rows.values()} == {None}


def test_the_gap_of_every_supernet_is_measured(made):
    gaps = {row["method"]: row["gap"] for row in made["rows"]}
    assert [name for name, gap in gaps.items() if gap] == ["random-search"]
    gap = gaps["random-search"]
    networks = {run["digest"] for run in made["runs"]}
    assert len(networks) < gap["networks"] <= len(networks) + 3
    assert {
        "tau",
        "tau_error",
        "tau_top_quartile",
        "tau_macs",
        "tau_depth",
        "tau_naswot",
        "hit",
        "regret",
    } <= gap.keys()
    run = next(run for run in made["runs"] if run["gap"])
    assert run["gap"]["retraining"] == pytest.approx(run["gap"]["inherited"] - run["val_accuracy"])


def test_what_was_found_is_trained_with_weights_that_no_search_chose_by(folder, made):
    """A search that trains children would else be judged by the very training that it chose."""
    asked = [read_json(path, "")["asked"] for path in (folder / "made" / "train").glob(f"*/{RESULT_FILE}")]
    assert asked and all(each["weights_seed"] == each["seed"] + NEVER_SEARCHED for each in asked)


def here(folder: Path, out: Path, **changed: object) -> dict:
    """The report of the study with some options changed, made by this process."""
    values = tomllib.loads((folder / "study.toml").read_text()) | changed
    return evaluate(StudyConfig.model_validate(values), out).to_json()


@pytest.mark.weekly
def test_networks_that_are_trained_twice_say_what_a_score_can_reach(folder, made):
    """The rules find one network with every seed; three random ones, each trained with two seeds, join them."""
    found = here(folder, folder / "made", ranked_seeds=2)
    gap, before = found["rows"][-1]["gap"], made["rows"][-1]["gap"]
    assert -1 <= gap["tau_ceiling"] <= 1 and 0 <= gap["regret_ceiling"] < 1
    assert gap["networks"] == before["networks"]
    page = study_page(found)
    assert "other seed</th>" in page and "3 random ones, each with 2 seeds" in page
    without = json.loads(json.dumps(found))
    without["rows"][-1]["gap"]["tau_ceiling"] = None
    assert "other seed</th>" not in study_page(without)


@pytest.mark.weekly
def test_searches_of_equal_time_go_as_far_as_their_pilots_say(folder, tmp_path):
    """Children that are trained by themselves are counted in the place of epochs."""
    settings = {"random-search": {"evaluations": 2}, "weaknas": {"evaluate": "trained", "child_epochs": 1}}
    changed = {"methods": tuple(settings), "settings": settings, "seeds": 1, "ranked": 0}

    def efforts(seconds: float) -> dict[str, int]:
        rows = here(folder, tmp_path / "made", search_seconds=seconds, **changed)["rows"]
        return {row["method"]: row["effort"] for row in rows if row["effort"] is not None}

    assert efforts(1e-6) == {"random-search": 1, "weaknas": 1}
    for path in (tmp_path / "made" / "pilot").glob(f"*/{RESULT_FILE}"):
        kept = read_json(path, "")
        assert min(kept["found"]["short_s"], kept["found"]["long_s"]) > 0
        timed = {"short_s": 3.0, "long_s": 5.0, "long": 3}  # 1 s each, 2 s besides
        write_json(path, kept | {"found": kept["found"] | timed})
    assert efforts(4.0) == {"random-search": 2, "weaknas": 2}
    runs = (path / RUN_FOLDER / "run.json" for path in (tmp_path / "made" / "search").glob("*-2"))
    configs = {config["method"]: config for config in (read_json(run, "")["config"] for run in runs)}
    assert configs["random"]["epochs"] == 2
    assert (configs["weaknas"]["epochs"], configs["weaknas"]["settings"]["evaluations"]) == (1, 2)


def test_a_study_goes_on_and_does_nothing_twice(folder, made):
    times = {path: path.stat().st_mtime_ns for path in (folder / "made").rglob(RESULT_FILE)}
    again = study(folder)
    assert {path: path.stat().st_mtime_ns for path in (folder / "made").rglob(RESULT_FILE)} == times
    assert again["rows"] == made["rows"]


def test_a_result_that_was_damaged_is_made_again_as_it_was(folder, made):
    path = next((folder / "made" / "train").rglob(RESULT_FILE))
    path.write_text("{")
    assert read_seconds_out(study(folder)["rows"]) == read_seconds_out(made["rows"])


def read_seconds_out(rows: list[dict]) -> list[dict]:
    return [{name: value for name, value in row.items() if "seconds" not in name} for row in rows]


def test_regrets_are_known_by_published_accuracies(folder, made):
    """Codes of accuracies that the order of the runs gives; the best within the budget is one that nobody found."""
    codes = list({run["digest"]: run["code"] for run in made["runs"]}.values())
    lines = [f'"{code}",{50 + place}' for place, code in enumerate(codes)]
    (folder / "truth.csv").write_text("\n".join(["code,accuracy", *lines]))
    found = study(folder, "--truth", folder / "truth.csv")
    accuracies = {code: 50 + place for place, code in enumerate(codes)}
    by_digest = {run["digest"]: accuracies[run["code"]] for run in made["runs"] if run["code"] in accuracies}
    for run in found["runs"]:
        assert run["regret"] == pytest.approx(max(accuracies.values()) - by_digest[run["digest"]])
    (folder / "truth.csv").write_text("arch,acc\n1,2\n")
    refused = completed("evaluate", "--config", folder / "study.toml", "--truth", folder / "truth.csv")
    assert refused.returncode == 1 and "columns 'code'" in " ".join(refused.stderr.split())


def test_a_study_is_shown_and_has_a_page(folder, made):
    shown = completed("evaluate", folder / "made")
    assert shown.returncode == 0
    page = Path(made["page"]).read_text(encoding="utf-8")
    for method in ("random-search", "most-layers"):
        assert method in page
    assert "smallest p" in page and page.count("<script") == 1 and "http" not in page
    assert answer("evaluate", folder / "made")["rows"] == read_json(folder / "made" / REPORT_FILE, "")["rows"]
    Path(made["page"]).unlink()
    assert answer("report", folder / "made")["page"] == made["page"]
    assert Path(made["page"]).read_text(encoding="utf-8") == page
    beside = completed("report", folder / "made", folder)
    assert beside.returncode == 2 and "is a study" in " ".join(beside.stderr.split())


def test_two_studies_are_compared(folder, made, tmp_path):
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
        shutil.copy(folder / "made" / REPORT_FILE, tmp_path / name)
    changed = read_json(tmp_path / "after" / REPORT_FILE, "")
    for row in changed["rows"]:
        row["accuracies"] = [each + 0.01 for each in row["accuracies"]]
        row["accuracy_mean"] += 0.01
    write_json(tmp_path / "after" / REPORT_FILE, changed)
    same = answer("evaluate", tmp_path / "before", tmp_path / "before")["rows"]
    assert {row["relative_improvement"] for row in same} == {0} and {row["p"] for row in same} == {1}
    better = answer("evaluate", tmp_path / "before", tmp_path / "after")["rows"]
    assert len(better) == 5
    assert all(row["relative_improvement"] > 0 for row in better)
    assert completed("evaluate", tmp_path / "before", tmp_path / "after").returncode == 0


@pytest.mark.parametrize(
    ("options", "exit_code", "said"),
    [
        (["--methods", "dsnas,magic", "--budget-ms", "60%"], 2, "'magic' is no method"),
        (["--methods", "dsnas"], 2, "--budget-ms"),
        (
            ["--budget-ms", "0.00001", "--latency", "{folder}/table", "--resolution", "16", "--width", "0.25"],
            1,
            "Raise",
        ),
        (["--seeds", "0", "--budget-ms", "60%"], 2, "--seeds"),
        (["{folder}/nothing"], 1, "no finished study"),
        (
            ["--config", "{folder}/misnamed.toml"],
            2,
            "the search method random is random-search here",
        ),
        (["{folder}/made", "--seeds", "4"], 2, "nothing is run"),
        (["a", "b", "c"], 2, "3 folders"),
        (["--config", "{folder}/study.toml", "--epochs", "2", "--out", "{folder}/made"], 1, "another configuration"),
    ],
)
def test_what_cannot_be_studied_is_refused(folder, made, tmp_path, monkeypatch, options, exit_code, said):
    monkeypatch.chdir(tmp_path)
    refused = completed("evaluate", *(option.format(folder=folder) for option in options))
    assert refused.returncode == exit_code
    assert said in " ".join(refused.stderr.split())
    assert "Traceback" not in refused.stderr


def test_a_damaged_report_is_refused(folder, made, tmp_path):
    report = read_json(folder / "made" / REPORT_FILE, "")
    for name in ("accuracies", "gap", "rank", "p_holm"):
        without = [{key: value for key, value in row.items() if key != name} for row in report["rows"]]
        (tmp_path / REPORT_FILE).write_text(json.dumps(report | {"rows": without}))
        refused = completed("evaluate", tmp_path)
        assert refused.returncode == 1 and f"rows[0].{name}" in " ".join(refused.stderr.split())


def test_a_study_goes_on_with_its_latencies_only(tmp_path):
    """A table may get rows of other spaces meanwhile; what the study's networks are priced by stays as it was."""
    table, file = made_table(SPACE, networks=12), tmp_path / "kept.json"
    table.save(tmp_path / "table")
    kept = keep_predictor(str(tmp_path / "table"), SPACE, file)
    other = get_space("tiny", resolution=24, width=0.25)
    table.blocks |= made_table(other).blocks
    table.save(tmp_path / "table")
    assert keep_predictor(str(tmp_path / "table"), SPACE, file).digest == kept.digest
    block = SPACE.distinct_blocks()[0]
    table.blocks[block] = replace(table.blocks[block], median_ms=1.01 * table.blocks[block].median_ms)
    table.save(tmp_path / "table")
    with pytest.raises(HwnasError, match="have changed since"):
        keep_predictor(str(tmp_path / "table"), SPACE, file)


@pytest.mark.parametrize(
    "found",
    [
        None,
        {"accuracy": 0.5, "seconds": 1.0},
        {"accuracy": 7.0, "val_accuracy": 0.5, "seconds": 1.0},
        {"accuracy": "0.5", "val_accuracy": 0.5, "seconds": 1.0},
    ],
)
def test_a_result_that_cannot_be_is_made_again(tmp_path, found):
    task = Task("train", str(tmp_path), {"epochs": 1}, "digits", "", "")
    right = {"accuracy": 0.5, "val_accuracy": 0.5, "seconds": 1.0}
    write_json(tmp_path / RESULT_FILE, {"asked": task.asked, "found": right})
    assert task.result == right
    write_json(tmp_path / RESULT_FILE, {"asked": task.asked, "found": found})
    assert task.result is None


def _write_images(folder: Path, count: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.fromarray(np.random.default_rng(number).integers(0, 255, (16, 16, 3), np.uint8)).save(
            folder / f"{folder.name}{number}.png"
        )


def test_images_that_were_added_are_seen_by_the_next_study(tmp_path):
    """In one process, such as a notebook's or a worker's, that has read the folder before."""
    for label in ("a", "b"):
        _write_images(tmp_path / "photos" / label, 12)

    def asked() -> dict:
        digest = load_data(str(tmp_path / "photos"), 16, batch_size=4, workers=0).digest
        return {"resolution": 16, "batch_size": 4, "limit_train": None, "images": {"seed": 0, "sha256": digest}}

    def read(seed: int) -> int:
        known = asked() | {"seed": seed}
        return images(Task("train", "", known, str(tmp_path / "photos"), "", "")).counts["train"]

    before = [read(seed) for seed in (0, 1)]
    _write_images(tmp_path / "photos" / "a", 24)
    assert min(read(seed) for seed in (1, 0)) > max(before)


def test_another_training_is_compared_as_if_all_were_of_one_division(tmp_path):
    """Of six networks three are trained with seeds 0 and 1, the others with 2 and 3, whose divisions are harder."""
    study = Study(StudyConfig(budget_ms=(1.0,)), tmp_path, silent)
    added = (0.0, 0.02, -0.3, -0.25)
    accuracy = {(f"{n}", seed): 0.6 + 0.05 * n + added[seed] for n in range(6) for seed in ((0, 1), (2, 3))[n % 2]}
    accuracy |= {("all", seed): 0.5 + added[seed] for seed in range(4)}
    study._trained = {("digits", *key): {"val_accuracy": value} for key, value in accuracy.items()}
    found = seed_ceiling(list(study._validated("digits").values()))
    assert found is not None and found.regret == pytest.approx(0) and found.all_networks.tau == pytest.approx(1)


def test_regrets_of_some_seeds_are_said_to_be(made):
    row = made["rows"][0] | {"regret_mean": 0.31}
    assert cells(row | {"regret_seeds": 1})["regret_mean"] == "0.31 (1 of 2)"
    assert cells(row | {"regret_seeds": 2})["regret_mean"] == "0.31"


CODES = [SPACE.sample(Random(seed)).code for seed in range(2)]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (f'"{CODES[0]}",50\n"{CODES[1]}",nan\n', r"line 3: an accuracy is 0 to 100, not 'nan'"),
        (f'"{CODES[0]}",-1\n', "line 2: an accuracy is 0 to 100"),
        (f'"{CODES[0]}",101\n', "line 2: an accuracy is 0 to 100"),
        (f'"{CODES[0]}",50\n"{CODES[0]}",60\n', "line 3: the code .* is there twice"),
        (f'"{CODES[0]}",50,1\n', "line 2 has 3 values for 2 columns"),
        (f'"{CODES[0]}",0.91\n"{CODES[1]}",0.93\n', "accuracies are in percent, and none is above 0.93"),
        ('"1,2",50\n', "holds other accuracies than of space 'tiny'"),
    ],
)
def test_published_accuracies_that_cannot_be_right_are_named(tmp_path, rows, said):
    (tmp_path / "truth.csv").write_text(f"code,accuracy\n{rows}")
    with pytest.raises(HwnasError, match=said):
        Truth.read(tmp_path / "truth.csv").networks(SPACE)


def test_packed_accuracies_are_read_and_damaged_ones_named(tmp_path):
    packed = gzip.compress(f'code,accuracy\n"{CODES[0]}",50\n'.encode())
    (tmp_path / "truth.csv.gz").write_bytes(packed)
    assert Truth.read(tmp_path / "truth.csv.gz").accuracies == {CODES[0]: 50.0}
    (tmp_path / "truth.csv.gz").write_bytes(packed[:12] + b"\xff" * 9 + packed[21:])
    with pytest.raises(HwnasError, match="no whole gzip file"):
        Truth.read(tmp_path / "truth.csv.gz")


def test_no_two_sources_of_images_share_a_folder():
    """Neither two of one name nor one whose name is what another is called to tell it apart."""
    places = _places(("a/x", "b/x", "c/x-1", "a/x", "d/x"))
    assert places == {"a/x": "x", "b/x": "x-2", "c/x-1": "x-1", "d/x": "x-3"}
