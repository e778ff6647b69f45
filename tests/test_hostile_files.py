"""Hostile files: each ends in one clear error, or in values that can be right. benchmarks/hostile.py tries more."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import hwnas
from hwnas.devices.device import load_device
from hwnas.errors import HwnasError
from hwnas.files import read_json
from hwnas.foreign import checked, parse_csv, parse_json, parse_toml
from hwnas.latency.tables.imported.import_table import import_table
from hwnas.latency.tables.imported.yaml_text import parse_yaml
from hwnas.latency.tables.table import LatencyTable
from hwnas.space import Architecture
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def hostile() -> Iterator[Any]:
    """The benchmark's module."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import hostile

        yield hostile
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


@pytest.fixture(scope="module")
def table(hostile: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("table")
    hostile.SUBJECTS["table blocks"].write(folder)
    return folder


def test_good_files_are_read_and_right(hostile: Any, tmp_path: Path) -> None:
    for name, subject in hostile.SUBJECTS.items():
        folder = tmp_path / name
        folder.mkdir()
        subject.write(folder)
        assert hostile.outcome(subject, folder) == ("accepted, right", ""), name


def test_hostile_files_end_in_a_clear_error_or_in_values_that_can_be_right(hostile: Any) -> None:
    found = hostile.run(count=108, seed=20)
    bad = [each for each in found if each[2] in hostile.BAD]
    assert not bad
    assert sum(outcome == "clear error" for _, _, outcome, _ in found) > 60


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ('{"a": 1, "a": 2}', "the key 'a' is there twice"),
        ('{"a": NaN}', "NaN is no number in JSON"),
        ("[-Infinity]", "-Infinity is no number"),
        ("1e999", "1e999 is too large"),
        ("9" * 5000, "has 5,000 digits; 19 are the most"),
        ("[" * 100_000, "nested deeper than 64"),
        ("[" * 65 + "]" * 65, "nested deeper than 64"),
        ('"\\ud800"', "half a surrogate pair"),
    ],
)
def test_json_that_programs_stumble_over_is_refused(text: str, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        parse_json(text)
    assert parse_json('{"a": [1, 2.5, "\\ud83d\\ude00"]}') == {"a": [1, 2.5, "\U0001f600"]}


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("a: 1\nb: 2\na: 3", "line 3: the key 'a' is there twice"),
        ("a: &x [1]\nb: *x", "line 1 has an anchor"),
        ("a: !!int 3", "line 1 has the tag"),
        ("a: " + "[" * 200_000, "nested deeper than 64"),
        ("- " * 100_000 + "x", "nested deeper than 64"),
        ("? " * 100_000, "nested deeper than 64"),
    ],
)
def test_yaml_that_no_table_needs_is_refused(text: str, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        parse_yaml(text)


def test_yaml_numbers_are_what_everybody_takes_them_for() -> None:
    assert parse_yaml("a: 1:30\nb: 010\nc: 1.5\nd: 12") == {"a": "1:30", "b": "010", "c": 1.5, "d": 12}


@pytest.mark.parametrize("text", ["a = " + "9" * 5000, "a = " + "[" * 5000 + "]" * 5000, "a = 1\na = 2"])
def test_toml_that_programs_stumble_over_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_toml(text)


@pytest.mark.parametrize(
    ("text", "rule"), [("a,a\n1,2", "column 'a' is there twice"), ("a,b\n1\n", "line 2 has 1 values for 2 columns")]
)
def test_csv_rows_fit_their_columns(text: str, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        parse_csv(text)


@pytest.mark.parametrize("kind", ["folder", "fifo", "loop", "huge", "utf-16", "nul"])
def test_what_is_no_file_of_text_is_named(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.json"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(2**33)
    else:
        path.write_bytes("[1]".encode("utf-16") if kind == "utf-16" else b'["\0"]')
    rules = {"folder": "is a folder", "fifo": "is a FIFO", "loop": "symbolic links", "huge": "at most"}
    with pytest.raises(HwnasError, match=rf"the run: .*a\.json.*{rules.get(kind, kind.upper())}"):
        read_json(path, "the run")


def test_a_fault_names_its_place_the_rule_and_the_value() -> None:
    data = [{"kind": [1, "x"]}]
    with pytest.raises(HwnasError, match=r"here: \[0\]\.kind\[1\]: must be a valid integer \(found 'x'\); mend it"):
        checked(list[dict[str, list[int]]], data, "here", "mend it")


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("p5_ms", "900", "5th percentile, the median and the 95th must be in this order"),
        ("median_ms", "1.23 ms", r"median_ms: must be a valid number.*found '1.23 ms'"),
        ("median_ms", "inf", r"median_ms: must be less than or equal to 3600000 \(found 'inf'\)"),
        ("median_ms", "nan", r"median_ms: must be .*\(found 'nan'\)"),
        ("between_visits_percent", "-1", r"between_visits_percent: must be greater than or equal to 0 \(found '-1'\)"),
        ("runs", "9" * 5000, "runs: "),
        ("noisy", "", "noisy: "),
        ("input_shape", "3x0x16", r"sides of 1 to 8192 pixels, not \(3, 0, 16\)"),
        ("spec", '{"kind":"conv","in_channels":3,"out_channels":1000000000}', "whole number from 1 to 65536"),
        ("spec", '{"kind":"conv","in_channels":3,"in_channels":3,"out_channels":8}', "'in_channels' is there twice"),
    ],
)
def test_a_wrong_cell_of_a_table_names_line_value_and_rule(
    table: Path, tmp_path: Path, column: str, value: str, rule: str
) -> None:
    import csv

    folder = shutil.copytree(table, tmp_path / "t")
    with (folder / "blocks.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    rows[3][rows[0].index(column)] = value
    with (folder / "blocks.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    with pytest.raises(HwnasError, match=rf"blocks\.csv, line 4, is damaged: .*{rule}"):
        LatencyTable.load(folder)


def test_a_block_that_is_there_twice_names_both_lines(table: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(table, tmp_path / "t")
    lines = (folder / "blocks.csv").read_text().splitlines()
    (folder / "blocks.csv").write_text("\n".join([*lines, lines[2]]))
    with pytest.raises(HwnasError, match=rf"line {len(lines) + 1}, is damaged: .*the same as line 3"):
        LatencyTable.load(folder)


KEY = "expanded_conv-input:14x14x80-output:14x14x{}-expand:3-kernel:3-stride:1-idskip:0"


@pytest.mark.parametrize(
    ("name", "text", "rule"),
    [
        ("t.yaml", f"{KEY.format(96)}: {{mean: 1.2 ms, count: 5}}", r"t\.yaml, '.*x96.*: mean: .*found '1.2 ms'"),
        ("t.yaml", f"{KEY.format(96)}: {{mean: 1.2}}", r"t\.yaml, .*count of .* is missing"),
        ("t.yaml", f"{KEY.format(96)}: {{mean: {{a: 1}}, count: 5}}", r"mean: .*found \{'a': 1\}"),
        ("t.yaml", f"{KEY.format(96)}: {{mean: true, count: 5}}", "mean: must be a number, not true or false"),
        ("t.yaml", f"{KEY.format(10**5)}: {{mean: 1, count: 5}}", r"t\.yaml, .*whole number from 1 to 65536"),
        ("t.yaml", f"{KEY.format('96').replace('output:14x14', 'output:9x9')}: {{mean: 1, count: 5}}", r"not \(9, 9\)"),
        ("t.csv", f"key,mean_ms,count\n{KEY.format(96)},1,5\n{KEY.format(96)},2,5\n", r"t\.csv, line 3: .* line 2 too"),
        ("t.csv", f"key,mean_ms,count\n{KEY.format(96)},-1,5\n", r"t\.csv, line 2: mean: .*found '-1'"),
        ("t.json", json.dumps({"layers_ms": [[1, 2, 3, 4]] * 21 + [[1, None, 3, 4]]}), r"layers_ms\[21\]\[1\]: mean: "),
    ],
)
def test_a_wrong_row_of_a_published_table_names_its_place(tmp_path: Path, name: str, text: str, rule: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(HwnasError, match=rule):
        import_table(tmp_path / name, tables=tmp_path / "tables")
    assert not (tmp_path / "tables").exists()


@pytest.mark.parametrize(
    ("edit", "rule"),
    [
        ({"in_channels": "3"}, r"blocks\[0\]: a conv block .*in_channels: must be a valid integer \(found '3'\)"),
        ({"kernel": 0}, r"blocks\[0\]: the kernel of a conv block must be odd, from 1 to 63, not 0"),
        ({"stride": -1}, r"blocks\[0\]: the stride"),
        ({"out_channels": 10**9}, r"blocks\[0\]: out_channels .*from 1 to 65536"),
        ({"krenel": 3}, r"blocks\[0\]: .*there is no field 'krenel'; fields: in_channels"),
    ],
)
def test_an_absurd_block_is_refused_as_it_is_read(edit: dict[str, Any], rule: str) -> None:
    data = hwnas.get_space("tiny").decode([0] * 7).to_json()
    data["blocks"][0] |= edit
    with pytest.raises(HwnasError, match=rule):
        Architecture.from_json(data)


def test_an_architecture_that_would_fill_the_memory_is_refused() -> None:
    wide = {"kind": "conv", "in_channels": 60_000, "out_channels": 60_000}
    data = {"format": "hwnas.architecture/1", "input_shape": [60_000, 8, 8], "blocks": [wide] * 3}
    with pytest.raises(HwnasError, match="parameters, 500,000,000 are the most"):
        Architecture.from_json(data)
    with pytest.raises(HwnasError, match="sides of 1 to 8192"):
        Architecture.from_json(data | {"input_shape": [60_000, 0, 8]})


def test_weights_that_no_training_leaves_are_refused(tmp_path: Path) -> None:
    space = hwnas.get_space("tiny", resolution=16, width=0.25)
    hwnas.save_child(hwnas.build_child(space.decode([0] * 7)), tmp_path)
    path = tmp_path / "weights.safetensors"
    good = load_file(path)
    name = next(name for name in good if name.endswith("running_var"))
    for value, rule in (
        (good[name] * float("nan"), "not finite"),
        (good[name] - 5, "below 0"),
        (good[name].double(), "must be torch.float32"),
        (good[name][:1].clone(), "must be torch.float32"),
    ):
        save_file(good | {name: value}, path)
        with pytest.raises(HwnasError, match=rf"weights\.safetensors .*{name} .*{rule}"):
            hwnas.load_child(tmp_path)
    save_file(good | {"extra": torch.zeros(1)}, path)
    with pytest.raises(HwnasError, match="such as 'extra'"):
        hwnas.load_child(tmp_path)


@pytest.mark.parametrize("line", ["threads = true", 'threads = "2"', "max_ms = inf", "min_runs = 1000000000"])
def test_a_device_file_takes_no_value_for_another(tmp_path: Path, line: str) -> None:
    (tmp_path / "d.toml").write_text(f'name = "x"\n{line}\n')
    with pytest.raises(HwnasError, match=rf"d\.toml: {line.split()[0]}: "):
        load_device(tmp_path / "d.toml")
