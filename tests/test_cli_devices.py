"""`hwnas devices` and `hwnas devices add`, as a person types them, with a real adbd or sshd at the other end."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hwnas.devices.connection import open_transport
from hwnas.devices.device import Device, load_device
from hwnas.errors import HwnasError, UsageError
from hwnas.report.console import CONSOLE
from hwnas.runners.discovery import discover_devices
from hwnas.transports.adb import only_phone, phone_problem
from tests.commands import run_command


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of the commands."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def hwnas(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """Run a command in this process: exit code, standard output, and error output with its line breaks removed."""
    monkeypatch.setattr(CONSOLE, "width", 200)

    return partial(run_command, monkeypatch, capsys)


@pytest.fixture
def answer(hwnas: Callable[..., tuple[int, str, str]]) -> Callable[..., dict[str, Any]]:
    """Run a command that succeeds: the JSON it prints."""

    def run(*arguments: object) -> dict[str, Any]:
        code, out, errors = hwnas(*arguments, "--json")
        assert code == 0, errors
        return json.loads(out)

    return run


def test_a_phone_is_listed_with_all_it_tells(folder: Path, android: Any, hwnas: Any, answer: Any) -> None:
    android.set_temperature(41.6)
    android.set_battery(77, celsius=29.0)
    (found,) = answer("devices")["phones"]
    expected = {
        "address": android.serial,
        "answers": True,
        "problem": None,
        "model": "Emulated Phone",
        "os_version": "Android 14",
        "soc": "EM1",
        "abi": "arm64-v8a",
        "temperature_celsius": 41.6,
        "battery_percent": 77,
        "battery_celsius": 29.0,
        "thermal_status": 0,
    }
    assert {name: found[name] for name in expected} == expected
    assert found["devices"] == ["android-arm64"]
    assert sum(len(kind["cores"]) for kind in found["clusters"]) == found["core_count"]
    _, _, shown = hwnas("devices")
    what = "Emulated Phone, Android 14, EM1, arm64-v8a"
    for part in (android.serial, what, "(2.80 GHz)", "CPU 42 °C", "battery 77 %"):
        assert part in shown


def test_add_writes_a_profile_that_reaches_the_phone(folder: Path, android: Any, hwnas: Any, answer: Any) -> None:
    written = answer("devices", "add", android.serial)
    assert written["file"] == "devices/emulated-phone.toml"
    device = load_device("emulated-phone")
    assert (device.serial, device.hardware, device.cores) == (android.serial, ("Emulated Phone",), "big")
    assert open_transport(device).facts().model == "Emulated Phone"
    assert answer("devices")["phones"][0]["devices"] == ["emulated-phone", "android-arm64"]
    code, _, errors = hwnas("devices", "add", android.serial)
    assert code == 2 and "there is a device file" in errors
    assert answer("devices", "add", android.serial, "--name", "second")["device"]["name"] == "second"


def test_a_serial_is_a_device_too(folder: Path, phone: Any) -> None:
    device = load_device(phone.serial)
    assert (device.name, device.serial, device.transport) == ("127.0.0.1-15555", phone.serial, "adb")
    assert open_transport(device).facts().architecture
    with pytest.raises(UsageError, match=r"unknown device '127\.0\.0\.1:1'"):
        load_device("127.0.0.1:1")


def test_the_only_phone_is_the_one_when_none_is_named(folder: Path, phone: Any) -> None:
    assert only_phone("android-arm64") == phone.serial
    assert open_transport(load_device("android-arm64")).name == f"adb {phone.serial}"
    with pytest.raises(UsageError, match=r"pixel-8 is for Pixel 8 or Pixel 8 Pro, but adb .* calls itself 'Emulated"):
        open_transport(load_device("pixel-8"))


def test_a_hostile_model_name_is_only_a_name(folder: Path, phone: Any, hwnas: Any, answer: Any) -> None:
    name = "$(touch pwned)\"; touch pwned #' [red]`touch pwned`"
    phone.set_property("ro.product.model", name)
    assert answer("devices")["phones"][0]["model"] == name
    assert name[:14] in hwnas("devices")[2]
    written = answer("devices", "add", phone.serial)
    assert Path(written["file"]).parent == Path("devices")
    assert written["device"]["hardware"] == [name]
    assert not list(folder.rglob("pwned")) and not list(phone.root.glob("data/**/pwned"))


@pytest.mark.parametrize("serial", ["-s", "a\nb", "$(touch pwned)", "a; touch pwned", ""])
def test_a_hostile_serial_is_only_a_serial(folder: Path, phone: Any, serial: str, hwnas: Any) -> None:
    code, _, errors = hwnas("devices", "add", "--", serial)
    assert code in (1, 2) and errors.startswith("error: ")
    assert not list(folder.iterdir())


def test_a_phone_that_hangs_is_named_and_hides_nothing(folder: Path, phone: Any) -> None:
    phone.stop()
    try:
        found = discover_devices()
    finally:
        phone.resume()
    (silent,) = found.phones
    assert silent.problem and phone.serial in silent.problem
    assert "local" in found.devices and found.runtimes


def test_a_phone_that_went_away_leaves_a_reason(folder: Path, phone: Any) -> None:
    phone.kill()
    found = discover_devices()
    assert all(each.problem for each in found.phones)
    with pytest.raises(HwnasError, match=r"no phone is (connected|ready)"):
        only_phone("android-arm64")


def test_a_board_of_a_device_file_is_listed(folder: Path, board: Any, answer: Any) -> None:
    (folder / "devices").mkdir()
    text = f'name = "pi"\ntransport = "ssh"\nhost = "{board.host}"\nfolder = "{board.folder}"\n'
    (folder / "devices" / "pi.toml").write_text(text)
    (found,) = answer("devices")["boards"]
    assert (found["address"], found["answers"], found["devices"]) == (board.host, True, ["pi"])
    assert found["architecture"] and found["core_count"] >= 1
    board.kill()
    (found,) = answer("devices")["boards"]
    assert found["answers"] is False and "ssh" in found["problem"]


def test_the_help_has_an_example(hwnas: Any) -> None:
    assert "hwnas devices add 0A1B2C3D" in hwnas("devices", "add", "--help")[1]
    assert "Example: hwnas devices" in " ".join(hwnas("devices", "--help")[1].split())


def test_another_phone_than_the_one_named_is_never_taken(folder: Path, phone: Any) -> None:
    device = Device(name="other", transport="adb", serial="0A1B2C3D", hardware=("Emulated Phone",))
    with pytest.raises(HwnasError, match="0A1B2C3D"):
        open_transport(device)


@pytest.mark.parametrize("mode", ["unauthorized", "offline"])
def test_a_phone_that_is_not_ready_is_listed_with_the_cure(
    folder: Path, phone: Any, fake_phone: Any, mode: str, answer: Any
) -> None:
    serial = fake_phone(mode)
    found = {each["address"]: each for each in answer("devices")["phones"]}
    assert found[phone.serial]["answers"] is True
    assert found[serial]["answers"] is False and found[serial]["problem"] == phone_problem(mode)
    assert only_phone("android-arm64") == phone.serial


def test_several_phones_and_none_named_are_listed_and_none_is_taken(folder: Path, phone: Any, fake_phone: Any) -> None:
    second = fake_phone("plain")
    with pytest.raises(UsageError, match=r"2 are connected: .*Name one with --device SERIAL") as raised:
        open_transport(load_device("android-arm64"))
    assert phone.serial in str(raised.value) and second in str(raised.value)
    assert load_device(second).serial == second
    found = {each.address: each for each in discover_devices().phones}
    assert found.keys() == {phone.serial, second} and not any(each.problem for each in found.values())
    assert found[phone.serial].devices == ()  # a file that names no serial would not say which phone


def test_only_phones_that_are_not_ready_is_said_with_what_to_do(folder: Path, phone: Any, fake_phone: Any) -> None:
    serial = fake_phone("unauthorized")
    phone.kill()
    with pytest.raises(HwnasError, match=f"{serial}: unauthorized: .*unlock it"):
        only_phone("android-arm64")
