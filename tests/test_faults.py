"""Whatever goes wrong with a device in the middle of a campaign: it goes on, or ends with a name and a reason.

The phone is the real adbd with an arm64 userland, see tests/device_environment.py. After every fault the journal is
whole, nothing is lost but the repetition in hand, and no process is left on the phone.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Thread, Timer

import pytest

from hwnas.campaign.campaign import Campaign, Entry
from hwnas.campaign.journal import Journal
from hwnas.campaign.measurement import Measurement
from hwnas.campaign.progress import CampaignProgress
from hwnas.devices import preconditions
from hwnas.devices.device import Device
from hwnas.errors import HwnasError
from hwnas.runners import native, open_runner, remote
from hwnas.transports.own_folder import NAME
from tests.android.board import Board
from tests.android.phone import Phone
from tests.conftest import ROOT
from tests.device_environment import lacking
from tests.small_models import feature_net, model_bytes

LIMITS = {
    "warmup_runs": 1,
    "warmup_ms": 0,
    "min_runs": 3,
    "max_runs": 3,
    "min_ms": 0,
    "max_ms": 200,
    "drift_limit_percent": 1e6,
}
ONCE = {"visits": 1, "extra_visits": 0, "reference_every": 100}

MISBEHAVIOUR = """#!/system/bin/sh
mv "$0.whole" "$0"
case %s in
crash) kill -SEGV $$ ;;
hang) exec sleep 988 ;;
half) "$0" "$@" | head -c 60 ;;
esac
"""
"""Stands in place of the loader that hwbench is started by; the next start is the real one again."""


def model() -> bytes:
    return model_bytes(feature_net(), ".tflite")


def entries(count: int, model: Callable[[], bytes] = model) -> list[Entry]:
    return [Entry(f"key {number}", f"label {number}", model) for number in range(count)]


class Lab:
    """The emulated phone as a Device, and what can be done to it in the middle of a campaign."""

    def __init__(self, phone: Phone, folder: Path) -> None:
        self.phone, self.journal = phone, folder / "journal.jsonl"
        self.others: list[Thread] = []
        """What happens to the phone meanwhile."""
        self.device = Device.model_validate(
            {"name": "phone", "transport": "adb", "serial": phone.serial} | LIMITS | ONCE
        )

    @property
    def folder(self) -> Path:
        """Where hwnas keeps its files on the phone, as this machine sees it."""
        return self.phone.root / "data/local/tmp/hwnas" / NAME

    def limited(self, **limits: object) -> None:
        self.device = Device.model_validate(self.device.model_dump() | limits)

    def measure(
        self, entries: list[Entry], progress: Callable[[CampaignProgress], None] = lambda _: None
    ) -> dict[str, Measurement]:
        with open_runner(self.device) as runner:
            return Campaign(self.device, runner, self.journal, model(), progress=progress).run(entries)

    def kinds(self) -> Counter[str]:
        """How many records of each kind the journal holds."""
        return Counter(next(iter(record)) for record in self.records())

    def records(self) -> list[dict]:
        return [json.loads(line) for line in self.journal.read_text().splitlines()][1:]

    def misbehave(self, how: str) -> None:
        """The next program that is started on the phone crashes, hangs, or prints half of what it should."""
        (loader,) = self.folder.glob("ld-linux*")
        loader.rename(f"{loader}.whole")
        loader.write_text(MISBEHAVIOUR % how)
        loader.chmod(0o755)

    def leave(self, back_after_s: float) -> None:
        """It is gone from now on, until so many seconds later."""
        self.phone.kill()
        self.others.append(Timer(back_after_s, self.phone.start))
        self.others[-1].start()

    def leave_when_a_model_runs(self, back_after_s: float) -> None:
        """It is gone as soon as hwbench runs there."""

        def watch() -> None:
            while not self.running():
                time.sleep(0.05)
            time.sleep(0.5)
            self.leave(back_after_s)

        self.others.append(Thread(target=watch))
        self.others[-1].start()

    def running(self) -> list[str]:
        """The programs of ours that run there."""
        return [command for command in self.phone.processes() if "hwbench" in command or "sleep 988" in command]

    def check_nothing_runs(self) -> None:
        end = time.monotonic() + 5
        while left := self.running():
            assert time.monotonic() < end, left
            time.sleep(0.1)


@pytest.fixture
def lab(phone: Phone, tmp_path: Path) -> Iterator[Lab]:
    made = Lab(phone, tmp_path)
    yield made
    for other in made.others:
        other.join()
    phone.resume()
    phone.start()
    made.check_nothing_runs()
    if made.journal.is_file():
        header = json.loads(made.journal.read_text().splitlines()[0])
        Journal(made.journal, header["identity"]).close()  # raises if it is not whole
        assert made.journal.read_bytes().endswith(b"\n")


def test_a_campaign_on_a_phone(lab: Lab) -> None:
    found = lab.measure(entries(3))
    assert len(found) == 3 and all(each.runs == 3 and not each.noisy for each in found.values())
    assert lab.kinds() == {"start": 1, "health": 2, "reference": 2, "entry": 3}
    (start,) = (record["start"] for record in lab.records() if "start" in record)
    assert start["battery_percent"] == 90 and start["temperature_celsius"] == 35.0 and start["thermal_status"] == 0
    assert not list(lab.folder.glob("*model-*"))


def test_a_phone_that_is_gone_between_entries_and_comes_back(lab: Lab) -> None:
    def leave_once(progress: CampaignProgress) -> None:
        if progress.done == 2 and not lab.others:
            lab.leave(back_after_s=2.0)

    assert len(lab.measure(entries(4), leave_once)) == 4
    assert lab.kinds()["lost"] >= 1 and lab.kinds()["entry"] == 4


def test_a_phone_that_is_gone_while_a_model_runs_and_comes_back(lab: Lab) -> None:
    lab.limited(min_ms=1500, max_ms=2000, max_runs=100_000)

    def leave_soon() -> bytes:
        if not lab.others:
            lab.leave_when_a_model_runs(back_after_s=1.0)
        return model()

    assert len(lab.measure(entries(2, leave_soon))) == 2
    assert lab.kinds()["lost"] == 1 and lab.kinds()["entry"] == 2


def test_a_phone_that_does_not_come_back_ends_it_and_the_next_process_goes_on(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave_for_good(progress: CampaignProgress) -> None:
        if progress.done == 2 and not progress.waiting:
            lab.phone.kill()

    with monkeypatch.context() as patch:
        patch.setattr(native.NativeRunner, "reconnect", lambda runner: runner.transport.reconnect(2.0))
        stopped = r"measuring stopped at the entry label \d \(key \d\): .*All measurements so far are kept"
        with pytest.raises(HwnasError, match=stopped):
            lab.measure(entries(4), leave_for_good)
    assert lab.kinds()["entry"] == 2
    lab.phone.start()
    assert len(lab.measure(entries(4))) == 4
    assert lab.kinds()["entry"] == 4


def test_a_phone_that_hangs_for_a_while(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "START_S", 1.5)

    def hang_once(progress: CampaignProgress) -> None:
        if progress.done == 1 and not lab.others:
            lab.phone.stop()
            lab.others.append(Timer(4.0, lab.phone.resume))
            lab.others[-1].start()

    assert len(lab.measure(entries(3), hang_once)) == 3
    assert lab.kinds()["entry"] == 3


def test_a_full_phone_ends_it_and_with_room_it_goes_on(lab: Lab) -> None:
    lab.phone.small_disk(32 * 2**20)
    filler = lab.phone.root / "data/local/tmp/filler"

    def fill(progress: CampaignProgress) -> None:
        if progress.done == 2:
            with suppress(OSError), filler.open("wb", buffering=0) as file:
                while file.write(bytes(4096)):
                    pass

    with pytest.raises(HwnasError, match=r"measuring stopped at the entry label \d \(key \d\): .*are kept"):
        lab.measure(entries(3), fill)
    assert lab.kinds()["entry"] == 2
    filler.unlink()
    assert len(lab.measure(entries(3))) == 3


def test_a_program_that_misbehaves_once_is_started_again(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "START_S", 1.5)
    pending = {"crash", "half", "hang"}

    def misbehave_once(how: str) -> bytes:
        if how in pending:
            lab.misbehave(how)
        pending.discard(how)
        return model()

    bad = [Entry(how, f"block that makes it {how} once", partial(misbehave_once, how)) for how in sorted(pending)]
    assert len(lab.measure([*bad, *entries(1)])) == 4
    assert not pending
    assert lab.kinds()["entry"] == 4 and lab.kinds()["failed"] == 0
    assert lab.kinds()["lost"] == 1  # after the hang it was made sure that the phone answers


def test_models_with_which_it_always_misbehaves_are_named_and_the_others_are_measured(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "START_S", 1.5)
    reasons = {"crash": "ended by SIGSEGV", "half": "report is not whole", "hang": "was still running"}

    def misbehave(how: str) -> bytes:
        lab.misbehave(how)
        return model()

    bad = [Entry(f"bad {how}", f"block that makes it {how}", partial(misbehave, how)) for how in reasons]
    with pytest.raises(HwnasError, match=r"cannot measure the entry block that .* All others are measured and kept"):
        lab.measure([*bad, *entries(2)])
    failed = {record["failed"]: record["reason"] for record in lab.records() if "failed" in record}
    assert failed.keys() == {entry.key for entry in bad}
    assert all(reasons[key.removeprefix("bad ")] in reason for key, reason in failed.items()), failed
    assert lab.kinds()["entry"] == 2
    mended = [Entry(entry.key, entry.label, model) for entry in bad]
    assert len(lab.measure([*mended, *entries(2)])) == 5
    assert lab.kinds()["entry"] == 5


def test_a_corrupt_model_is_named_and_the_others_are_measured(lab: Lab) -> None:
    bad = Entry("key bad", "a bad block", lambda: model()[:-200])
    with pytest.raises(HwnasError, match=r"cannot measure the entry a bad block \(key bad\): .* damaged .* and kept"):
        lab.measure([*entries(2), bad])
    assert lab.kinds()["entry"] == 2


def test_a_phone_of_another_kind_is_refused_at_once(lab: Lab) -> None:
    program = lab.phone.root / "system/bin/uname"
    whole = program.read_text()
    program.write_text('#!/system/bin/sh\n[ "$1" = -m ] && echo armv7l || echo Linux\n')
    try:
        with pytest.raises(HwnasError, match="armv7l"):
            lab.measure(entries(1))
    finally:
        program.write_text(whole)
    assert not lab.journal.exists()


def test_a_low_battery_stops_it_and_once_charged_it_goes_on(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preconditions, "READ_EVERY_S", 0.05)
    lab.limited(min_battery_percent=20, max_wait_s=0.2)

    def drain(progress: CampaignProgress) -> None:
        if progress.done == 2:
            lab.phone.set_battery(percent=15)

    with pytest.raises(HwnasError, match=r"not fit to be measured for 0.2 s: the battery holds 15 %, below 20 %"):
        lab.measure(entries(3), drain)
    assert lab.kinds()["entry"] == 2
    lab.phone.set_battery(percent=80)
    assert len(lab.measure(entries(3))) == 3


def test_a_phone_that_is_throttled_meanwhile_is_measured_again(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preconditions, "READ_EVERY_S", 0.0)
    lab.limited(visits=1, extra_visits=1)

    def heat(progress: CampaignProgress) -> None:
        lab.phone.set_thermal_status(2 if progress.done == 1 else 0)

    found = lab.measure(entries(2), heat)
    assert lab.kinds()["entry"] == 3  # it grew hot during the first repetition, and stayed as it was during the others
    assert not any(each.noisy for each in found.values())


def test_a_board_that_is_gone_between_entries_and_comes_back(board: Board, tmp_path: Path) -> None:
    device = Device.model_validate({"name": "board", "transport": "ssh", "host": board.host} | LIMITS | ONCE)
    back = Timer(2.0, board.start)

    def leave_once(progress: CampaignProgress) -> None:
        if progress.done == 1 and back.ident is None:
            board.kill()
            back.start()

    with open_runner(device) as runner:
        found = Campaign(device, runner, tmp_path / "journal", model(), progress=leave_once).run(entries(3))
    back.join()
    assert len(found) == 3 and '{"lost": ' in (tmp_path / "journal").read_text()
    assert not [command for command in board.processes() if "hwbench" in command]


def test_a_second_campaign_is_refused_and_the_first_goes_on(lab: Lab, tmp_path: Path) -> None:
    refused = []

    def second(progress: CampaignProgress) -> None:
        with pytest.raises(HwnasError, match="is in use: another process measures on it"), open_runner(lab.device):
            pass
        refused.append(progress.done)

    assert len(lab.measure(entries(2), second)) == 2
    assert refused == [1, 2]


KILLED = """
import sys
from pathlib import Path
from tests.test_faults import Lab, entries

