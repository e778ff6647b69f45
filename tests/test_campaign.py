"""Campaigns with a real runtime: what is timed, what is repeated, and what survives an end in the middle."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from hwnas.campaign.campaign import Campaign, Entry
from hwnas.campaign.journal import Journal, ReferenceRecord, RepetitionRecord, StartRecord
from hwnas.campaign.measurement import Measurement
from hwnas.campaign.progress import CampaignProgress
from hwnas.devices.device import Device
from hwnas.errors import HwnasError, UsageError
from hwnas.runners.in_process import InProcessRunner
from hwnas.runtimes import get_runtime
from hwnas.transports.base import Health
from tests.small_models import feature_net, model_bytes

QUICK = {"warmup_runs": 1, "warmup_ms": 0, "min_runs": 6, "max_runs": 6, "min_ms": 0, "drift_limit_percent": 1e6}
"""Six runs a repetition, and a limit on drift that no busy machine reaches: these tests are of logic, not of speed."""


class Counted:
    """Entries over one small model, which count how often each was converted."""

    def __init__(self, count: int) -> None:
        self.model = model_bytes(feature_net(), ".tflite")
        self.converted: list[str] = []
        self.entries = [Entry(f"key {n}", f"label {n}", lambda n=n: self._convert(f"key {n}")) for n in range(count)]

    def _convert(self, key: str) -> bytes:
        self.converted.append(key)
        return self.model


def campaign(path: Path, counted: Counted, *, limits: dict[str, Any] | None = None, **options: Any) -> Campaign:
    device = Device.model_validate({"name": "test"} | QUICK | (limits or {}))
    runner = InProcessRunner(device, get_runtime("litert"))
    return Campaign(device, runner, path, counted.model, **options)


def measured(path: Path, counted: Counted, **options: Any) -> dict[str, Measurement]:
    """The Measurements of a campaign in one go."""
    return campaign(path, counted, **options).run(counted.entries)


def journaled(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()][1:]


def repeated(path: Path) -> list[str]:
    return [record["entry"] for record in journaled(path) if "entry" in record]


def test_every_entry_gets_its_repetitions_and_a_measurement(tmp_path: Path) -> None:
    counted = Counted(7)
    ran = campaign(tmp_path / "j", counted)
    measurements = ran.run(counted.entries)
    assert list(measurements) == [entry.key for entry in counted.entries]
    assert all(len(m.runs_us) == 2 and m.runs == 12 and m.median_ms > 0 for m in measurements.values())
    assert all(m.drift_percent is not None and not m.noisy for m in measurements.values())
    assert Counter(counted.converted) == Counter({entry.key: 2 for entry in counted.entries})
    assert (ran.summary.visits_measured, ran.summary.visits_reused) == (14, 0)
    assert 0 < ran.summary.inference_s < ran.summary.seconds
    assert ran.summary.drift_min_percent <= 0 <= ran.summary.drift_max_percent
    assert ran.summary.to_json()["inference_share"] == ran.summary.inference_share


def test_order_is_random_repeatable_and_in_rounds(tmp_path: Path) -> None:
    orders = []
    for number, seed in enumerate([0, 0, 1]):
        measured(tmp_path / str(number), Counted(8), seed=seed)
        orders.append(repeated(tmp_path / str(number)))
    assert orders[0] == orders[1] != orders[2]
    first, second = orders[0][:8], orders[0][8:]
    assert sorted(first) == sorted(second) and first != second and first != sorted(first)


def test_reference_is_timed_before_between_and_after(tmp_path: Path) -> None:
    measured(tmp_path / "j", Counted(5), limits={"reference_every": 4})
    kinds = [next(iter(record))[0] for record in journaled(tmp_path / "j")]
    assert "".join(kind for kind in kinds if kind != "h") == "sreeeereeeereer"
    assert kinds[1] == kinds[-1] == "h"  # how the machine was, from the beginning to the end


def test_a_finished_campaign_measures_nothing_again(tmp_path: Path) -> None:
    counted = Counted(3)
    first = measured(tmp_path / "j", counted)
    lines = journaled(tmp_path / "j")
    again = campaign(tmp_path / "j", counted)
    assert again.run(counted.entries) == first
    assert (again.summary.visits_measured, again.summary.visits_reused, again.summary.entries_measured) == (0, 6, 0)
    assert len(counted.converted) == 6 and journaled(tmp_path / "j") == lines


def test_new_entries_join_an_old_journal(tmp_path: Path) -> None:
    measured(tmp_path / "j", Counted(2))
    counted = Counted(3)
    wider = campaign(tmp_path / "j", counted)
    assert len(wider.run(counted.entries)) == 3 and set(counted.converted) == {"key 2"}
    assert wider.summary.entries_measured == 1


def test_repetitions_beside_a_drifted_reference_are_made_again(tmp_path: Path) -> None:
    """A journal with known measurements of another reference: the last two are 20 times the usual latency."""
    counted = Counted(3)
    ran = campaign(tmp_path / "j", counted, limits={"drift_limit_percent": 1500})
    references_us = [100.0, 100.0, 100.0, 100.0, 100.0, 2000.0, 2000.0]
    with Journal(tmp_path / "j", ran.conditions.identity) as journal:
        journal.append(StartRecord({}))
        for reference_us, key in zip(references_us, [0, 1, 2, 0, 1, 2, None], strict=True):
            journal.append(ReferenceRecord("another", (reference_us,)))
            if key is not None:
                journal.append(RepetitionRecord(entry=f"key {key}", runs_us=(50.0,)))
    measurements = ran.run(counted.entries)
    assert sorted(counted.converted) == ["key 1", "key 2"]
    assert measurements["key 0"] == Measurement(((50.0,), (50.0,)), drift_percent=0.0)
    assert [len(m.runs_us) for m in measurements.values()] == [2, 2, 2]


def test_repeating_is_bounded_and_what_is_left_is_marked(tmp_path: Path) -> None:
    """No two reference measurements agree to a millionth: every repetition counts as disturbed."""
    counted = Counted(3)
    limits = {"drift_limit_percent": 1e-6, "extra_visits": 3, "max_runs": 7, "reference_every": 1}
    measurements = measured(tmp_path / "j", counted, limits=limits)
    assert max(Counter(counted.converted).values()) == 5
    assert any(m.noisy for m in measurements.values())
    assert all(len(m.runs_us) == 2 for m in measurements.values())


def test_a_campaign_measures_in_rounds_with_one_load_of_the_reference(tmp_path: Path) -> None:
    counted = Counted(5)
    ran = campaign(tmp_path / "j", counted)
    with ran:
        first = ran.measure(counted.entries[:2])
        both = ran.measure(counted.entries)
    assert list(first) == ["key 0", "key 1"] and list(both) == [entry.key for entry in counted.entries]
    assert both["key 0"].runs == first["key 0"].runs
    assert (ran.summary.visits_measured, ran.summary.visits_reused, ran.summary.entries_measured) == (10, 0, 5)
    assert sum("start" in record for record in journaled(tmp_path / "j")) == 1
    again = campaign(tmp_path / "j", counted)
    with again:
        again.measure(counted.entries[:1])
        again.measure(counted.entries[:3])
    assert (again.summary.visits_measured, again.summary.visits_reused) == (0, 6)


def test_progress_tells_how_far_it_is(tmp_path: Path) -> None:
    seen: list[CampaignProgress] = []
    measured(tmp_path / "j", Counted(3), progress=seen.append)
    assert [(p.done, p.total) for p in seen] == [(n, 6) for n in range(1, 7)]
    assert seen[0].label.startswith("label ") and seen[0].eta_s > 0 and seen[-1].eta_s == 0


def test_ctrl_c_keeps_every_finished_repetition(tmp_path: Path) -> None:
    counted = Counted(3)

    def interrupt(progress: CampaignProgress) -> None:
        if progress.done == 4:
            signal.raise_signal(signal.SIGINT)

    interrupted = campaign(tmp_path / "j", counted, progress=interrupt)
    with pytest.raises(KeyboardInterrupt):
        interrupted.run(counted.entries)
    assert interrupted.summary.visits_measured == 4
    resumed = campaign(tmp_path / "j", counted)
    assert len(resumed.run(counted.entries)) == 3
    assert (resumed.summary.visits_measured, resumed.summary.visits_reused) == (2, 4)
    assert Counter(repeated(tmp_path / "j")) == {"key 0": 2, "key 1": 2, "key 2": 2}


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_killed_campaign_measures_only_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "j"
    code = f"""
