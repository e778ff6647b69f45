"""What belongs to a run: images of other content, and other latencies, are another one; other threads are not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import hwnas
from hwnas.designer.begun_latencies import begun_with, keep
from hwnas.designer.config import DesignConfig, default_folder
from hwnas.errors import HwnasError
from hwnas.files import write_json
from hwnas.latency.additive import AdditivePredictor
from hwnas.latency.budget import Budget
from hwnas.latency.fitting.fit import fit
from hwnas.latency.tables.table import LatencyTable
from hwnas.run import RUN_FILE, Run
from hwnas.searches.problem import SearchProblem
from hwnas.searches.result import SearchResult
from hwnas.searches.search import search
from hwnas.spaces import get_space
from hwnas.train.data import load_data
from hwnas.train.weights import WeightSettings
from tests.test_dsnas import problem as dsnas_problem
from tests.test_latency import latency, made_table

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """Two classes of 12 small images."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (folder / name).mkdir()
        for number in range(12):
            pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


def task(pictures: Path, table: LatencyTable | None = None) -> SearchProblem:
    space = get_space("tiny", 16, 2, 0.25)
    data = load_data(pictures, 16, batch_size=8, workers=0)
    # few networks: a fit that cross-validates takes a second
    return SearchProblem(data, Budget(10.0, space, fit(table or made_table(space, networks=2), space)), epochs=1)


def swap_labels(folder: Path) -> None:
    (folder / "cat").rename(folder / "x")
    (folder / "dog").rename(folder / "cat")
    (folder / "x").rename(folder / "dog")


def delete_some(folder: Path) -> None:
    for number in range(6):
        (folder / "cat" / f"{number}.png").unlink()


def edit_one(folder: Path) -> None:
    Image.new("RGB", (16, 16), "red").save(folder / "dog" / "3.png")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (swap_labels, "the images have changed since: as many, of another content"),
        (delete_some, r"the images have changed since: train: \d+ there, \d+ now"),
        (edit_one, "the images have changed since: as many, of another content"),
    ],
)
def test_a_run_does_not_go_on_with_other_images(tmp_path, pictures, change, words):
    copy = tmp_path / "pictures"
    shutil.copytree(pictures, copy)
    Run(tmp_path / "run", task(copy).identity)
    Run(tmp_path / "run", task(copy).identity)
    change(copy)
    with pytest.raises(HwnasError, match=words):
        Run(tmp_path / "run", task(copy).identity)


def test_a_run_does_not_go_on_with_other_latencies(tmp_path, pictures):
    space = get_space("tiny", 16, 2, 0.25)
    Run(tmp_path / "run", task(pictures).identity)
    table = made_table(space, networks=2)
    first = next(iter(table.blocks))
    table.blocks[first] = latency(table.blocks[first].median_ms * 1.001)
    with pytest.raises(HwnasError, match="the latencies have changed since"):
        Run(tmp_path / "run", task(pictures, table).identity)
    elsewhere = replace(made_table(space, networks=2), conditions={"identity": {"threads": 2}})
    with pytest.raises(HwnasError, match="the latencies have changed since"):
        Run(tmp_path / "run", task(pictures, elsewhere).identity)


def test_a_run_goes_on_with_the_latencies_that_it_measured_when_they_are_measured_further(tmp_path):
    space = get_space("tiny", 16, 2, 0.25)
    conditions = {"identity": {"threads": 1}}
    before = replace(made_table(space, networks=5), conditions=conditions)
    after = replace(made_table(space, networks=6), conditions=conditions)
    fitted, again = fit(before, space), fit(after, space)
    assert begun_with(tmp_path, fitted, before, space).digest == fitted.digest != again.digest  # no run began yet
    kept = keep(tmp_path, fitted, before)
    assert kept.digest == fitted.digest
    assert begun_with(tmp_path, again, after, space).digest == fitted.digest
    assert keep(tmp_path, again, after).digest == fitted.digest
    assert begun_with(tmp_path, again, after, space, "board/native").digest == again.digest  # another device's
    elsewhere = replace(after, conditions={"identity": {"threads": 2}})
    assert begun_with(tmp_path, again, elsewhere, space).digest == again.digest
    of_more_classes = get_space("tiny", 16, 3, 0.25)
    table = replace(made_table(of_more_classes, networks=5), conditions=conditions)
    other = fit(table, of_more_classes)  # the run is of another configuration: that is said when it is opened
    assert begun_with(tmp_path, other, table, of_more_classes).digest == other.digest
    (tmp_path / "predictor.json").write_text("{")
    assert begun_with(tmp_path, again, after, space).digest == again.digest


