"""The RetryingRunner: it repeats a timing that failed by accident, and gives up a model that fails by itself."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from hwnas.errors import HwnasError
from hwnas.runners.base import LoadedModel, Runner
from hwnas.runners.timing import Timing
from hwnas.transports.base import DeviceError, DeviceFull, DeviceLost, DeviceTimeout, Health

T = TypeVar("T")

LOSSES = 3
"""How often the device may be lost during one repetition before the model is taken to be the cause."""
FAILURES = 2
"""How often a repetition may fail on a device that answers."""


class Unmeasurable(HwnasError):
    """This model cannot be measured; another one may well be."""


class RetryingRunner:
    """Times models, and one of them, the reference, again and again. A context manager: the reference goes with it.

    Every method repeats its work after a lost connection, and once more after any other failure. They raise
    Unmeasurable if it fails although the device is there, DeviceFull, as no other model will find room either, and
    DeviceLost if the device does not come back.
    """

    def __init__(self, runner: Runner, reference: bytes | Path | None, on_loss: Callable[[str], None]) -> None:
        """`on_loss` is called with the reason when a connection was lost, before the device is connected again."""
        self._runner, self._reference, self._on_loss = runner, reference, on_loss
        self._loaded: LoadedModel | None = None

    def time(self, model: Callable[[], bytes | Path]) -> Timing:
        """One repetition of a model, which is made, brought to the device, timed and taken off again."""

        def repetition() -> Timing:
            with self._runner.load(model()) as loaded:
                return loaded.time()

        return self._attempt(repetition)

    def time_reference(self) -> Timing:
        """One repetition of the reference model."""

        def repetition() -> Timing:
            assert self._reference is not None, "there is a reference to be timed"
            if self._loaded is None:  # loaded once: where its memory happens to lie must not look like drift
                self._loaded = self._runner.load(self._reference).__enter__()
            return self._loaded.time()

        return self._attempt(repetition)

    def health(self) -> Health:
        """How the device is now."""
        return self._attempt(self._runner.health)

    def __enter__(self) -> RetryingRunner:
        return self

    def __exit__(self, *_: object) -> None:
        if self._loaded is not None:
            with suppress(DeviceError):  # a device that is gone must not hide what happened before
                self._loaded.__exit__(None, None, None)
            self._loaded = None

    def _attempt(self, work: Callable[[], T]) -> T:
        losses = failures = 0
        while True:
            try:
                return work()
            except (DeviceFull, MemoryError):
                raise
            except DeviceLost as error:
                losses += 1
                self._reconnect(error)
                if losses == LOSSES:
                    raise Unmeasurable(f"the device was lost {LOSSES} times meanwhile, at last so: {error}") from error
            except Exception as error:  # whatever a conversion, a runtime or a device fails with
                failures += 1
                if isinstance(error, DeviceTimeout):  # it may be the device that hangs, and not the model
                    self._reconnect(error)
                if failures == FAILURES:
                    raise Unmeasurable(str(error)) from error

    def _reconnect(self, error: DeviceError) -> None:
        self._on_loss(str(error))
        self._loaded = None  # it may have gone with the connection
        self._runner.reconnect()