from pathlib import Path
from tests.test_campaign import Counted, measured
measured(Path({str(path)!r}), Counted(20), progress=lambda p: print(p.done, flush=True))
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=_root()) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= 5:
                process.kill()
                break
    assert process.returncode == -signal.SIGKILL
    whole = path.read_bytes().rpartition(b"\n")[0].splitlines()[1:]
    finished = sum("entry" in json.loads(line) for line in whole)
    assert 5 <= finished < 40
    with path.open("ab") as file:  # and the machine lost the end of what it was writing
        file.write(b'{"entry": "key 3", "runs_us": [1')
    counted = Counted(20)
    resumed = campaign(path, counted)
    resumed.run(counted.entries)
    assert len(counted.converted) == 40 - finished == resumed.summary.visits_measured
    assert Counter(repeated(path)) == {entry.key: 2 for entry in counted.entries}


def _root() -> Path:
    return Path(__file__).resolve().parent.parent


def test_an_entry_that_cannot_be_made_is_named_and_the_rest_is_kept(tmp_path: Path) -> None:
    counted = Counted(2)

    def fail() -> bytes:
        raise ValueError("no lowering for Conv3d")

    counted.entries.append(Entry("key bad", "a bad block", fail))
    with pytest.raises(HwnasError, match=r"cannot measure the entry a bad block \(key bad\): no lowering for Conv3d"):
        measured(tmp_path / "j", counted)
    counted.entries[-1] = Entry("key bad", "a bad block", lambda: b"no model at all")
    with pytest.raises(HwnasError, match=r"a bad block \(key bad\): the model given as 15 bytes is not a TFLite model"):
        measured(tmp_path / "j", counted)
    assert Counter(repeated(tmp_path / "j")) == {"key 0": 2, "key 1": 2}
    counted.entries.pop()
    measured(tmp_path / "j", counted)
    assert len(counted.converted) == 4


