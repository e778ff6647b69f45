"""hwnas report: the page of a finished run is written again from what is stored, or one page of several runs."""

import json
import shutil
from pathlib import Path

import pytest

from hwnas.files import write_json
from hwnas.report.page_charts import laid_over
from tests.commands import run_command
from tests.test_search_page import LARGEST, report


@pytest.fixture
def hwnas(monkeypatch, capsys):
    return lambda *arguments: run_command(monkeypatch, capsys, *arguments)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of an earlier version: no configuration, no metrics, no answers."""
    write_json(tmp_path / "old" / "report.json", report(LARGEST, macs=1_000_000))
    return tmp_path / "old"


def test_what_an_old_run_lacks_is_left_out_and_said(hwnas, run):
    code, out, _ = hwnas("report", run, "--json")
    page = (run / "report.html").read_text()
    assert code == 0
    assert json.loads(out)["page"] == str(run / "report.html")
    assert "Nothing was recorded over its steps" in page
    assert "Which images were right and wrong is not recorded" in page


def test_runs_are_laid_over_each_other_under_names_that_tell_them_apart(hwnas, run, tmp_path):
    other = tmp_path / "more" / "old"
    shutil.copytree(run, other)
    write_json(other / "report.json", report(LARGEST, macs=1_000_000, accuracy=0.75))
    assert hwnas("report", run)[0] == 0
    code, _, _ = hwnas("report", run, other, "--out", tmp_path / "both.html")
    page = (tmp_path / "both.html").read_text()
    assert code == 0
    assert page.count('<circle class="run"') == 2
    assert f"{tmp_path.name}/old" in page and "more/old" in page
    assert 'href="old/report.html"' in page and 'href="more/old/report.html"' not in page  # that one has no page


def test_searches_are_laid_over_each_other_on_the_same_axes():
    long = [{"step": k, "loss": 2.0 - k / 400} for k in range(1, 401)]
    short = [{"step": k, "loss": 1.0} for k in range(1, 201)] + [{"step": 201, "loss": None}]
    chart = laid_over("Loss", "", {"long": long, "short": short}, "loss")
    assert chart is not None
    assert chart["told"].startswith("Loss of 2 runs, at last: long 1") and chart["told"].endswith("short 1")
    ends = {each["name"]: each["points"].split()[-1] for each in chart["lines"]}
    assert ends["long"].startswith("100.0,") and ends["short"].startswith("50.0,")
    told = [spot["told"] for spot in chart["spots"]]
    assert told[58].startswith("step 197: long 1.5") and told[58].endswith("short 1")
    assert "short" not in told[-1]
    assert {each["style"] for each in chart["lines"]} == {0, 1}
    assert laid_over("Loss", "", {"long": long, "none": []}, "loss") is None


@pytest.mark.parametrize(("spoil", "said"), [("missing", "no such folder"), ("empty", "holds no report.json")])
def test_a_folder_that_is_no_run_is_named(hwnas, tmp_path, spoil, said):
    if spoil == "empty":
        (tmp_path / "x").mkdir()
    code, _, err = hwnas("report", tmp_path / "x")
    assert code == 1
    assert "is no finished run" in err and said in err


def test_a_damaged_report_is_an_error_and_the_page_stays(hwnas, run):
    (run / "report.html").write_text("a page of hwnas")
    write_json(run / "report.json", {"device": "local"})
    code, _, err = hwnas("report", run)
    assert code == 1
    assert "lacks data that a page needs" in err
    assert (run / "report.html").read_text() == "a page of hwnas"


def test_a_file_of_a_person_is_not_replaced_by_a_page(hwnas, run, tmp_path):
    shutil.copytree(run, tmp_path / "b")
    (tmp_path / "mine.html").write_text("mine, of hwnas")
    code, _, err = hwnas("report", run, tmp_path / "b", "--out", tmp_path / "mine.html")
    assert code == 1
    assert "was not written by hwnas" in err
    assert (tmp_path / "mine.html").read_text() == "mine, of hwnas"


def test_one_run_has_no_other_place_and_no_run_is_named_twice(hwnas, run):
    assert hwnas("report", run, "--out", "x.html")[0] == 2
    assert hwnas("report", run, run)[0] == 2
