"""What every Transport does, on this machine, on a phone with each userland, and on a board; all of them real."""

from __future__ import annotations

import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwnas.devices.device import Device
from hwnas.errors import HwnasError, UsageError
from hwnas.runners.remote import MODEL_AND_INPUT_PATTERNS
from hwnas.transports.adb import Adb
from hwnas.transports.base import Completed, DeviceError, DeviceFull, DeviceTimeout
from hwnas.transports.client import run_client
from hwnas.transports.file_transfer import FileTransfer
from hwnas.transports.local import Local
from hwnas.transports.own_folder import MARKER, NAME
from hwnas.transports.registry import TRANSPORTS
from hwnas.transports.ssh import Ssh
from tests.device_environment import lacking

HOSTILE = [
    *(
        "",
        " ",
        "a b",
        " a ",
        "'",
        '"',
        "''",
        "\\",
        "\\n",
        "-n",
        "--",
        "-c",
        "*",
        "?",
        "~",
        "#",
        "!",
        "%s",
        "{a,b}",
        "é",
    ),
    *("$HOME", "`touch canary`", "$(touch canary)", ";touch canary;", "|touch canary", "&touch canary", "> canary"),
    *("a\nb", "\n", "\ntouch canary\n", "\r", "a\r\nb", "\t", "\x01", "\x7f", "'; touch canary; '", "\udcff\udc80"),
]
"""Arguments; `\\udcff` stands for a byte that is no UTF-8."""

BYTES_OF_EACH = 'for each; do printf %s "$each" | od -An -v -tx1; echo .; done'
"""A script that prints its arguments byte by byte."""

text = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]) | st.sampled_from("\udc80\udcfe'\"$`\n")
)
slow = settings(max_examples=12, suppress_health_check=list(HealthCheck), derandomize=True)


class Reached:
    """A transport, and its device's folder as this machine sees it."""

    def __init__(self, transport: FileTransfer, root: Path = Path("/")) -> None:
        self.transport = transport
        self.folder = root / transport.folder.lstrip("/")

    def names(self) -> list[str]:
        return sorted(set(os.listdir(self.folder)) - {MARKER}) if self.folder.is_dir() else []


MODEL = f"model-{'0' * 16}-012345-6789ab-cdef01.tflite"
INPUT = "input-012345-6789ab-cdef01"


def plant(folder: Path, *names: str) -> None:
    """Put a person's files into a folder, years old: some are called as hwnas calls its own."""
    for name in names or (
        "model-final.tflite",
        "input-1",
        MODEL,
        INPUT,
        "a.0123abcd.part",
        f"photos/{MODEL}",
        "hwbench",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"a person's {name}")
        os.utime(folder / name, (1e9, 1e9))


def contents(folder: Path) -> dict[str, str | None]:
    """Everything below a folder."""
    return {str(path.relative_to(folder)): path.read_text() if path.is_file() else None for path in folder.rglob("*")}


def bytes_of(completed: Completed) -> list[bytes]:
    return [bytes.fromhex(part) for part in completed.output.split(".")[:-1]]


@pytest.fixture
def source(tmp_path) -> Path:
    """A file with every byte in it, and line endings of all kinds."""
    file = tmp_path / "source"
    file.write_bytes(bytes(range(256)) * 40 + b"\r\n\n\r" + random.Random(0).randbytes(5000) + b"\r")
    return file


