"""The phones and boards that other tests run on are what they claim to be."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.android.board import Board
from tests.android.machine import Missing, need, wait_until
from tests.android.phone import Phone
from tests.conftest import ROOT
from tests.device_environment import lacking
from tests.weekly import weekly_except

PROGRAM = """
#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>
int main(int count, char **words) {
  struct utsname name;
  uname(&name);
  printf("%s %zu\\n", name.machine, sizeof(void *));
  if (count > 1) sleep(60);
  return 3;
}
"""


@pytest.fixture(scope="session")
def arm_program(tmp_path_factory):
    """A program for aarch64, linked statically: it needs nothing of the phone."""
    if shutil.which("aarch64-linux-gnu-gcc") is None:
        lacking("aarch64-linux-gnu-gcc not found; tests/android/install.sh brings it")
    folder = tmp_path_factory.mktemp("arm")
    (folder / "hello.c").write_text(PROGRAM)
    subprocess.run(["aarch64-linux-gnu-gcc", "-static", "-o", folder / "hello", folder / "hello.c"], check=True)
    return folder / "hello"


def test_plain_adb_finds_the_phone(android: Phone):
    listed = subprocess.run(["adb", "devices"], capture_output=True, text=True).stdout.splitlines()
    assert [line.split("\t") for line in listed[1:] if line] == [[android.serial, "device"]]


def test_a_command_answers_with_exit_code_and_both_outputs(android: Phone):
    answer = android.adb("shell", "echo out; echo err >&2; exit 37")
    assert (answer.returncode, answer.stdout, answer.stderr) == (37, "out\n", "err\n")


def test_aarch64_programs_run_on_the_phone_and_nowhere_else(android: Phone, arm_program):
    android.adb("push", str(arm_program), "/data/local/tmp/hello")
    answer = android.adb("shell", "chmod 755 /data/local/tmp/hello && /data/local/tmp/hello")
    assert (answer.returncode, answer.stdout) == (3, "aarch64 8\n")
    with subprocess.Popen(["adb", "shell", "/data/local/tmp/hello forever"]) as client:
        wait_until(lambda: "/data/local/tmp/hello forever" in android.processes(), "the phone lists the program")
        android.reset()
        assert client.wait(5) == 137
    if "qemu" not in " ".join(os.listdir("/proc/sys/fs/binfmt_misc")):
        with pytest.raises(OSError, match="format"):
            subprocess.run([arm_program])


def test_the_shell_and_tools_are_those_named(android: Phone):
    shell = android.adb("shell", "echo $KSH_VERSION; ls -l $(command -v timeout); ls /usr/bin | wc -l").stdout
    assert ("MIRBSD" in shell, "toybox" in shell) == ((android.userland == "toybox"),) * 2


def test_it_says_what_the_test_wants_it_to(phone: Phone):
    phone.set_property("ro.product.model", "Pixel $(reboot)")
    phone.set_temperature(61.5)
    phone.set_battery(percent=12, plugged=False)
    phone.set_thermal_status(3)
    asked = "getprop ro.product.model; cat /sys/class/thermal/thermal_zone0/temp; getprop ro.none default"
    assert phone.adb("shell", asked).stdout.splitlines() == ["Pixel $(reboot)", "61500", "default"]
    assert "  level: 12\n" in phone.adb("shell", "dumpsys battery").stdout
    assert "Thermal Status: 3\n" in phone.adb("shell", "dumpsys thermalservice").stdout
    assert phone.adb("shell", "dumpsys location").returncode == 1


def test_the_next_test_finds_it_as_it_was(phone: Phone):
    assert phone.adb("shell", "getprop ro.product.model; ls /data/local/tmp").stdout == "Emulated Phone\n"
    assert "  level: 90\n" in phone.adb("shell", "dumpsys battery").stdout


def test_a_push_to_a_full_disk_fails(android: Phone, tmp_path):
    (tmp_path / "model").write_bytes(bytes(2**21))
    android.small_disk(2**20)
    answer = android.adb("push", str(tmp_path / "model"), "/data/local/tmp/")
    assert answer.returncode == 1 and "No space left" in answer.stdout + answer.stderr
    android.reset()
    assert android.adb("push", str(tmp_path / "model"), "/data/local/tmp/").returncode == 0
    assert (android.root / "data/local/tmp/model").stat().st_size == 2**21


def test_a_killed_adbd_leaves_its_programs_and_comes_back(android: Phone):
    client = subprocess.Popen(["adb", "-s", android.serial, "shell", "sleep 4321"])
    wait_until(lambda: "sleep 4321" in android.processes(), "the program runs")
    android.kill()
    client.wait(5)
    android.start()
    assert android.adb("shell", "echo back").stdout == "back\n"
    android.reset()
    assert android.processes() == []


def test_a_stopped_adbd_hangs_until_it_is_resumed(phone: Phone):
    phone.stop()
    with pytest.raises(subprocess.TimeoutExpired):
        phone.adb("shell", "true", timeout_s=0.5)
    phone.resume()
    assert phone.adb("shell", "echo back").stdout == "back\n"


def test_the_phone_reaches_nothing_and_nothing_reaches_it(phone: Phone):
    assert phone.adb("shell", "cat /proc/net/route").stdout.count("\n") == 1
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", 15555), timeout=1)


@pytest.mark.parametrize(
    ("mode", "state"), [("unauthorized", "unauthorized"), ("offline", "offline"), ("plain", "device")]
)
def test_adb_sees_what_is_wrong_with_a_fake_phone(phone: Phone, fake_phone, mode, state):
    serial = fake_phone(mode)
    listed = phone.adb("devices").stdout.splitlines()
    assert f"{phone.serial}\tdevice" in listed and f"{serial}\t{state}" in listed
    phone.reset()
    assert serial not in phone.adb("devices").stdout


def test_a_fake_phone_without_shell_2_has_no_exit_codes(phone: Phone, fake_phone):
    answer = phone.adb("-s", fake_phone("legacy"), "shell", "echo out; echo err >&2; exit 7")
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "out\nerr\n", "")
    answer = phone.adb("-s", fake_phone("plain"), "shell", "echo out; echo err >&2; exit 7")
    assert (answer.returncode, answer.stdout, answer.stderr) == (7, "out\n", "err\n")


def test_a_cable_that_is_pulled_leaves_half_a_file_and_comes_back(phone: Phone, fake_phone, tmp_path):
    (tmp_path / "model").write_bytes(os.urandom(3 * 2**20))
    serial = fake_phone("cut", after_bytes=2**21)
    push = ("-s", serial, "push", str(tmp_path / "model"), "/data/local/tmp/model")
    assert phone.adb(*push).returncode == 1
    assert 2**20 < (phone.home / "model").stat().st_size < 2**21
    wait_until(lambda: phone.adb("-s", serial, "get-state").returncode == 0, "adb has connected again")
    assert phone.adb(*push).returncode == 0
    assert phone.adb("-s", serial, "pull", "/data/local/tmp/model", str(tmp_path / "copy")).returncode == 0
    assert (tmp_path / "copy").read_bytes() == (tmp_path / "model").read_bytes()


def test_plain_ssh_and_scp_reach_the_board(board: Board, tmp_path):
    answer = subprocess.run(
        ["ssh", board.host, "echo out; echo err >&2; id -un; exit 11"], capture_output=True, text=True
    )
    assert (answer.returncode, answer.stdout, answer.stderr) == (11, "out\npi\n", "err\n")
    (tmp_path / "model").write_bytes(os.urandom(1000))
    subprocess.run(["scp", "-q", tmp_path / "model", f"{board.host}:copy"], check=True)
    assert (board.home / "copy").read_bytes() == (tmp_path / "model").read_bytes()


def test_the_board_has_a_sys_and_a_disk_of_its_own(board: Board):
    board.set_temperature(55.0)
    board.set_frequency(0, governor="powersave")
    files = "/sys/class/thermal/thermal_zone0/temp /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
    assert board.ssh(f"cat {files}").stdout == "55000\npowersave\n"
    board.small_disk(2**20)
    assert board.ssh(f"head -c 2M /dev/zero > {board.folder}/model").returncode != 0


def test_a_killed_sshd_ends_the_connection_and_comes_back(board: Board):
    client = subprocess.Popen(["ssh", board.host, "sleep 4322"])
    wait_until(lambda: "sleep 4322" in board.processes(), "the program runs")
    board.kill()
    assert client.wait(5) == 255
    assert board.ssh("true").returncode == 255
    board.start()
    assert board.ssh("true").returncode == 0


def test_a_stopped_sshd_hangs_until_it_is_resumed(board: Board):
    board.stop()
    with pytest.raises(subprocess.TimeoutExpired):
        board.ssh("true", timeout_s=0.5)
    board.resume()
    assert board.ssh("true").returncode == 0


@pytest.mark.parametrize("number", weekly_except([signal.SIGKILL], [signal.SIGKILL, signal.SIGINT]))
@pytest.mark.parametrize("kind", ["phone", "board"])
def test_a_machine_dies_with_the_tests_and_leaves_nothing(request, kind, number):
    request.getfixturevalue(kind)  # skips where it cannot be
    make = {"phone": "phone import Phone as Machine", "board": "board import Board as Machine"}[kind]
    code = f"from tests.android.{make}; import time; m = Machine(); m.stop(); print(m.pid, flush=True); time.sleep(60)"
    tests = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert tests.stdout
    namespace = Path(f"/proc/{int(tests.stdout.readline())}/ns/pid").readlink()
    tests.send_signal(number)
    tests.communicate()
    wait_until(lambda: namespace not in namespaces(), "all its processes ended")


def test_what_this_system_lacks_is_named_and_skips_or_fails(monkeypatch):
    with pytest.raises(Missing, match=r"no-such-adb.*install\.sh"):
        need("sh", "no-such-adb")
    monkeypatch.delenv("HWNAS_REQUIRE_DEVICES", raising=False)
    with pytest.raises(pytest.skip.Exception, match="adb not found"):
        lacking("adb not found")
    monkeypatch.setenv("HWNAS_REQUIRE_DEVICES", "1")
    with pytest.raises(pytest.fail.Exception, match="adb not found"):
        lacking("adb not found")


def namespaces() -> set[Path]:
    """Those in which a process of this machine runs."""
    found = set()
    for process in psutil.process_iter():
        with suppress(OSError):
            found.add(Path(f"/proc/{process.pid}/ns/pid").readlink())
    return found
