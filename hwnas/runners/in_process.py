"""The InProcessRunner: the Python runtimes of this machine, timed call by call in this process."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import psutil
from numpy.typing import NDArray

from hwnas.devices.cores import check_threads, resolve_cores, usable_cores
from hwnas.devices.device import Device
from hwnas.devices.machine import allowed_cores, allowed_count, machine_health, machine_identity, pinned
from hwnas.errors import HwnasError
from hwnas.runners.timing import Timing, open_session, time_session
from hwnas.runtimes.base import Runtime, Session
from hwnas.runtimes.files import describe
from hwnas.transports.base import Health
from hwnas.transports.local import Local


class InProcessModel:
    """A session of a Python runtime, timed as its Device says."""

    def __init__(self, session: Session, device: Device, described: str) -> None:
        self.input_shape = session.input_shape
        self._session, self._device, self._described = session, device, described

    def time(self) -> Timing:
        """One repetition. Raises HwnasError if the model loads but does not run."""
        with self._explained():
            return time_session(self._session, self._device)

    def run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Outputs for a float32 input of `input_shape` (NCHW). Raises HwnasError if the model does not run."""
        with self._explained():
            return self._session.run(x)

    def __enter__(self) -> InProcessModel:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing lies anywhere but in this object."""

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """While it runs, a model can fail in any way; ONNX Runtime's errors have no common base."""
        try:
            yield
        except (HwnasError, MemoryError):
            raise
        except Exception as error:
            reason = " ".join(str(error).split())
            raise HwnasError(
                f"{self._described} and cannot run it: {reason[:300]}. The file is damaged, or holds what this runtime "
                "lacks: export it again, or use a newer runtime."
            ) from error


class InProcessRunner:
    """Times models with a Runtime of this machine. From entering to leaving, this thread is pinned to the cores."""

    def __init__(self, device: Device, runtime: Runtime) -> None:
        self.runtime, self.suffix = runtime.name, runtime.suffix
        self._device, self._engine = device, runtime
        self._cores = _numbered(device)
        self._entered = ExitStack()

    def identity(self) -> dict[str, Any]:
        """As `Runner.identity`. Raises HwnasError if the runtime is not installed."""
        return machine_identity() | {
            "runtime": self.runtime,
            "runtime_version": self._engine.version(),
            "library_sha256": self._engine.library_sha256(),
            "threads": self._device.threads,
            "cores": _usable(self._device.threads) if self._cores == "any" else list(self._cores),
        }

    def circumstances(self) -> dict[str, Any]:
        """The platform, in full."""
        return {"platform": platform.platform()}

    def health(self) -> Health:
        """How this machine is now."""
        return machine_health(0 if self._cores == "any" else self._cores[0])

    def load(self, model: bytes | Path) -> InProcessModel:
        """Load a model. Raises HwnasError if it is missing, damaged, or of another batch size than the Device's."""
        session = open_session(self._engine, model, self._device)
        return InProcessModel(session, self._device, f"{self.runtime} {self._engine.version()} loads {describe(model)}")

    def reconnect(self) -> None:
        """This process is never lost to itself."""

    def __enter__(self) -> InProcessRunner:
        check_threads(self._device.threads, self._cores, allowed_count(), self._device.name)
        self._entered.enter_context(pinned(self._cores))
        return self

    def __exit__(self, *_: object) -> None:
        self._entered.close()


def _usable(threads: int) -> list[int] | Literal["any"]:
    """The meaning of "any" for this process; the machine is asked about its cores only where some are withheld."""
    allowed = allowed_cores()
    if allowed is None or len(allowed) >= (psutil.cpu_count() or 0):
        return "any"
    return usable_cores(threads, allowed, Local(Path(tempfile.gettempdir())).facts())


def _numbered(device: Device) -> tuple[int, ...] | Literal["any"]:
    """The Device's cores by number; this machine is asked about its own only where they are named by a word."""
    if device.cores == "any" or not isinstance(device.cores, str):
        return device.cores
    return resolve_cores(device.cores, Local(Path(tempfile.gettempdir())).facts())