class Conformance:
    """The tests that each kind of Transport passes; a subclass names the kind and connects to a device of it."""

    kind: type[FileTransfer] = Local

    @pytest.fixture
    def reached(self) -> Reached:
        raise NotImplementedError

    def test_exit_codes_and_both_outputs_come_back(self, reached):
        for exit_code in (0, 1, 37, 124, 125, 137, 255):
            done = reached.transport.run(["sh", "-c", f"echo out; echo err >&2; exit {exit_code}"])
            assert done == Completed(exit_code, "out\n", "err\n")

    def test_a_program_ended_by_a_signal(self, reached):
        for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL):
            done = reached.transport.run(["sh", "-c", f"echo before; kill -{int(number)} $$"])
            assert (done.exit_code, done.output) == (128 + number, "before\n")

    def test_exit_codes_of_programs_that_end_at_once(self, reached):
        assert [reached.transport.run(["sh", "-c", "exit 3"]).exit_code for _ in range(10)] == [3] * 10

    def test_a_program_that_is_not_there_or_is_none(self, reached, source):
        assert reached.transport.run(["no-such-program"]).exit_code == 127
        assert reached.transport.run(["./no-such-program"]).exit_code == 127
        reached.transport.push(source, "data")
        assert reached.transport.run(["./data"]).exit_code == 126

    def test_output_is_exact(self, reached):
        script = "i=0; while [ $i -lt 1000 ]; do echo $i; i=$((i+1)); done; printf 'a\\r\\nb\\rc'; echo error >&2"
        done = reached.transport.run(["sh", "-c", script])
        assert done.output == "".join(f"{i}\n" for i in range(1000)) + "a\r\nb\rc"
        assert done.error == "error\n"

    def test_much_output_and_bytes_that_are_no_text(self, reached):
        assert len(reached.transport.run(["head", "-c", "1000000", "/dev/zero"]).output) == 1_000_000
        assert reached.transport.run(["printf", r"\377a\200"]).output == "\ufffda\ufffd"

    def test_a_program_has_nothing_on_its_standard_input(self, reached):
        assert reached.transport.run(["cat"], timeout_s=5) == Completed(0, "", "")

    def test_it_runs_in_the_folder(self, reached):
        assert reached.transport.run(["pwd"]).output == reached.transport.folder + "\n"

    def test_hostile_arguments_arrive_unchanged(self, reached):
        done = reached.transport.run(["sh", "-c", BYTES_OF_EACH, "sh", *HOSTILE])
        assert bytes_of(done) == [os.fsencode(argument) for argument in HOSTILE]
        assert reached.names() == []

    @slow
    @given(arguments=st.lists(text, min_size=1, max_size=8))
    def test_any_arguments_arrive_unchanged(self, reached, arguments):
        done = reached.transport.run(["sh", "-c", BYTES_OF_EACH, "sh", *arguments])
        assert bytes_of(done) == [os.fsencode(argument) for argument in arguments]

    def test_what_cannot_be_an_argument_is_refused(self, reached):
        for arguments in (["echo", "a\0b"], ["echo", "\ud800"], [], [""]):
            with pytest.raises(UsageError):
                reached.transport.run(arguments)

    @pytest.mark.parametrize("program", [["sleep", "4321"], ["sh", "-c", "trap '' TERM HUP; exec sleep 4321"]])
    def test_a_program_that_takes_too_long_is_ended_on_the_device(self, reached, program):
        began = time.monotonic()
        with pytest.raises(DeviceTimeout, match="1 s"):
            reached.transport.run(program, timeout_s=1)
        assert time.monotonic() - began < 5
        assert not running("sleep 4321")

    def test_push_and_pull(self, reached, source, tmp_path):
        transport, there = reached.transport, reached.folder / "file"
        assert transport.push(source, "file") is True
        assert there.read_bytes() == source.read_bytes()
        assert stat.S_IMODE(there.stat().st_mode) == 0o644
        inode = there.stat().st_ino
        assert transport.push(source, "file") is False
        assert there.stat().st_ino == inode
        transport.pull("file", tmp_path / "new" / "back")
        assert (tmp_path / "new" / "back").read_bytes() == source.read_bytes()
        assert os.listdir(tmp_path / "new") == ["back"]
        source.write_bytes(b"")
        assert transport.push(source, "file") is True
        assert there.read_bytes() == b""
        assert reached.names() == ["file"]

    def test_a_pushed_program_can_be_run(self, reached, tmp_path):
        program = tmp_path / "program"
        program.write_text("#!/bin/sh\necho $1\n")
        assert reached.transport.push(program, "program") is True
        assert reached.transport.run(["./program", "hello"]).exit_code == 126
        assert reached.transport.push(program, "program", executable=True) is False
        assert reached.transport.run(["./program", "hello"]) == Completed(0, "hello\n", "")

    def test_hostile_file_names(self, reached, tmp_path):
        names = [
            "a b",
            "'",
            "-n",
            "--",
            "*",
            "\\n",
            "é",
            "$(touch canary)",
            ";touch canary;",
            "\ntouch canary\n",
            "\udcff\r",
        ]
        for name in names:
            source = tmp_path / "here" / name
            source.parent.mkdir(exist_ok=True)
            source.write_bytes(os.fsencode(name))
            assert reached.transport.push(source, name) is True
        assert reached.names() == sorted(names)
        for name in names:
            reached.transport.pull(name, tmp_path / "back" / name)
            assert (tmp_path / "back" / name).read_bytes() == os.fsencode(name)
        reached.transport.remove(*names)
        assert reached.names() == []
        assert not (tmp_path / "back" / "canary").exists()

    def test_names_that_lead_out_of_the_folder_are_refused(self, reached, source, tmp_path):
        for name in ("", ".", "..", "a/b", "/etc/passwd", "../up", "a\0b", "\ud800"):
            with pytest.raises(UsageError):
                reached.transport.push(source, name)
            with pytest.raises(UsageError):
                reached.transport.pull(name, tmp_path / "back")
            with pytest.raises(UsageError):
                reached.transport.remove(name)

    def test_remove(self, reached, source):
        for name in ("one", "two", "three"):
            reached.transport.push(source, name)
        reached.transport.remove("one", "never-there", "three")
        assert reached.names() == ["two"]
        reached.transport.remove()
        assert reached.names() == ["two"]

    def test_a_persons_files_in_the_folder_of_the_device_file_stay(self, reached, source):
        persons = reached.folder.parent
        plant(persons)
        (persons / "link").symlink_to("photos")
        before = contents(persons)
        transport = reached.transport
        transport.reconnect(10)
        transport.push(source, MODEL)
        transport.run(["cat", MODEL])
        transport.remove_matching(*MODEL_AND_INPUT_PATTERNS)
        transport.reconnect(10)
        assert reached.names() == []
        transport.push(source, "file")
        transport.remove("file")
        after = contents(persons)
        assert {name: after[name] for name in before} == before
        assert set(after) - set(before) == {NAME, f"{NAME}/{MARKER}"}

    @pytest.mark.parametrize("as_link", [False, True])
    def test_a_folder_of_our_name_that_another_made_is_refused(self, reached, source, as_link):
        persons = reached.folder.parent / "photos" if as_link else reached.folder
        plant(persons)
        if as_link:
            reached.folder.symlink_to(persons.name)
            (persons / MARKER).touch()
        before = contents(persons)
        for use in (
            lambda: reached.transport.push(source, "file"),
            lambda: reached.transport.remove(MODEL),
            lambda: reached.transport.remove_matching(*MODEL_AND_INPUT_PATTERNS),
            lambda: reached.transport.run(["true"]),
        ):
            with pytest.raises(DeviceError, match=rf"{NAME} was not made by hwnas.*move it elsewhere"):
                use()
        reached.transport.reconnect(10)
        assert contents(persons) == before

    def test_what_only_looks_like_ours_is_not_deleted(self, reached):
        reached.transport.run(["true"])
        plant(reached.folder, "model-1.tflite", "input-new", f"{MODEL}.mine", MODEL.upper())
        (reached.folder / MODEL.replace("tflite", "onnx")).symlink_to("model-1.tflite")
        (reached.folder / f"{MODEL}.input").mkdir()
        before = contents(reached.folder)
        for name in (MODEL, f"{MODEL}.output", INPUT):
            (reached.folder / name).write_text("left by a killed hwnas")
        reached.transport.remove_matching(*MODEL_AND_INPUT_PATTERNS)
        assert contents(reached.folder) == before

    def test_pulling_what_is_not_there_leaves_the_target_alone(self, reached, tmp_path):
        target = tmp_path / "target"
        target.write_text("before")
        with pytest.raises(DeviceError, match="no file nothing"):
            reached.transport.pull("nothing", target)
        assert target.read_text() == "before"

    def test_a_folder_is_not_replaced_by_a_file(self, reached, source):
        reached.transport.run(["mkdir", "name"])
        with pytest.raises(DeviceError, match="a folder name"):
            reached.transport.push(source, "name")
        assert reached.names() == ["name"]

    def test_a_source_that_is_not_there(self, reached, tmp_path):
        with pytest.raises(HwnasError, match="cannot read"):
            reached.transport.push(tmp_path / "nothing", "name")

    def test_a_file_that_is_damaged_on_the_way_is_thrown_away(self, reached, source, monkeypatch):
        send = type(reached.transport)._send

        def damage(transport, source, target, timeout_s):
            problem = send(transport, source, target, timeout_s)
            with (reached.folder / Path(target).name).open("r+b") as file:
                file.write(b"x")
            return problem

        reached.transport.push(source, "file")
        before = source.read_bytes()
        source.write_bytes(b"new content")
        monkeypatch.setattr(type(reached.transport), "_send", damage)
        with pytest.raises(DeviceError, match="differs from the one sent"):
            reached.transport.push(source, "file")
        assert reached.names() == ["file"]
        assert (reached.folder / "file").read_bytes() == before

    def test_a_file_that_is_too_large(self, reached, tmp_path, small_disk, monkeypatch):
        small_disk(3 * 2**20)
        large = tmp_path / "large"
        large.write_bytes(bytes(4 * 2**20))
        with pytest.raises(DeviceFull, match=r"the file large needs 4.0 MiB"):
            reached.transport.push(large, "large")
        assert reached.names() == []
        # and if the room is taken between the look and the copy
        monkeypatch.setattr(FileTransfer, "_has", lambda *_: False)
        with pytest.raises(DeviceFull, match="the file large needs"):
            reached.transport.push(large, "large")
        assert reached.names() == []

    def test_facts(self, reached):
        facts = reached.transport.facts()
        assert facts.system == "Linux"
        assert facts.kernel == reached.transport.run(["uname", "-r"]).output.strip()
        assert facts.memory_kb > 100_000
        assert [core.number for core in facts.cores if core.online] == list(range(os.cpu_count()))
        assert facts.model and facts.cpu and facts.os_version

    def test_health(self, reached):
        health = reached.transport.health()
        assert abs(health.uptime_s - time.clock_gettime(time.CLOCK_BOOTTIME)) < 5
        assert health.load_average >= 0
        assert health.free_bytes > 0
        assert reached.names() == [], "looking makes no folder"

    def test_reconnecting_to_what_is_there(self, reached):
        reached.transport.reconnect(10)
        assert reached.transport.run(["echo", "there"]).output == "there\n"


