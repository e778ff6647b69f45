"""What `hwnas devices` finds: real phones and boards of the test environment, and what is said where there are none."""

from __future__ import annotations

import json
import re
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hwnas.devices.connection import check_hardware, device_at, open_transport
from hwnas.devices.device import Device
from hwnas.errors import UsageError
from hwnas.report.console import CONSOLE
from hwnas.report.devices_table import device_tables
from hwnas.runners.discovery import DiscoveredDevice, Discovery, _devices_for, discover_devices, remote_runtimes
from hwnas.transports.adb import CURES, phone_problem
from hwnas.transports.base import Health
from tests.test_devices_profile import PIXEL_8

COOL = Health(
    governor="schedutil",
    frequency_khz=300_000,
    max_frequency_khz=2_914_000,
    temperature_celsius=31.4,
    battery_celsius=25.1,
    battery_percent=80,
    plugged=True,
    thermal_status=0,
    load_average=1.25,
    uptime_s=1000.0,
    free_bytes=10**9,
)


def shown(discovery: Discovery) -> str:
    with CONSOLE.capture() as capture:
        for part in device_tables(discovery):
            CONSOLE.print(part)
    return " ".join(capture.get().split())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with an empty `devices`, and no program on the PATH but what a test puts there."""
    (tmp_path / "devices").mkdir()
    (tmp_path / "bin").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


def test_without_adb_it_says_so_and_lists_the_rest(folder: Path) -> None:
    begin = time.monotonic()
    found = discover_devices()
    assert time.monotonic() - begin < 3
    assert found.phones == found.boards == ()
    assert len(found.notes) == 1 and "adb" in found.notes[0]
    assert {"local", "android-arm64", "pixel-8", "raspberry-pi-5"} <= set(found.devices)
    assert set(found.runtimes) == {"litert", "tflite-runtime", "onnxruntime", "native"}
    assert json.loads(json.dumps(found.to_json()))["devices"]["pixel-8"]["cores"] == [4, 5, 6, 7]
    assert found.notes[0][:20] in shown(found)


def test_a_phone_of_a_device_file_that_is_not_connected_is_named(folder: Path) -> None:
    (folder / "devices" / "mine.toml").write_text('name = "mine"\ntransport = "adb"\nserial = "0A1B"\n')
    (phone,) = discover_devices().phones
    assert (phone.address, phone.devices) == ("0A1B", ("mine",)) and "plug it in" in str(phone.problem)


def test_a_damaged_device_file_hides_no_other(folder: Path) -> None:
    (folder / "devices" / "mine.toml").write_text('name = "mine"\nthreads = "many"\n')
    found = discover_devices()
    assert "mine" not in found.devices and "threads: " in found.damaged["mine"]
    assert "local" in found.devices and "(found 'many')" in shown(found)


@given(host=st.text(min_size=1) | st.sampled_from(["$(touch pwned)", "a; touch pwned", "-oProxyCommand=touch pwned"]))
@settings(max_examples=30)
def test_a_hostile_host_is_refused_or_only_a_host(host: str) -> None:
    assume(not re.fullmatch(r"[\w.@:/%+=,~\[\]-]+", host, re.ASCII))  # what might be a real one
    with pytest.raises(UsageError):
        open_transport(device_at("ssh", host))
    assert not Path("pwned").exists()


def test_a_phone_that_is_not_ready_is_listed_with_the_cure() -> None:
    for state in CURES:
        assert phone_problem(state).startswith(f"{state}: ")
    assert "udev" in phone_problem("no permissions (user in plugdev group; are your udev rules wrong?)")
    assert "'unheard-of'" in phone_problem("unheard-of")


def test_a_board_without_a_host_cannot_be_reached() -> None:
    with pytest.raises(UsageError, match="names no host to reach by ssh; copy it"):
        open_transport(Device(name="raspberry-pi-5", transport="ssh"))


def test_another_model_is_refused() -> None:
    device = Device(name="pixel-8", transport="adb", hardware=("Pixel 8", "Pixel 8 *"))
    check_hardware(device, PIXEL_8, "adb 0A1B")
    check_hardware(device, replace(PIXEL_8, model="Pixel 8 Pro"), "adb 0A1B")
    check_hardware(device.model_copy(update={"hardware": ()}), replace(PIXEL_8, model=None), "adb 0A1B")
    for other in ("Pixel 8a", "Pixel 80", "Pixel", "My Pixel 8", None):
        with pytest.raises(UsageError, match=f"is for Pixel 8 or .*, but adb 0A1B calls itself {other!r}"):
            check_hardware(device, replace(PIXEL_8, model=other), "adb 0A1B")


def test_names_for_a_phone_begin_with_the_file_made_for_it() -> None:
    devices = {
        "any": Device(name="any", transport="adb"),
        "pixel-8": Device(name="pixel-8", transport="adb", hardware=("Pixel 8",)),
        "mine": Device(name="mine", transport="adb", serial="0A1B", hardware=("Pixel 8",)),
        "other": Device(name="other", transport="adb", serial="FFFF"),
        "pixel-4": Device(name="pixel-4", transport="adb", hardware=("Pixel 4",)),
        "local": Device(name="local"),
        "board": Device(name="board", transport="ssh", host="board"),
        "boards": Device(name="boards", transport="ssh"),
    }
    phone = DiscoveredDevice("adb", "0A1B", facts=PIXEL_8)
    assert _devices_for(phone, devices, alone=True) == ("mine", "pixel-8", "any")
    assert _devices_for(phone, devices, alone=False) == ("mine",)  # the others would not say which phone
    assert _devices_for(DiscoveredDevice("adb", "FFFF", problem="offline"), devices, alone=True) == ("other",)
    assert _devices_for(DiscoveredDevice("ssh", "board", facts=PIXEL_8), devices, alone=True) == ("board",)


def test_what_a_phone_lacks_to_run_models(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    google = Device(name="mine", transport="adb", benchmark_model=str(folder / "benchmark_model"))
    lacking = remote_runtimes("adb", PIXEL_8, [google])
    assert "aarch64-linux-gnu-gcc" in lacking["native"] and "names no file" in lacking["benchmark-model"]
    assert "says it is armv7l" in remote_runtimes("adb", replace(PIXEL_8, architecture="armv7l"), [])["native"]
    (folder / "benchmark_model").touch()
    compiler = folder / "bin" / "aarch64-linux-gnu-gcc"
    compiler.touch()
    compiler.chmod(0o755)
    # whether a GPU takes models only a launch shows: nothing is said of it
    ready = ("native", "benchmark-model", "benchmark-model-none")
    assert remote_runtimes("adb", PIXEL_8, [google]) == dict.fromkeys(ready, "ready")


def test_a_phone_as_people_and_programs_see_it(monkeypatch: pytest.MonkeyPatch) -> None:
    phone = DiscoveredDevice("adb", "0A1B", ("pixel-8",), PIXEL_8, COOL)
    hidden = DiscoveredDevice("adb", "FF[bold]00", problem=phone_problem("unauthorized"))
    discovery = Discovery((phone, hidden), (), {"litert": "2.3.0"}, {}, {}, ())
    assert repr(phone) == "DiscoveredDevice(adb 0A1B: Pixel 8)" and "phones: 2, boards: 0" in repr(discovery)
    as_json = discovery.to_json()
    first = as_json["phones"][0]
    assert (first["answers"], first["model"], first["soc"], first["abi"]) == (True, "Pixel 8", "Tensor G3", "arm64-v8a")
    assert [kind["cores"] for kind in first["clusters"]] == [(0, 1, 2, 3), (4, 5, 6, 7), (8,)]
    assert (first["temperature_celsius"], first["battery_percent"]) == (31.4, 80)
    assert as_json["phones"][1]["answers"] is False and "unlock it" in as_json["phones"][1]["problem"]
    monkeypatch.setattr(CONSOLE, "width", 200)
    text = shown(discovery)
    assert "\x1b" not in shown(replace(discovery, phones=(replace(phone, facts=replace(PIXEL_8, model="\x1b[2J")),)))
    for part in ("0A1B", "Pixel 8, Android 14, Tensor G3, arm64-v8a", "4-7 (2.37 GHz)", "CPU 31 °C", "FF[bold]00"):
        assert part in text


def test_a_board_that_is_not_there_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and does not listen
        host = f"ssh://nobody@127.0.0.1:{closed.getsockname()[1]}"
        (folder / "devices" / "gone.toml").write_text(f'name = "gone"\ntransport = "ssh"\nhost = "{host}"\n')
        (board,) = discover_devices().boards
    assert (board.address, board.devices) == (host, ("gone",))
    assert board.problem and "is on and in the network" in board.problem