def test_a_kill_between_the_two_files_of_the_latencies_costs_nothing(tmp_path, monkeypatch):
    space = get_space("tiny", 16, 2, 0.25)
    before, after = (replace(made_table(space, networks=n), conditions={"identity": 1}) for n in (5, 6))
    fitted, again = fit(before, space), fit(after, space)
    killed = AdditivePredictor.save

    def save(predictor, path):
        killed(predictor, path)
        raise KeyboardInterrupt

    monkeypatch.setattr(AdditivePredictor, "save", save)
    with pytest.raises(KeyboardInterrupt):
        keep(tmp_path, fitted, before)
    monkeypatch.undo()
    keep(tmp_path, fitted, before)
    assert begun_with(tmp_path, again, after, space).digest == fitted.digest != again.digest


def test_entries_that_an_earlier_version_did_not_have_make_no_other_run(tmp_path):
    earlier = {"data": "digits", "seed": 0}
    Run(tmp_path, earlier)
    Run(tmp_path, earlier | {"limits": {}, "compile": False, "amp": "auto", "latencies": None})
    with pytest.raises(HwnasError, match="amp: None there, 'fp16' now"):
        Run(tmp_path, earlier | {"amp": "fp16"})


def test_every_way_to_search_keeps_to_it(tmp_path, pictures):
    """The verb, the library's function and their parts: none goes on with labels that were swapped."""
    copy, problem = tmp_path / "pictures", task(pictures)
    shutil.copytree(pictures, copy)
    problem.budget.predictor.save(tmp_path / "predictor.json")
    made_table(get_space("tiny", 16, 2, 0.25)).save(tmp_path / "table")
    published = {"imported": {"publication": "made up"}}
    write_json(tmp_path / "table" / "conditions.json", published)
    quick = {"method": "random", "epochs": 1, "settings": {"evaluations": 1}}
    wanted = {"resolution": 16, "width": 0.25, "budget_ms": 10.0, "batch_size": 8, "latency": str(tmp_path / "table")}
    config = DesignConfig(data=str(copy), **quick, **wanted)

    def by_the_library():
        data = load_data(copy, 16, batch_size=8, workers=0)
        search(problem.budget.space, data, problem.budget.predictor, 10.0, tmp_path / "searched", **quick)

    def by_the_verb():
        hwnas.design(config.model_copy(update={"workers": 0}), tmp_path / "designed")

    by_the_library()
    by_the_verb()
    by_the_verb()
    swap_labels(copy)
    for act in (by_the_library, by_the_verb):
        with pytest.raises(HwnasError, match="the images have changed since"):
            act()


def test_a_retrained_child_belongs_to_its_images_and_settings(tmp_path, pictures):
    problem = task(pictures)
    found = SearchResult(problem, None, problem.budget.space.decode([0] * 7))
    found.retrain(tmp_path / "child")
    with pytest.raises(HwnasError, match="settings"):
        found.retrain(tmp_path / "child", settings=WeightSettings(lr=0.1))


def test_a_fit_on_other_threads_is_the_same_predictor_to_a_run():
    one = fit(made_table(networks=2))
    name, weight = next(iter(one.weights.items()))
    last_digit = replace(one, weights=one.weights | {name: np.nextafter(weight, 1)})
    assert last_digit.digest == one.digest
    assert fit(made_table(networks=2, scale=1.1)).digest != one.digest


def test_how_images_are_drawn_and_normalised_is_a_part_of_a_run(tmp_path):
    def identity(**options) -> dict:
        data = load_data("digits", resolution=16, limit_train=64, workers=0, **options)
        return dsnas_problem(data).identity["images"]

    usual, grey = identity(), ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert usual == identity(balance=0.0)
    assert identity(balance=0.5) == usual | {"balance": 0.5}
    assert identity(normalisation=grey) == usual | {"mean": grey[0], "std": grey[1]}


def test_what_decides_nothing_may_change(tmp_path):
    Run(tmp_path / "run", {"epochs": 1, "workers": 2})
    Run(tmp_path / "run", {"epochs": 1, "workers": 0})


HOLD = """
import sys, time
from hwnas.run import Run
run = Run(sys.argv[1], {})
print("held", flush=True)
time.sleep(60)
"""


def held_elsewhere(folder: Path) -> subprocess.Popen:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None and process.stdout.readline() == b"held\n"
    return process


