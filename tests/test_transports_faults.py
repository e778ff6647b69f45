"""What a Transport does when the way to the device breaks: real daemons, killed, stopped and started again."""

from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from hwnas.transports.adb import Adb, adb_devices
from hwnas.transports.base import Completed, DeviceLost, DeviceTimeout
from hwnas.transports.own_folder import MARKER
from hwnas.transports.ssh import Ssh
from tests.android.machine import wait_until

BIG = 100 * 2**20
"""Bytes of a file that takes a moment even on loopback."""


@pytest.fixture(scope="module")
def big(tmp_path_factory) -> Path:
    """A big file that cannot be compressed."""
    file = tmp_path_factory.mktemp("big") / "big"
    file.write_bytes(os.urandom(BIG))
    yield file
    file.unlink()


class Faults:
    """The faults that each Transport over a connection survives; a subclass says what is reached, and how."""

    @pytest.fixture
    def machine(self):
        raise NotImplementedError

    @pytest.fixture
    def transport(self, machine):
        raise NotImplementedError

    @pytest.fixture
    def names(self, machine, transport):
        folder = machine.root / transport.folder.lstrip("/")
        return lambda: sorted(set(os.listdir(folder)) - {MARKER}) if folder.is_dir() else []

    def test_the_daemon_killed_in_mid_run(self, machine, transport):
        transport.reconnect(10)
        killer = when(lambda: any("sleep 4322" in line for line in machine.processes()), machine.kill)
        with pytest.raises(DeviceLost, match="was lost"):
            transport.run(["sh", "-c", "echo start; sleep 4322; echo end"], timeout_s=60)
        killer.join()
        machine.start()
        transport.reconnect(30)
        wait_until(lambda: machine.processes() == [], "nothing is left running")
        assert transport.run(["echo", "again"]).output == "again\n"

    def test_the_client_killed_in_mid_run(self, machine, transport, monkeypatch):
        """As when hwnas itself is killed: what it ran goes on, until the next campaign takes up the connection."""
        monkeypatch.setattr("hwnas.transports.shell_transport.ANSWER_S", -4.0)
        with pytest.raises(DeviceTimeout, match="no answer"):
            transport.run(["sh", "-c", "trap '' HUP; sleep 4323; echo"], timeout_s=5)
        assert any("sleep 4323" in line for line in machine.processes())
        transport.reconnect(10)
        wait_until(lambda: machine.processes() == [], "nothing is left running")

    def test_other_peoples_programs_are_left_alone(self, machine, transport):
        transport.run(["true"])
        other = self.another(machine, f"cd {transport.folder}; exec sleep 4324")
        wait_until(lambda: any("sleep 4324" in line for line in machine.processes()), "the other program runs")
        transport.reconnect(10)
        assert any("sleep 4324" in line for line in machine.processes())
        machine.end_programs()
        other.join()

    def test_the_daemon_hangs(self, machine, transport, monkeypatch):
        monkeypatch.setattr("hwnas.transports.shell_transport.ANSWER_S", 1.0)
        assert transport.run(["echo", "before"]).output == "before\n"
        machine.stop()
        try:
            began = time.monotonic()
            with pytest.raises(DeviceTimeout, match="no answer"):
                transport.run(["true"], timeout_s=1)
            assert time.monotonic() - began < 5
            with pytest.raises(DeviceLost, match="no connection within 1 s"):
                transport.reconnect(1)
        finally:
            machine.resume()
        transport.reconnect(30)
        assert transport.run(["echo", "after"]).output == "after\n"

    def test_the_daemon_comes_back_while_it_is_waited_for(self, machine, transport):
        machine.kill()
        starter = threading.Timer(1.0, machine.start)
        starter.start()
        transport.reconnect(30)
        starter.join()
        assert transport.run(["echo", "back"]).output == "back\n"

    def test_the_daemon_killed_in_mid_push(self, machine, transport, names, big):
        transport.reconnect(10)
        folder = machine.root / transport.folder.lstrip("/")
        killer = when(lambda: any(path.stat().st_size for path in folder.glob("*.part")), machine.kill)
        with pytest.raises(DeviceLost):
            transport.push(big, "big")
        killer.join()
        assert "big" not in names()
        machine.start()
        transport.reconnect(30)
        assert names() == []
        assert transport.push(Path(__file__), "small") is True
        assert names() == ["small"]

    def test_the_daemon_hangs_in_mid_push(self, machine, transport, names, big, monkeypatch):
        transport.reconnect(10)
        monkeypatch.setattr("hwnas.transports.file_transfer.SHORT_S", 2.0)
        monkeypatch.setattr("hwnas.transports.file_transfer.SLOWEST_BYTES_PER_S", 1e12)
        folder = machine.root / transport.folder.lstrip("/")
        stopper = when(lambda: any(path.stat().st_size for path in folder.glob("*.part")), machine.stop)
        try:
            with pytest.raises(DeviceTimeout, match="no answer within 2 s"):
                transport.push(big, "big")
        finally:
            stopper.join()
            machine.resume()
        transport.reconnect(30)
        assert names() == []

    def test_the_daemon_killed_in_mid_pull(self, machine, transport, big, tmp_path):
        transport.push(Path(__file__), "small")
        shutil.copyfile(big, machine.root / transport.folder.lstrip("/") / "big")
        target = tmp_path / "here" / "big"
        target.parent.mkdir()
        killer = self.in_mid_pull(machine, target.parent)
        with pytest.raises(DeviceLost):
            transport.pull("big", target)
        killer.join()
        assert os.listdir(target.parent) == []
        machine.start()
        transport.reconnect(30)
        transport.pull("small", target)
        assert target.read_bytes() == Path(__file__).read_bytes()

    def test_a_device_that_never_was(self):
        transport = self.nowhere()
        for step in (lambda: transport.run(["true"]), transport.facts, transport.health):
            with pytest.raises(DeviceLost, match=r"refused|not found"):
                step()
        began = time.monotonic()
        with pytest.raises(DeviceLost, match="no connection within 2 s"):
            transport.reconnect(2)
        assert time.monotonic() - began < 4


