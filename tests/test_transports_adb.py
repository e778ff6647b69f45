"""How phones are named and listed, and what `adb` is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwnas.errors import HwnasError, UsageError
from hwnas.transports.adb import Adb, Phone, adb_devices, parse_devices
from hwnas.transports.base import DeviceError, DeviceLost
from hwnas.transports.own_folder import MARKER, NAME

LISTED = """\
* daemon not running; starting now at tcp:5037
* daemon started successfully
List of devices attached
0A1B2C3D4E             device usb:1-1 product:shiba model:Pixel_8 device:shiba transport_id:1
emulator-5554          offline transport_id:2
127.0.0.1:15555        device transport_id:3
FA79              unauthorized usb:1-2 transport_id:4
0123456789ABCDEF       no permissions (user in plugdev group; are your udev rules wrong?); see [http://d] usb:1-3
adb-1A2B-xyz (2)._adb-tls-connect._tcp device product:oriole model:Pixel_6 device:oriole transport_id:7
XYZ                    hibernating transport_id:8

"""


def test_every_line_of_adb_devices():
    assert parse_devices(LISTED) == [
        Phone("0A1B2C3D4E", "device", "Pixel 8"),
        Phone("emulator-5554", "offline", None),
        Phone("127.0.0.1:15555", "device", None),
        Phone("FA79", "unauthorized", None),
        Phone("0123456789ABCDEF", "no permissions", None),
        Phone("adb-1A2B-xyz (2)._adb-tls-connect._tcp", "device", "Pixel 6"),
        Phone("XYZ", "hibernating", None),
    ]
    assert parse_devices("List of devices attached\n\n") == []


@given(st.text())
def test_anything_may_be_listed(printed):
    assert all(phone.serial for phone in parse_devices("List of devices attached\n" + printed))


def test_the_phones_there_are(phone):
    assert [(each.serial, each.state) for each in adb_devices()] == [(phone.serial, "device")]


def test_no_adb_on_this_machine(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("ANDROID_HOME", raising=False)
    for step in (adb_devices, Adb("serial").facts):
        with pytest.raises(HwnasError, match="no program adb on this machine; install the Android platform tools"):
            step()


def test_adb_of_the_sdk_is_found(monkeypatch, tmp_path):
    program = tmp_path / "sdk" / "platform-tools" / "adb"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n/bin/echo List of devices attached\n/bin/echo 'of-the-sdk device'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("ANDROID_HOME", str(tmp_path / "sdk"))
    assert adb_devices() == [Phone("of-the-sdk", "device", None)]


def test_an_adb_that_does_not_work(monkeypatch, tmp_path):
    (tmp_path / "adb").write_text("#!/bin/sh\n/bin/echo 'adb: error: cannot connect to daemon' >&2\nexit 1\n")
    (tmp_path / "adb").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        HwnasError, match=r"cannot list the phones: adb: error: cannot connect to daemon\..*kill-server"
    ):
        adb_devices()


@pytest.mark.parametrize("serial", ["", " ", "-s", "--", "-H evil", "a\nb", "a\0b", "\x7f", "\ta", "a\ud800"])
def test_what_is_no_serial_is_refused(serial):
    with pytest.raises(UsageError, match="is no serial"):
        Adb(serial)


@settings(max_examples=25, suppress_health_check=list(HealthCheck), derandomize=True)
@given(serial=st.text(st.sampled_from("ab1: .$()`;|&'\"\\-\n\ud800\udcff#*~>") | st.characters(), min_size=1))
def test_no_serial_is_a_command(phone, tmp_path, monkeypatch, serial):
    monkeypatch.chdir(tmp_path)
    for name in (serial, f"$(touch canary){serial}", f"a;touch canary;{serial}"):
        with pytest.raises((UsageError, DeviceLost)):
            Adb(name).run(["true"])
    assert os.listdir(tmp_path) == []


def test_a_hostile_folder_is_but_a_folder(android):
    folder = "/data/local/tmp/'$(touch canary)' ; touch canary"
    transport = Adb(android.serial, folder)
    folder = f"{folder}/{NAME}"
    assert transport.run(["pwd"]).output == f"{folder}\n"
    transport.push(Path(__file__), "file")
    transport.reconnect()
    assert transport.health().free_bytes > 0
    assert sorted(os.listdir(android.root / folder.lstrip("/"))) == [MARKER, "file"]
    assert not list(android.root.glob("data/**/canary"))


def test_a_folder_that_cannot_be_made(phone):
    with pytest.raises(DeviceError, match=r"folder /proc/hwnas/hwnas-files cannot be made or entered \(.*mkdir.*\)"):
        Adb(phone.serial, "/proc/hwnas").run(["true"])
    assert Adb(phone.serial, "/proc/hwnas").facts().abi == "arm64-v8a"


@pytest.mark.parametrize("name", ["-p", "--help", "a b", "'", "$(touch canary)", "\udcff", "\n"])
def test_files_of_this_machine_with_hostile_names(phone, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path(name).write_text("content")
    transport = Adb(phone.serial)
    transport.push(Path(name), "file")
    (tmp_path / "back").mkdir()
    transport.pull("file", Path("back") / name)
    assert (tmp_path / "back" / name).read_text() == "content"
    assert sorted(os.listdir(tmp_path)) == sorted(["back", name])