def test_entries_that_cannot_be_measured_are_journaled_and_tried_again_the_next_time(tmp_path: Path) -> None:
    counted = Counted(3)
    broken = [Entry(f"bad {n}", f"broken {n}", lambda: b"no model at all") for n in range(7)]
    ran = campaign(tmp_path / "j", counted)
    with ran:
        found = ran.measure([*broken, *counted.entries])
        assert ran.measure([*broken, *counted.entries]) == found  # given up until the journal is opened again
        assert list(found) == ["key 0", "key 1", "key 2"] and ran.failures.keys() == {e.key for e in broken}
        with pytest.raises(HwnasError, match=r"cannot measure the entry broken \d \(bad \d\): .*and 4 more.* and kept"):
            ran.raise_failures()
    failed = [record for record in journaled(tmp_path / "j") if "failed" in record]
    assert sorted(record["failed"] for record in failed) == [entry.key for entry in broken]
    assert all("is not a TFLite model" in record["reason"] for record in failed)
    mended = [Entry(entry.key, entry.label, lambda: counted.model) for entry in broken]
    again = campaign(tmp_path / "j", counted)
    assert len(again.run([*mended, *counted.entries])) == 10 and again.summary.entries_measured == 7


class Watched(InProcessRunner):
    """This machine, except that it tells what its health is to be."""

    def __init__(self, device: Device, **told: list[Any]) -> None:
        super().__init__(device, get_runtime("litert"))
        self.told = told

    def health(self) -> Health:
        now = {name: values.pop(0) if len(values) > 1 else values[0] for name, values in self.told.items()}
        return replace(super().health(), **now)


def watched(path: Path, counted: Counted, limits: dict[str, Any] | None = None, **told: list[Any]) -> Campaign:
    ran = campaign(path, counted, limits=limits)
    ran.runner = Watched(ran.device, **told)
    return ran


def test_a_device_that_is_throttled_meanwhile_is_measured_again(tmp_path: Path) -> None:
    """At the beginning it runs at full speed, after the first pass at half of it, then fully again."""
    counted = Counted(3)
    measurements = watched(tmp_path / "j", counted, max_frequency_khz=[2_000, 1_000, 2_000]).run(counted.entries)
    assert Counter(counted.converted) == {entry.key: 4 for entry in counted.entries}
    assert all(len(m.runs_us) == 2 and m.noisy for m in measurements.values())  # the second pass began throttled


def test_a_hot_device_is_waited_for_before_anything_is_measured(tmp_path: Path) -> None:
    counted = Counted(1)
    seen: list[CampaignProgress] = []
    ran = watched(
        tmp_path / "j", counted, {"max_temperature_celsius": 45.0, "max_wait_s": 0.05}, temperature_celsius=[60.0]
    )
    ran.progress = seen.append
    with pytest.raises(HwnasError, match=r"was not fit to be measured for 0\.05 s: the CPU is at 60 C, above 45 C"):
        ran.run(counted.entries)
    assert repeated(tmp_path / "j") == [] and {p.text for p in seen} == {"waiting: the CPU is at 60 C, above 45 C"}
    ran = watched(tmp_path / "j", counted, {"max_temperature_celsius": 45.0}, temperature_celsius=[40.0])
    ran.progress = seen.append
    assert len(ran.run(counted.entries)) == 1  # a limit is no condition: the journal goes on
    assert "label 0, 40 C, drift" in seen[-1].text