def when(condition, act) -> threading.Thread:
    """A thread that does something as soon as a condition holds."""

    def wait():
        wait_until(condition, "the moment to strike", 30)
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


class TestAdb(Faults):
    @pytest.fixture
    def machine(self, phone):  # with Android's tools; the board has GNU's
        return phone

    @pytest.fixture
    def transport(self, phone):
        return Adb(phone.serial)

    @pytest.mark.parametrize("mode", ["unauthorized", "offline"])
    def test_a_phone_that_is_not_ready(self, phone, mode):
        serial = phone.fake(mode)
        assert [each.state for each in adb_devices() if each.serial == serial] == [mode]
        with pytest.raises(DeviceLost, match=f"{mode}.*unlock it"):
            Adb(serial).run(["true"])

    def test_a_phone_whose_adb_knows_no_exit_codes(self, phone, tmp_path):
        transport = Adb(phone.fake("legacy"))
        done = transport.run(["sh", "-c", "echo one; echo two; echo error >&2; exit 37"])
        assert done == Completed(37, "one\ntwo\nerror\n", "")
        with pytest.raises(DeviceTimeout):
            transport.run(["sleep", "4325"], timeout_s=1)
        assert transport.push(Path(__file__), "file") is True
        assert transport.push(Path(__file__), "file") is False
        transport.pull("file", tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == Path(__file__).read_bytes()
        assert transport.facts().abi == "arm64-v8a"
        assert transport.health().battery_percent == 90

    @pytest.mark.parametrize("after_bytes", [1000, 20_000, 1_000_000])
    def test_a_cable_pulled_out_after_so_many_bytes(self, phone, big, after_bytes):
        transport = Adb(phone.fake("cut", after_bytes))
        with pytest.raises(DeviceLost):
            for _ in range(100):
                transport.push(big, "big")
        transport.reconnect(30)
        assert transport.push(Path(__file__), "small") is True
        assert sorted(os.listdir(phone.root / transport.folder.lstrip("/"))) == [MARKER, "small"]

    def nowhere(self):
        return Adb("127.0.0.1:1")

    def another(self, machine, script):
        return in_background(lambda: machine.adb("-s", machine.serial, "shell", script, timeout_s=60))

    def in_mid_pull(self, machine, folder):
        return when(lambda: any(path.stat().st_size for path in folder.iterdir()), machine.kill)


class TestSsh(Faults):
    @pytest.fixture
    def machine(self, board):
        return board

    @pytest.fixture
    def transport(self, board):
        return Ssh(board.host, board.folder)

    @pytest.fixture(autouse=True)
    def ssh(self, board):
        """Plain ssh finds the board."""

    def nowhere(self):
        return Ssh("ssh://nobody@127.0.0.1:1", "/tmp/hwnas")

    def another(self, machine, script):
        return in_background(lambda: machine.ssh(script, timeout_s=60))

    def in_mid_pull(self, machine, folder):
        return when(lambda: any(line.startswith("cat ") for line in machine.processes()), machine.kill)


def in_background(act) -> threading.Thread:
    thread = threading.Thread(target=act)
    thread.start()
    return thread
