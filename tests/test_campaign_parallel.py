"""Campaigns on several devices in parallel: real ones, in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from hwnas.campaign.parallel import measure_in_parallel
from hwnas.campaign.progress import CampaignProgress
from hwnas.devices.device import Device
from hwnas.errors import HwnasError, UsageError
from hwnas.latency.measuring.measure import measure
from hwnas.latency.measuring.table_campaign import SpaceTable
from hwnas.latency.tables.table import LatencyTable
from hwnas.spaces import get_space
from tests.conftest import ROOT
from tests.weekly import weekly_except

SPACE = get_space("tiny", resolution=16, width=0.25)


def device(name: str) -> Device:
    limits = {"warmup_ms": 0, "min_ms": 1, "min_runs": 5, "visits": 1, "extra_visits": 0, "drift_limit_percent": 1e6}
    return Device.model_validate({"name": name} | limits)


def crash(device: Device, progress: object) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def test_one_failure_does_not_stop_the_other(tmp_path: Path) -> None:
    seen: list[tuple[str, CampaignProgress]] = []
    work = partial(measure, SPACE, runtime="litert", tables=tmp_path, networks=3)
    file = tmp_path / "two.toml"
    file.write_text('name = "two"\nbatch = 2\n')
    outcomes = measure_in_parallel([device("one"), file], work, lambda name, now: seen.append((name, now)))
    assert list(outcomes) == ["one", "two"]
    assert isinstance(outcomes["one"], SpaceTable) and outcomes["one"].measured == 29
    assert not LatencyTable.load(tmp_path / "one" / "litert").missing(SPACE)
    assert isinstance(outcomes["two"], HwnasError) and "batch = 2" in str(outcomes["two"])
    assert {name for name, _ in seen} == {"one"}
    assert [now.done for _, now in seen] == list(range(1, 30)) and seen[-1][1].total == 29


def test_a_process_that_dies_is_one_clear_failure() -> None:
    outcomes = measure_in_parallel(["local"], crash, lambda *_: None)
    assert list(outcomes) == ["local"] and "ended without a result" in str(outcomes["local"])


def test_two_campaigns_of_one_name_are_refused() -> None:
    with pytest.raises(UsageError, match="named twice: one"):
        measure_in_parallel([device("one"), device("two"), device("one")], crash, lambda *_: None)


MANY = """
import os
from functools import partial
from pathlib import Path
from hwnas.campaign.parallel import measure_in_parallel
from hwnas.latency.measuring.measure import measure
from tests.test_campaign_parallel import SPACE, device

if __name__ == "__main__":
    print(os.getpid(), flush=True)
    work = partial(measure, SPACE, runtime="litert", tables=Path({tables!r}), networks=300)
    devices = [device("one").model_copy(update={{"min_ms": 50.0}}), device("two").model_copy(update={{"min_ms": 50.0}})]
    measure_in_parallel(devices, work, lambda name, now: print(name, now.done, flush=True))
"""


@pytest.mark.parametrize("how", weekly_except([signal.SIGKILL], [signal.SIGINT, signal.SIGKILL]))
def test_whatever_ends_the_command_ends_the_campaigns_too(tmp_path: Path, how: signal.Signals) -> None:
    script = tmp_path / "many.py"
    script.write_text(MANY.format(tables=str(tmp_path / "tables")))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        names: set[str] = set()
        while not {"one", "two"} <= names and (line := process.stdout.readline()):
            names.add(line.split()[0])
        assert {"one", "two"} <= names
        process.send_signal(how)
        process.wait(60)
    journals = [tmp_path / "tables" / name / "litert" / "journal.jsonl" for name in ("one", "two")]
    assert all(journal.is_file() for journal in journals)
    deadline = time.monotonic() + 20
    while (before := [journal.stat().st_size for journal in journals]) and time.monotonic() < deadline:
        time.sleep(1)
        if before == [journal.stat().st_size for journal in journals]:
            return
    pytest.fail("a campaign goes on")