class Android:
    serial = sys.argv[1]

lab = Lab(Android, Path(sys.argv[2]))
lab.measure(entries(10), lambda progress: print(progress.done, flush=True))
"""


def test_a_killed_hwnas_leaves_nothing_behind_for_the_next_one(lab: Lab, tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, lab.device.serial, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert [int(line) for line, _ in zip(process.stdout, range(2), strict=False)] == [1, 2]
        time.sleep(0.2)  # in the middle of a repetition
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert 2 <= lab.kinds()["entry"] < 10
    assert len(lab.measure(entries(10))) == 10
    assert lab.kinds()["entry"] == 10 and lab.kinds()["start"] == 2
    assert not list(lab.folder.glob("*model-*"))


WHILE_THE_CLOCK_JUMPS = """
import sys
from datetime import date
from pathlib import Path
from hwnas.campaign.campaign import Campaign
from hwnas.devices.device import Device
from hwnas.runners import open_runner
from tests.test_faults import entries, model

device = Device.model_validate_json(Path(sys.argv[1]).read_text())
seen = lambda _: print(date.today().year, flush=True)
with open_runner(device) as runner:
    Campaign(device, runner, Path(sys.argv[2]), model(), progress=seen).run(entries(12))
"""


@pytest.mark.weekly
def test_the_clock_is_set_back_and_forth(lab: Lab, tmp_path: Path) -> None:
    """The clock of the machine that measures: no duration and no time limit follows it."""
    compiler = shutil.which("cc")
    if compiler is None:
        lacking("there is no C compiler to make a clock that jumps")
    library, device, clock = tmp_path / "clock.so", tmp_path / "device.json", tmp_path / "clock"
    source = Path(__file__).parent / "jumping_clock.c"
    subprocess.run([str(compiler), "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    device.write_text(lab.device.model_dump_json())
    clock.write_text("0")
    process = subprocess.Popen(
        [sys.executable, "-c", WHILE_THE_CLOCK_JUMPS, str(device), str(lab.journal)],
        env=os.environ | {"LD_PRELOAD": str(library), "CLOCK_JUMP_FILE": str(clock)},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    begin = time.monotonic()
    for jump in itertools.cycle(["-400000000", "400000000"]):
        clock.write_text(jump)
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.1)
            break
    printed, said = process.communicate()
    assert process.returncode == 0, said
    assert len(set(printed.split())) >= 2, "the clock never jumped between two repetitions"
    runs_us = [run for record in lab.records() if "entry" in record for run in record["runs_us"]]
    assert lab.kinds()["entry"] == 12 and not lab.kinds()["failed"] and not lab.kinds()["lost"]
    assert 0 < min(runs_us) <= max(runs_us) < 1e6 * (time.monotonic() - begin)
    assert lab.phone.processes() == []
