"""The RetryingRunner on a real runtime with faults put in its way: what it tries again, gives up, and leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwnas.devices.device import Device
from hwnas.errors import HwnasError
from hwnas.runners.in_process import InProcessModel, InProcessRunner
from hwnas.runners.retrying import RetryingRunner, Unmeasurable
from hwnas.runners.timing import open_session
from hwnas.runtimes import get_runtime
from hwnas.transports.base import DeviceError, DeviceFull, DeviceLost, DeviceTimeout
from tests.small_models import feature_net, model_bytes

DEVICE = Device(name="test", warmup_runs=1, warmup_ms=0, min_runs=6, max_runs=6, min_ms=0)


class Faulty(InProcessRunner):
    """Fails with these errors in turn, one for each model that is brought to it; then all is well."""

    def __init__(self, *faults: Exception, comes_back: bool = True) -> None:
        super().__init__(DEVICE, get_runtime("litert"))
        self.faults, self.comes_back = list(faults), comes_back
        self.loads = self.reconnects = 0

    def load(self, model: bytes | Path) -> InProcessModel:
        self.loads += 1
        if self.faults:
            raise self.faults.pop(0)
        return super().load(model)

    def reconnect(self) -> None:
        self.reconnects += 1
        if not self.comes_back:
            raise DeviceLost("test does not answer")


def model() -> bytes:
    return model_bytes(feature_net(), ".tflite")


def test_a_repetition_times_the_model() -> None:
    runner = Faulty()
    with RetryingRunner(runner, model(), pytest.fail) as retrying:
        assert len(retrying.time(model).runs_us) == 6
        assert len(retrying.time_reference().runs_us) == len(retrying.time_reference().runs_us) == 6
        assert retrying.health().load_average is not None
    assert runner.loads == 2  # the reference once


def test_after_a_lost_connection_the_repetition_is_made_again() -> None:
    runner, lost = Faulty(DeviceLost("gone"), DeviceLost("gone again")), []
    assert len(RetryingRunner(runner, None, lost.append).time(model).runs_us) == 6
    assert (runner.loads, runner.reconnects, lost) == (3, 2, ["gone", "gone again"])


def test_the_reference_is_brought_again_after_a_lost_connection() -> None:
    runner, lost = Faulty(), []
    retrying = RetryingRunner(runner, model(), lost.append)
    retrying.time_reference()
    runner.faults = [DeviceLost("gone")]
    retrying.time(model)
    retrying.time_reference()
    assert (runner.loads, runner.reconnects, lost) == (4, 1, ["gone"])


def test_a_model_with_which_the_device_goes_each_time_is_given_up() -> None:
    runner = Faulty(*[DeviceLost("gone")] * 3)
    with pytest.raises(Unmeasurable, match="lost 3 times meanwhile, at last so: gone"):
        RetryingRunner(runner, None, lambda _: None).time(model)
    assert runner.reconnects == 3  # it is there for the next one


def test_a_device_that_does_not_come_back_ends_it() -> None:
    runner = Faulty(DeviceLost("gone"), comes_back=False)
    with pytest.raises(DeviceLost, match="does not answer"):
        RetryingRunner(runner, None, lambda _: None).time(model)
    assert runner.loads == 1


@pytest.mark.parametrize("fault", [HwnasError("SEGV"), DeviceError("no permission"), ValueError("no lowering")])
def test_any_other_failure_is_tried_once_more(fault: Exception) -> None:
    runner = Faulty(fault)
    assert len(RetryingRunner(runner, None, pytest.fail).time(model).runs_us) == 6
    runner = Faulty(fault, fault)
    with pytest.raises(Unmeasurable, match=str(fault)):
        RetryingRunner(runner, None, pytest.fail).time(model)
    assert (runner.loads, runner.reconnects) == (2, 0)


def test_after_a_hang_it_is_made_sure_that_the_device_answers() -> None:
    runner, lost = Faulty(*[DeviceTimeout("no answer in 30 s")] * 2), []
    with pytest.raises(Unmeasurable, match="no answer in 30 s"):
        RetryingRunner(runner, None, lost.append).time(model)
    assert (runner.loads, runner.reconnects, len(lost)) == (2, 2, 2)


@pytest.mark.parametrize("fault", [DeviceFull("no room"), MemoryError()])
def test_what_no_other_model_would_survive_ends_it_at_once(fault: Exception) -> None:
    runner = Faulty(fault)
    with pytest.raises(type(fault)):
        RetryingRunner(runner, None, pytest.fail).time(model)
    assert runner.loads == 1


def test_a_model_that_cannot_be_made_is_given_up_with_its_reason() -> None:
    def fail() -> bytes:
        raise ValueError("no lowering for Conv3d")

    with pytest.raises(Unmeasurable, match="no lowering for Conv3d"):
        RetryingRunner(Faulty(), None, pytest.fail).time(fail)


def test_a_device_that_is_gone_in_the_end_hides_nothing() -> None:
    class Sticky(InProcessModel):
        def __exit__(self, *_: object) -> None:
            raise DeviceLost("gone while tidying up")

    class Leaving(Faulty):
        def load(self, model: bytes | Path) -> InProcessModel:
            return Sticky(open_session(get_runtime("litert"), model, DEVICE), DEVICE, "test")

    with (
        pytest.raises(ValueError, match="what happened before"),
        RetryingRunner(Leaving(), model(), pytest.fail) as retrying,
    ):
        retrying.time_reference()
        raise ValueError("what happened before")
