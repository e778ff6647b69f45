"""Holding a device: who is kept out, and that the screen's setting comes back whatever ends a campaign."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hwnas.devices.connection import open_transport
from hwnas.devices.device import Device
from hwnas.devices.lock import STAY_ON, device_lock
from hwnas.errors import HwnasError
from hwnas.transports.base import DeviceLost
from tests.android.phone import Phone
from tests.conftest import ROOT

SETTINGS = """#!/system/bin/sh
case "$1" in
get) cat "/data/local/$3" 2>/dev/null || echo null ;;
put) echo "$4" > "/data/local/$3" ;;
esac
"""
SVC = f"""#!/system/bin/sh
case "$*" in
"power stayon usb") echo 2 > /data/local/{STAY_ON} ;;
"power stayon false") echo 0 > /data/local/{STAY_ON} ;;
*) exit 1 ;;
esac
"""
"""What these programs of Android do to the one setting that matters here."""


@pytest.fixture
def device(phone: Phone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Device:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return Device(name="phone", transport="adb", serial=phone.serial)


@pytest.fixture
def screen(phone: Phone) -> Iterator[Path]:
    """The file with the screen's setting on a phone that has `settings` and `svc`."""
    setting = phone.root / "data/local" / STAY_ON
    programs = {phone.root / "system/bin/settings": SETTINGS, phone.root / "system/bin/svc": SVC}
    before = {program: program.read_text() for program in programs if program.exists()}
    for program, text in programs.items():
        program.write_text(text)
        program.chmod(0o755)
    yield setting
    setting.unlink(missing_ok=True)
    for program in programs:
        program.unlink()
    for program, text in before.items():
        program.write_text(text)
        program.chmod(0o755)


def test_a_second_campaign_is_kept_out_until_the_first_ends(device: Device) -> None:
    transport = open_transport(device)
    with device_lock(device, transport):
        with (
            pytest.raises(HwnasError, match=r"phone \(adb .*\) is in use: another process measures on it"),
            device_lock(device, transport),
        ):
            pass
        other = device.model_copy(update={"name": "other"})  # another name for the same phone
        with pytest.raises(HwnasError, match=r"other \(adb .*\) is in use"), device_lock(other, open_transport(other)):
            pass
    with device_lock(device, transport):
        pass


def test_where_no_lock_can_be_kept_nothing_is_measured(
    device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with (
        pytest.raises(HwnasError, match=r"cannot write .*lock, which keeps .* off adb .*: Not a directory"),
        device_lock(device, open_transport(device)),
    ):
        pass


def test_this_machine_is_not_held() -> None:
    here = Device(name="here")
    with device_lock(here, open_transport(here)), device_lock(here, open_transport(here)):
        pass


def test_a_phone_that_does_not_answer_is_not_held(
    device: Device, phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hwnas.devices.lock.ANSWERS_WITHIN_S", 1.0)
    transport = open_transport(device)
    phone.kill()
    with pytest.raises(DeviceLost), device_lock(device, transport):
        pass
    phone.start()
    with device_lock(device, transport):
        pass


@pytest.mark.parametrize("before", ["0", "3", "null"])
def test_the_screen_stays_on_and_is_put_back(device: Device, screen: Path, before: str) -> None:
    screen.write_text(f"{before}\n")
    awake = device.model_copy(update={"stay_awake": True})
    with device_lock(device, open_transport(device)):
        assert screen.read_text().strip() == before  # nobody asked for anything
    with pytest.raises(ValueError, match="in the middle"), device_lock(awake, open_transport(awake)):
        assert screen.read_text().strip() == "2"
        raise ValueError("in the middle")
    assert screen.read_text().strip() == before.replace("null", "0")


def test_after_a_kill_the_screen_is_put_back_by_the_next_one(device: Device, screen: Path) -> None:
    screen.write_text("1\n")
    code = f"""
import os, signal
from hwnas.devices.device import Device
from hwnas.devices.lock import device_lock
from hwnas.devices.connection import open_transport
device = Device(name="phone", transport="adb", serial={device.serial!r}, stay_awake=True)
with device_lock(device, open_transport(device)):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == -signal.SIGKILL
    assert screen.read_text().strip() == "2"
    with device_lock(device, open_transport(device)):
        assert screen.read_text().strip() == "1"
    assert screen.read_text().strip() == "1"


def test_a_phone_that_cannot_stay_awake_says_so(device: Device, screen: Path, phone: Phone) -> None:
    awake = device.model_copy(update={"stay_awake": True})
    (phone.root / "system/bin/svc").write_text("#!/system/bin/sh\necho 'not today' >&2; exit 3\n")
    with (
        pytest.raises(HwnasError, match=r"cannot be told to: not today .*stay_awake = false"),
        device_lock(awake, open_transport(awake)),
    ):
        pass
    with device_lock(device, open_transport(device)):
        pass
