"""Device files: what they say, where they are found, and what is wrong with a bad one."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from hwnas.errors import HwnasError, UsageError
from hwnas.measure.affinity import pinned
from hwnas.measure.device import Device, known_devices, load_device


def test_local_device_comes_with_hwnas_and_states_every_field() -> None:
    device = load_device("local")
    assert (device.name, device.threads, device.cores, device.batch, device.visits) == ("local", 1, "any", 1, 4)
    assert set(Device.model_fields) == device.model_fields_set


def test_found_by_name_in_the_working_folder_and_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "devices").mkdir()
    file = tmp_path / "devices" / "board.toml"
    file.write_text('name = "board"\ncores = [1, 0]\nthreads = 2\n')
    assert load_device("board") == load_device(file) == Device(name="board", cores=(1, 0), threads=2)
    assert set(known_devices()) >= {"board", "local"}
    (tmp_path / "devices" / "local.toml").write_text('name = "local"\nthreads = 7\n')
    assert load_device("local").threads == 7


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"unknown device 'pixel-99'; known: .*local"):
        load_device("pixel-99")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('name = "x"\nthread = 2', "there is no field 'thread'; fields: name, "),
        ('name = "x"\nthreads = 0', r"threads: .*greater than or equal to 1 \(found 0\)"),
        ('name = "x"\nthreads = "two"', r"threads: .*integer.* \(found 'two'\)"),
        ('name = "x"\ntransport = "carrier-pigeon"', "transport is 'carrier-pigeon'; .* by: local"),
        ('name = "x"\ncores = [1, 1]', r"each core once, .* it is \[1, 1\]"),
        ('name = "x"\nmin_runs = 9\nmax_runs = 8', "min_runs is 9, above max_runs = 8"),
        ("threads = 1", r"name: Field required"),
        ('name = "x"\nthreads 2', "is not TOML: .*line 2"),
    ],
)
def test_a_bad_file_is_named_with_its_field_and_value(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(text)
    with pytest.raises(HwnasError, match=message) as raised:
        load_device(file)
    assert str(file) in str(raised.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(HwnasError, match=r"cannot read the device file .*absent.toml: No such file"):
        load_device(tmp_path / "absent.toml")


@pytest.mark.skipif(not hasattr(psutil.Process, "cpu_affinity"), reason="this system cannot pin processes")
def test_pinning_holds_inside_only() -> None:
    before = psutil.Process().cpu_affinity()
    with pytest.raises(KeyError), pinned((before[-1],)):
        assert psutil.Process().cpu_affinity() == [before[-1]]
        raise KeyError
    assert psutil.Process().cpu_affinity() == before
    with pinned("any"):
        assert psutil.Process().cpu_affinity() == before
    with pytest.raises(HwnasError, match="names the cores \\[4096\\]"), pinned((4096,)):
        pass
