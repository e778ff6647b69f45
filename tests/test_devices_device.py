"""Device files: what they say, where they are found, and what is wrong with a bad one."""

from __future__ import annotations

import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from hwnas.devices.device import Device, known_devices, load_device, shipped_devices
from hwnas.devices.machine import pinned
from hwnas.errors import HwnasError, UsageError


def test_the_local_device_comes_with_hwnas() -> None:
    device = load_device("local")
    assert (device.name, device.threads, device.cores, device.batch, device.visits) == ("local", 1, "any", 1, 4)
    assert (device.transport, device.runtime) == ("local", "litert")


def test_three_annotated_files_state_every_field() -> None:
    stated: set[str] = set()
    for name in ("local", "android-arm64", "raspberry-pi-5"):
        lines = shipped_devices()[name].read_text().splitlines()
        settings = [line for line in lines if re.match(r"(# )?[a-z_]+ = ", line)]
        stated |= {line.removeprefix("# ").split(" = ")[0] for line in settings}
    assert stated == set(Device.model_fields)


@pytest.mark.parametrize("name", sorted(shipped_devices()))
def test_a_device_file_bears_its_name_and_says_what_it_is_for(name: str) -> None:
    device = load_device(shipped_devices()[name])
    assert device.name == name and device.description
    if name != "local":
        assert "ot tried on " in shipped_devices()[name].read_text(), "nobody has tried it: it must say so"


def test_what_a_transport_runs_models_with_when_the_file_does_not_say() -> None:
    assert Device(name="x").runtime == "litert"
    assert Device(name="x", transport="adb").runtime == Device(name="x", transport="ssh").runtime == "native"
    assert Device(name="x", transport="adb", runtime="benchmark-model").runtime == "benchmark-model"


def test_a_device_survives_its_own_dump_as_json() -> None:
    for path in shipped_devices().values():
        device = load_device(path)
        assert Device(**json.loads(json.dumps(device.model_dump()))) == device


def test_the_path_of_a_program_may_begin_at_home() -> None:
    device = Device(name="x", transport="adb", benchmark_model="~/benchmark_model")
    assert device.benchmark_model == str(Path.home() / "benchmark_model")


def test_found_by_name_in_the_working_folder_and_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "devices").mkdir()
    file = tmp_path / "devices" / "board.toml"
    file.write_text('name = "board"\ncores = [1, 0]\nthreads = 2\n')
    assert load_device("board") == load_device(file) == Device(name="board", cores=(1, 0), threads=2)
    assert set(known_devices()) >= {"board", "local"}
    (tmp_path / "devices" / "local.toml").write_text('name = "local"\nthreads = 7\n')
    assert load_device("local").threads == 7


def test_unknown_name_lists_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")  # without adb: there is no phone of that name either
    with pytest.raises(UsageError, match=r"unknown device 'pixel-99'; known: .*local"):
        load_device("pixel-99")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('name = "x"\nthread = 2', "there is no field 'thread'; fields: name, "),
        ('name = "x"\nthreads = 0', r"threads: .*greater than or equal to 1 \(found 0\)"),
        ('name = "x"\nthreads = "two"', r"threads: .*integer.* \(found 'two'\)"),
        ('name = "x"\ntransport = "carrier-pigeon"', "transport is 'carrier-pigeon'; .* by: local"),
        ('name = "x"\ncores = [1, 1]', r"cores: must name each core once, .* \(found \[1, 1\]\)"),
        ('name = "x"\ncores = [true]', r"cores: must name each core once, .* \(found \[True\]\)"),
        ('name = "x"\ncores = "huge"', r"one of any, big, prime, little \(found 'huge'\)"),
        ('name = "x"\nserial = "0A1B"', "serial is '0A1B', but transport is 'local'; a serial goes with .*adb"),
        ('name = "x"\ntransport = "adb"\nhost = "board"', "host is 'board', but transport is 'adb'; .*ssh"),
        ('name = "x"\ntransport = "ssh"\nhost = "-oProxyCommand=id"', "host: must not begin with '-'"),
        ('name = "x"\ntransport = "adb"\nserial = "a\\nb"', r"serial: .*without control.*\(found 'a\\nb'\)"),
        ('name = "x"\ntransport = "adb"\nserial = "a\\u0000b"', r"serial: .*without control"),
        ('name = "x"\ntransport = "adb"\nserial = ""', "serial: must not be empty"),
        ('name = "x"\nfolder = "files"', r"folder: must be the absolute path .*\(found 'files'\)"),
        ('name = "../../etc"', r"name: names a folder of tables too, .*\(found '../../etc'\)"),
        ('name = "x"\nmax_thermal_status = 7', r"max_thermal_status: .*less than or equal to 6 \(found 7\)"),
        ('name = "x"\nmin_battery_percent = 101', r"min_battery_percent: .*100 \(found 101\)"),
        ('name = "x"\ndelegate = "tpu"', r"delegate: .*'xnnpack', 'none' or 'gpu' \(found 'tpu'\)"),
        ('name = "x"\ndelegate = "nnapi"', r"NNAPI is deprecated since Android 15 \(https://developer\.android\.com/"),
        ('name = "x"\ndelegate = "qnn"', "no way to qnn, which was never tried"),
        ('name = "x"\nmin_runs = 9\nmax_runs = 8', "min_runs is 9, above max_runs = 8"),
        ("threads = 1", "name is missing"),
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
    with pytest.raises(HwnasError, match=r"the device file: there is no file .*absent.toml; check the name"):
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


def test_the_manual_lists_every_field_with_its_default() -> None:
    manual = (Path(__file__).parent.parent / "docs" / "measuring.md").read_text()
    table = manual.partition("## Device files")[2].partition("**Cores by word.**")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", table, re.MULTILINE))
    assert list(rows) == list(Device.model_fields)
    for name, field in Device.model_fields.items():
        default = field.get_default()
        if isinstance(default, str | int | float) and default != "":
            shown = rows[name].split(";")[0].strip("` ")
            assert json.loads(shown) == default, name


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system pins processes, not threads")
def test_the_thread_that_asks_is_pinned():
    main, last = os.sched_getaffinity(os.getpid()), max(os.sched_getaffinity(0))

    def inside() -> tuple[set[int], set[int]]:
        with pinned((last,)):
            return os.sched_getaffinity(0), os.sched_getaffinity(os.getpid())

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(inside).result() == ({last}, main)
