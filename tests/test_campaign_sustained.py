"""Sustained speed: on a phone whose heat is scripted, on this machine, and as figures of known samples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hwnas.campaign import sustained
from hwnas.campaign.sustained import Sample, Sustained, read_sustained, sustain
from hwnas.devices.device import Device
from hwnas.errors import HwnasError
from hwnas.files import check_ours
from hwnas.report.console import CONSOLE
from hwnas.report.sparkline import BLOCKS, sparkline
from hwnas.report.sustained_table import series
from hwnas.runners.in_process import InProcessModel, InProcessRunner
from hwnas.runtimes import get_runtime
from tests.commands import completed
from tests.small_models import feature_net, model_bytes

STAND_IN = Path(__file__).parent / "benchmark_model_stand_in.sh"


def watched(*ms: float) -> Sustained:
    samples = tuple(Sample(at_s=10.0 * (place + 1), ms=each) for place, each in enumerate(ms))
    return Sustained(model="m.tflite", minutes=1, samples=samples, conditions={"identity": {}, "circumstances": {}})


def test_the_last_third_is_sustained_and_the_first_samples_are_what_it_is_compared_with() -> None:
    found = watched(10, 11, 10, 12, 13, 14, 15, 15, 16)
    assert (found.first_ms, found.sustained_ms) == (10, 15)
    assert found.slowdown == 1.5
    assert watched(10).slowdown == 1


def test_a_line_of_blocks_goes_from_low_to_high(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sparkline([1, 2, 3, 4, 5, 6, 7, 8]) in (BLOCKS, "_.-=+*%#")
    assert len(sparkline(list(range(1000)))) == 48
    assert len(set(sparkline([5.0, 5.0]))) == 1
    monkeypatch.setattr(type(CONSOLE), "encoding", "ascii")
    assert sparkline([1, 2, 3, 4, 5, 6, 7, 8]).isascii()


def test_a_phone_that_grows_hot_and_slow_is_seen_to_and_ctrl_c_keeps_what_was_measured(
    phone: Any, tmp_path: Path
) -> None:
    """The phone's program takes the longer, the hotter the phone is; after three samples it is twice as hot."""
    text = STAND_IN.read_text()
    (tmp_path / "program").write_text(
        text.replace("us=$((size * 10", "us=$((size * $(cat /sys/class/thermal/thermal_zone0/temp) / 3500")
    )
    (tmp_path / "model.tflite").write_bytes(model_bytes(feature_net(), ".tflite"))
    device = Device(
        name="hot", transport="adb", serial=phone.serial, benchmark_model=str(tmp_path / "program"), cores=(0,)
    )
    kept: list[Sustained] = []
    phone.set_temperature(35.0)

    def progress(*_: object) -> None:
        if len(kept) == 3:
            phone.set_temperature(70.0)
            phone.set_frequency(0, max_khz=900_000)
        if len(kept) == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sustain(tmp_path / "model.tflite", device, "benchmark-model", 10, kept.append, progress)
    found = kept[-1]
    assert [each.temperature_celsius for each in found.samples] == [35.0] * 3 + [70.0] * 6
    assert found.slowdown == pytest.approx(2.0, rel=0.01)
    limits = series(found)["GHz allowed"]
    assert limits[0] > limits[-1] == 0.9


def test_a_model_stays_on_the_device_while_it_is_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device rests, and cools, while it is brought there anew."""
    loads: list[object] = []

    class Counted(InProcessRunner):
        def load(self, model: bytes | Path) -> InProcessModel:
            loads.append(model)
            return super().load(model)

    monkeypatch.setattr(sustained, "is_in_process", lambda device, runtime: False)
    monkeypatch.setattr(sustained, "open_runner", lambda device, runtime: Counted(device, get_runtime(runtime)))
    (tmp_path / "model.tflite").write_bytes(model_bytes(feature_net(), ".tflite"))
    found = sustain(tmp_path / "model.tflite", Device(name="here", warmup_ms=0, min_ms=10, max_ms=50), "litert", 0.02)
    assert len(found.samples) > 3 and len(loads) == 1


def test_what_was_watched_is_written_with_a_picture_and_read_again(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pictures need matplotlib")
    (tmp_path / "model.tflite").write_bytes(model_bytes(feature_net(), ".tflite"))
    out = tmp_path / "sustained.json"
    done = completed("bench", tmp_path / "model.tflite", "--minutes", 0.005, "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    found = read_sustained(out)
    assert told["slowdown"] == found.slowdown and len(told["samples"]) == len(found.samples) >= 1
    assert (tmp_path / "sustained.png").read_bytes().startswith(b"\x89PNG") and told["picture"].endswith(".png")
    check_ours(tmp_path / "sustained.png")  # may be replaced
    (tmp_path / "holiday.png").write_bytes(b"\x89PNG of somebody")
    done = completed("bench", tmp_path / "model.tflite", "--minutes", 0.005, "--out", tmp_path / "holiday.json")
    assert done.returncode == 1 and "was not written by" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--minutes", "0"), "more than 0 minutes"),
        (("--minutes", "1", "--timeout-s", "3"), "--timeout-s is not for --minutes"),
        (("--operators", "--timeout-s", "3"), "--timeout-s is not for --operators"),
        (("--minutes", "nan"), "more than 0 minutes"),
        (("--minutes", "1", "--out", "samples.txt"), "ends in .json"),
        (("--out", "samples.json"), "--out is for the samples of --minutes"),
    ],
)
def test_what_cannot_be_watched_is_refused(tmp_path: Path, options: tuple[str, ...], told: str) -> None:
    (tmp_path / "model.tflite").write_bytes(model_bytes(feature_net(), ".tflite"))
    done = completed("bench", tmp_path / "model.tflite", *options)
    assert done.returncode == 2 and told in " ".join(done.stderr.split())


def test_a_file_that_holds_something_else_is_no_sustained_speed(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text('{"samples": []}')
    with pytest.raises(HwnasError, match=r"the sustained speed .*other.json: .*hwnas bench MODEL --minutes"):
        read_sustained(tmp_path / "other.json")


def test_samples_out_of_order_are_refused_since_the_last_ones_are_what_is_kept_up(tmp_path: Path) -> None:
    samples = [{"at_s": at_s, "ms": 1.0} for at_s in (60.0, 180.0, 120.0)]
    conditions = {"identity": {}, "circumstances": {}}
    written = {"model": "m", "minutes": 3.0, "samples": samples, "conditions": conditions}
    (tmp_path / "s.json").write_text(json.dumps(written))
    with pytest.raises(HwnasError, match="samples: at_s must not fall"):
        read_sustained(tmp_path / "s.json")
    (tmp_path / "s.json").write_text(json.dumps(written | {"samples": samples[:2], "conditions": {"identity": {}}}))
    with pytest.raises(HwnasError, match="conditions: must hold identity and circumstances"):
        read_sustained(tmp_path / "s.json")