def test_a_second_process_is_refused_and_a_killed_one_holds_nobody_up(tmp_path):
    with held_elsewhere(tmp_path / "run") as other:
        with pytest.raises(HwnasError, match=rf"run is in use: process {other.pid} works in it"):
            Run(tmp_path / "run", {})
        other.kill()
        other.wait()
        assert (tmp_path / "run" / ".lock").exists()
        run = Run(tmp_path / "run", {})
        again = Run(tmp_path / "run", {})  # of this process
        del run
        with pytest.raises(subprocess.CalledProcessError):
            command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
            subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
        del again
    assert os.listdir(tmp_path / "run") == [RUN_FILE]


def test_a_process_that_was_forked_does_not_hold_the_run_of_a_killed_one(tmp_path):
    code = (
        "import os, sys, time; from hwnas.run import Run; run = Run(sys.argv[1], {}); pid = os.fork()\n"
        "os.write(1, b'%d\\n' % pid)  # at once: two write\ntime.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        child = max(int(process.stdout.readline()) for _ in range(2))  # both are at work: the fork is over
        process.kill()
        process.wait()
        Run(tmp_path, {})
        os.kill(child, 9)


NAMED = "from hwnas.temporary import temporary_name; print(temporary_name())"
"""What a process that ends calls a file that is not yet whole."""


def test_a_start_that_was_killed_while_it_wrote_is_begun_again(tmp_path):
    (tmp_path / "run").mkdir()
    ended = subprocess.run([sys.executable, "-c", NAMED], stdout=-1, text=True, check=True).stdout.strip()
    (tmp_path / "run" / ended).write_text('{"conf')
    run = Run(tmp_path / "run", {"epochs": 1})
    del run
    assert os.listdir(tmp_path / "run") == [RUN_FILE]
    assert json.loads((tmp_path / "run" / RUN_FILE).read_text())["config"] == {"epochs": 1}


def test_torchrun_s_other_processes_work_with_the_run_that_the_first_one_holds(tmp_path):
    with held_elsewhere(tmp_path / "run") as other:
        assert Run.of_another_process(tmp_path / "run", {}).folder == tmp_path / "run"
        other.kill()


def test_a_run_is_the_same_however_its_paths_are_typed(tmp_path, monkeypatch):
    """Its default folder, and its configuration."""
    for name in ("data", "tables", "other"):
        (tmp_path / "here" / name).mkdir(parents=True)
    (tmp_path / "here" / "link").symlink_to("data")
    (tmp_path / "here" / "board.toml").touch()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path))

    def config(data: str, tables: str = "tables", device: str = "board.toml") -> DesignConfig:
        return DesignConfig(data=data, tables=tables, latency=f"{tables}/local", device=device, budget_ms=1)

    first = config("data")
    Run(tmp_path / "run", first.model_dump())
    here = tmp_path / "here"
    for data in ("./data", "data/", "other/../data", str(here / "data"), "~/here/data", "link"):
        again = config(data, str(here / "tables"), str(here / "board.toml"))
        assert default_folder(again) == default_folder(first)
        Run(tmp_path / "run", again.model_dump())
    assert default_folder(config("other")) != default_folder(first)
    with pytest.raises(HwnasError, match="data: 'data' there, 'other' now"):
        Run(tmp_path / "run", config("other").model_dump())


def test_images_and_devices_that_are_named_are_no_folders_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [
        default_folder(DesignConfig(data=data, device=device, budget_ms=1))
        for data in ("digits", "./digits")
        for device in ("local", "local.toml")
    ]
    assert len(set(names)) == 4
    starts = ("none", "lite0", "w.pth", "./w.pth", tmp_path / "w.pth")
    weights = [default_folder(DesignConfig(pretrained=start, budget_ms=1)) for start in starts]
    assert len(set(weights)) == 3 and len(set(weights[2:])) == 1
    monkeypatch.chdir(tmp_path.parent)
    assert default_folder(DesignConfig(data="digits", budget_ms=1)) in names


@pytest.mark.parametrize("recorded", [5, None, ["data"], "a\0b", "~nobody-of-this-name/x", "x" * 5000])
def test_a_run_with_a_path_that_is_none_is_another_one(tmp_path, recorded):
    Run(tmp_path / "run", {"data": recorded})
    with pytest.raises(HwnasError, match="is the run of another configuration"):
        Run(tmp_path / "run", {"data": "data"})
    Run(tmp_path / "run", {"data": recorded})