def test_a_device_that_was_started_again_is_noted(tmp_path: Path) -> None:
    counted = Counted(1)
    watched(tmp_path / "j", counted, uptime_s=[500.0, 20.0]).run(counted.entries)
    health = [record for record in journaled(tmp_path / "j") if "health" in record]
    assert [record.get("restarted", False) for record in health] == [False, True]
    assert health[0]["health"].keys() == {each.name for each in fields(Health)}


def test_repetitions_are_apart_as_the_device_asks(tmp_path: Path) -> None:
    counted = Counted(2)
    ran = campaign(tmp_path / "j", counted, limits={"cool_down_s": 0.1})
    ran.run(counted.entries)
    assert ran.summary.seconds >= 4 * 0.1


def test_nothing_that_measures_reads_a_clock_that_can_be_set() -> None:
    """Durations come from clocks that only go forward; the date is for people, and stands in the conditions alone."""
    settable = {"time.time", "time.time_ns", "datetime.now", "datetime.today", "date.today", "datetime.utcnow"}
    found = []
    rooms = ("runtimes", "transports", "native", "devices", "runners", "campaign", "latency/measuring")
    for path in sorted(path for room in rooms for path in (_root() / "hwnas" / room).rglob("*.py")):
        tree = ast.parse(path.read_text())
        names = {
            a.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module == "time" for a in n.names
        }
        calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        found += [path.name] if calls & settable or names & {"time", "time_ns"} else []
    assert found == ["conditions.py"]


def test_a_machine_without_memory_stops_at_once(tmp_path: Path) -> None:
    def fail() -> bytes:
        raise MemoryError

    ran = campaign(tmp_path / "j", Counted(0))
    with pytest.raises(HwnasError, match=r"stopped at the entry a huge block \(key 0\): memory ran out\. .* are kept"):
        ran.run([Entry("key 0", "a huge block", fail)])


def test_a_broken_reference_is_named(tmp_path: Path) -> None:
    counted = Counted(1)
    ran = campaign(tmp_path / "j", counted)
    ran.reference = counted.model[:100]
    with pytest.raises(HwnasError, match=r"cannot measure the reference model: .* truncated"):
        ran.run(counted.entries)


def test_conditions_of_an_earlier_process_must_match(tmp_path: Path) -> None:
    measured(tmp_path / "j", Counted(1))
    with pytest.raises(HwnasError, match="threads: 1 in the journal, 2 now"):
        measured(tmp_path / "j", Counted(1), limits={"threads": 2})


@pytest.mark.skipif(not hasattr(psutil.Process, "cpu_affinity"), reason="this system cannot pin processes")
def test_cores_are_those_of_the_device_while_it_measures(tmp_path: Path) -> None:
    counted = Counted(1)
    before = os.sched_getaffinity(0)
    core = max(before)
    seen: list[set[int]] = []
    limits = {"cores": [core]}
    ran = campaign(tmp_path / "j", counted, limits=limits, progress=lambda _: seen.append(os.sched_getaffinity(0)))
    with ran.runner:
        ran.run(counted.entries)
    assert seen == [{core}, {core}]
    assert os.sched_getaffinity(0) == before


def test_a_record_that_someone_edited_is_named(tmp_path: Path) -> None:
    counted = Counted(1)
    ran = campaign(tmp_path / "j", counted)
    ran.run(counted.entries)
    with (tmp_path / "j").open("a") as file:
        file.write('{"reference": "without runs"}\n{"lost": "and more"}\n')
    number = len((tmp_path / "j").read_text().splitlines()) - 1
    with pytest.raises(HwnasError, match=rf"j, line {number}, is damaged: runs_us is missing; delete that line"):
        ran.run(counted.entries)


def test_keys_must_differ_and_nothing_to_measure_is_no_error(tmp_path: Path) -> None:
    counted = Counted(1)
    counted.entries *= 2
    with pytest.raises(UsageError, match="a key of its own; repeated: key 0"):
        measured(tmp_path / "j", counted)
    assert measured(tmp_path / "j", Counted(0)) == {}