def running(command: str) -> bool:
    return any(" ".join(process.info["cmdline"] or []) == command for process in psutil.process_iter(["cmdline"]))


class TestLocal(Conformance):
    kind = Local

    @pytest.fixture
    def reached(self, tmp_path):
        return Reached(Local(tmp_path / "a folder's place"))

    @pytest.fixture
    def small_disk(self, reached):
        reached.folder.mkdir(parents=True)

        def mount(size_bytes):
            command = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(reached.folder)]
            if subprocess.run(command, capture_output=True).returncode != 0:
                pytest.skip("mounting a small tmpfs needs root: a full disk cannot be tried on this machine itself")

        yield mount
        subprocess.run(["umount", str(reached.folder)], capture_output=True)

    def test_the_folder_is_in_the_users_cache_by_default(self, monkeypatch, tmp_path):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert Local().run(["pwd"]).output == f"{tmp_path}/hwnas/local/{NAME}\n"


class TestBusybox(Conformance):
    """This machine as a board with nothing but busybox."""

    @pytest.fixture
    def reached(self, tmp_path, monkeypatch):
        busybox = shutil.which("busybox")
        if not busybox:
            lacking("busybox is not installed here: boards that have it instead of GNU's tools are not tried")
        programs = tmp_path / "programs"
        programs.mkdir()
        for name in subprocess.run([busybox, "--list"], capture_output=True, text=True).stdout.split():
            (programs / name).symlink_to(busybox)
        monkeypatch.setenv("PATH", str(programs))
        return Reached(Local(tmp_path / "device"))

    small_disk = TestLocal.small_disk


