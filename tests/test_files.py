"""Files are there whole or not at all; runs belong to one configuration; children survive saving."""

import json
import os

import pytest
import torch

import hwnas
from hwnas.errors import HwnasError
from hwnas.evaluation.comparison import read_report
from hwnas.files import cache_folder, check_ours, json_text, read_json, write_atomically, write_json
from hwnas.records import append_record, read_records
from hwnas.run import Run


def test_json_round_trip_leaves_nothing_else_behind(tmp_path):
    write_json(tmp_path / "deep" / "a.json", {"ms": 1.5})
    assert read_json(tmp_path / "deep" / "a.json", "it") == {"ms": 1.5}
    assert os.listdir(tmp_path / "deep") == ["a.json"]


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("pathlib.Path.home", homeless)
    with pytest.raises(HwnasError, match="set HOME or XDG_CACHE_HOME"):
        cache_folder()


def test_a_writer_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"old": True})

    def fail_half_way(temporary):
        temporary.write_text('{"new": ')
        raise OSError(28, "No space left on device")

    with pytest.raises(HwnasError, match="No space left"):
        write_atomically(path, fail_half_way)
    assert read_json(path, "it") == {"old": True}
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_full_disk_is_one_paragraph(full_disk):
    with pytest.raises(HwnasError, match="No space left"):
        write_atomically(full_disk / "big", lambda path: path.write_bytes(bytes(4_000_000)))


def test_a_folder_that_cannot_be_made_is_one_paragraph(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HwnasError, match="cannot write"):
        write_json(tmp_path / "file" / "a.json", {})


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b""])
def test_damaged_json_names_the_file(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(HwnasError, match=r"the table: .*a\.json is damaged"):
        read_json(tmp_path / "a.json", "the table")


def test_a_run_goes_on_with_its_own_configuration_only(tmp_path):
    run = Run(tmp_path / "run", {"epochs": 3, "seed": 0})
    run.log({"step": 1})
    again = Run(tmp_path / "run", {"epochs": 3, "seed": 0})
    assert again.metrics() == [{"step": 1}]
    with pytest.raises(HwnasError, match="epochs: 3 there, 4 now"):
        Run(tmp_path / "run", {"epochs": 4, "seed": 0})
    assert json.loads((tmp_path / "run" / "run.json").read_text())["config"]["epochs"] == 3


def test_a_folder_of_something_else_is_no_run(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(HwnasError, match="no run folder"):
        Run(tmp_path, {})
    assert os.listdir(tmp_path) == ["holiday.jpg"]


def test_a_cut_off_last_line_of_the_metrics_is_left_out(tmp_path):
    run = Run(tmp_path / "run", {})
    run.log({"step": 1})
    with (run.folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "lo')
    assert run.metrics() == [{"step": 1}]
    run.rewind(1)
    run.log({"step": 2})
    assert [record["step"] for record in run.metrics()] == [1, 2]


def test_a_child_survives_saving(tmp_path):
    torch.manual_seed(0)
    child = hwnas.build_child(hwnas.get_space("tiny", resolution=16, width=0.25).decode([0, 4, 1, 2, 3, 0, 4])).eval()
    hwnas.save_child(child, tmp_path)
    again = hwnas.load_child(tmp_path)
    x = torch.randn(2, 3, 16, 16)
    assert again.architecture == child.architecture
    assert torch.equal(again(x), child(x))
    assert not again.training


def test_weights_of_another_architecture_are_refused(tmp_path):
    space = hwnas.get_space("tiny", resolution=16, width=0.25)
    hwnas.save_child(hwnas.build_child(space.decode([0] * 7)), tmp_path)
    write_json(tmp_path / "architecture.json", space.decode([3] * 7).to_json())
    with pytest.raises(HwnasError, match="weights"):
        hwnas.load_child(tmp_path)
    (tmp_path / "weights.safetensors").write_bytes(b"nonsense")
    with pytest.raises(HwnasError, match="weights"):
        hwnas.load_child(tmp_path)
    (tmp_path / "weights.safetensors").unlink()
    with pytest.raises(HwnasError, match="no weights"):
        hwnas.load_child(tmp_path)


def test_a_number_that_json_lacks_is_written_as_null_and_read_back(tmp_path):
    nothing = {"loss": float("nan"), "each": (1.5, float("inf"), {"low": -float("inf")})}
    expected = {"loss": None, "each": [1.5, None, {"low": None}]}
    write_json(tmp_path / "x.json", nothing)
    assert read_json(tmp_path / "x.json", "it") == expected
    append_record(tmp_path / "x.jsonl", nothing)
    assert read_records(tmp_path / "x.jsonl") == [expected]
    assert json.loads(json_text(nothing), parse_constant=pytest.fail) == expected


@pytest.mark.parametrize("kind", ["fifo", "folder", "loop"])
def test_only_a_file_is_replaced_by_a_file(tmp_path, kind):
    """What /dev/null is to `--junit /dev/null`: hwnas, run by root, must not put a file in its place."""
    path = tmp_path / "there"
    {"fifo": os.mkfifo, "folder": os.mkdir, "loop": lambda path: path.symlink_to(path)}[kind](path)
    before = path.lstat()
    for write in (check_ours, lambda path: write_json(path, {})):
        with pytest.raises(HwnasError, match=f"cannot write {path}"):
            write(path)
    assert path.lstat() == before and os.listdir(tmp_path) == ["there"]


def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path):
    (tmp_path / "there").mkdir()
    path = tmp_path / "link.json"
    path.symlink_to(tmp_path / "there" / "a.json")
    for data in ({"a": 1}, {"a": 2}):
        write_json(path, data)
        assert path.is_symlink() and read_json(tmp_path / "there" / "a.json", "it") == data
    assert os.listdir(tmp_path / "there") == ["a.json"]


def test_an_endless_integer_is_no_record(tmp_path):
    path = tmp_path / "records.jsonl"
    path.write_text('{"step": 1, "loss": ' + "9" * 400 + '}\n{"step": 2}\n')
    with pytest.raises(HwnasError, match="line 1, is damaged"):
        read_records(path)


def test_a_folder_without_what_is_asked_of_it_is_answered_with_what_to_do(tmp_path):
    Run(tmp_path / "run", {})
    with pytest.raises(HwnasError, match="has not found a network yet"):
        hwnas.load_child(tmp_path / "run")
    write_json(tmp_path / "run" / "report.json", {"accuracy": 0.5})
    with pytest.raises(HwnasError, match="is the report of another run, not of a study"):
        read_report(tmp_path / "run")
    (tmp_path / "tables" / "local" / "litert").mkdir(parents=True)
    blocks = tmp_path / "tables" / "local" / "litert" / "blocks.csv"
    blocks.write_text("")
    for asked, cure in (
        (blocks, "name the folder of the table"),
        (tmp_path / "tables", "name one of the tables below"),
    ):
        with pytest.raises(HwnasError, match=f"{cure}.*litert"):
            hwnas.LatencyTable.load(asked)