class TestAdb(Conformance):
    kind = Adb

    @pytest.fixture
    def reached(self, android):
        return Reached(Adb(android.serial), android.root)

    @pytest.fixture
    def small_disk(self, android):
        return android.small_disk

    def test_what_a_phone_tells(self, reached, android):
        facts = reached.transport.facts()
        assert (facts.architecture, facts.abi, facts.os_version) == ("aarch64", "arm64-v8a", "Android 14")
        assert (facts.model, facts.manufacturer, facts.soc) == ("Emulated Phone", "hwnas", "EM1")
        android.set_property("ro.product.model", "$(touch /data/local/tmp/canary) '\"")
        android.set_property("ro.soc.model", None)
        facts = reached.transport.facts()
        assert (facts.model, facts.soc) == ("$(touch /data/local/tmp/canary) '\"", None)
        assert os.listdir(android.root / "data/local/tmp") == []

    def test_how_a_phone_is(self, reached, android):
        android.set_battery(percent=41, celsius=31.5, plugged=False)
        android.set_temperature(48.2)
        android.set_thermal_status(2)
        android.set_frequency(1, khz=300_000, max_khz=1_500_000, governor="walt")
        health = reached.transport.health(cores=[1])
        assert (health.battery_percent, health.battery_celsius, health.plugged) == (41, 31.5, False)
        assert (health.temperature_celsius, health.thermal_status) == (48.2, 2)
        assert (health.governor, health.frequency_khz, health.max_frequency_khz) == ("walt", 300_000, 1_500_000)


class TestSsh(Conformance):
    kind = Ssh

    @pytest.fixture
    def reached(self, board):
        return Reached(Ssh(board.host, board.folder), board.root)

    @pytest.fixture
    def small_disk(self, board):
        return board.small_disk

    def test_the_folder_is_in_the_users_home_by_default(self, board, source):
        transport = Ssh(board.host)
        assert transport.folder.endswith(f"/.cache/hwnas/{NAME}")
        transport.push(source, "file")
        there = board.root / transport.folder.lstrip("/") / "file"
        assert there.read_bytes() == source.read_bytes()

    def test_how_a_board_is(self, reached, board):
        board.set_temperature(61.0)
        board.set_frequency(0, khz=600_000, max_khz=1_000_000, governor="ondemand")
        health = reached.transport.health()
        assert (health.temperature_celsius, health.battery_percent, health.thermal_status) == (61.0, None, None)
        assert (health.governor, health.frequency_khz, health.max_frequency_khz) == ("ondemand", 600_000, 1_000_000)


def test_every_registered_transport_is_tested():
    assert {tests.kind.kind for tests in Conformance.__subclasses__()} == TRANSPORTS.keys()
    for kind in TRANSPORTS.values():
        assert kind.address_field is None or kind.address_field in Device.model_fields


IN_A_GROUP_OF_ITS_OWN = """
import os, subprocess, sys, time
if len(sys.argv) > 2:
    os.setpgid(0, 0)
    with open(sys.argv[1] + ".part", "w") as file:
        file.write(str(os.getpid()))
    os.rename(sys.argv[1] + ".part", sys.argv[1])
    time.sleep(60)
subprocess.run([sys.executable, __file__, sys.argv[1], "child"])
"""


def test_a_program_in_a_group_of_its_own_ends_with_the_one_that_started_it(tmp_path):
    """As coreutils' `timeout` and its child are."""
    marker, script = tmp_path / "pid", tmp_path / "script.py"
    script.write_text(IN_A_GROUP_OF_ITS_OWN)
    assert run_client([sys.executable, str(script), str(marker)], 3.0, "install it").exit_code is None
    pid = int(marker.read_text())
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "it goes on"
        time.sleep(0.05)
