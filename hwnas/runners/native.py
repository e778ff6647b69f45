"""The NativeRunner: hwbench, our C program, on this machine, a phone or a board."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.devices.cores import core_mask
from hwnas.devices.device import Device
from hwnas.errors import HwnasError
from hwnas.native.abi import abi_for
from hwnas.native.bundle import Bundle, build_bundle, check_bundle
from hwnas.native.library import installed_library
from hwnas.runners.remote import READY, RemoteRunner, Report, ending, read_report
from hwnas.runners.timing import Timing, fixed_input, open_session
from hwnas.runtimes.files import describe
from hwnas.runtimes.litert import LITERT, TFLiteSession
from hwnas.temporary import owner
from hwnas.transports.base import Completed, DeviceError, Facts, Transport
from hwnas.transports.local import Local

ONE_RUN = {"warmup-runs": 1, "warmup-ms": 0, "min-runs": 1, "max-runs": 1, "min-ms": 0}
"""The options with which hwbench computes an output and measures nothing."""

SAYS = "hwbench: "
"""Its own complaints begin so, among those of LiteRT."""

WRONG_MODEL, FAILED_RUN = 4, 5
"""Its exit codes for faults of the model."""


class NativeModel:
    """One .tflite on the device. Each repetition is a process of its own: nothing of one is left for the next."""

    def __init__(self, runner: NativeRunner, session: TFLiteSession, name: str, described: str) -> None:
        """`session` is the model on this machine, which knows its shapes and types; `name` that of its file there."""
        self.input_shape = session.input_shape
        self._runner, self._session, self._name, self._described = runner, session, name, described

    def time(self) -> Timing:
        """One repetition. Raises as `LoadedModel.time`, and DeviceError if hwbench crashed."""
        x = self._runner.keep_input(self._session.encoded(fixed_input(self.input_shape)))
        report = self._runner.bench(self._name, self._described, limits_of(self._runner.device) | {"input": x})
        return Timing(list(report.runs_us), report.warmup_us)

    def run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Outputs for `x` (float32, NCHW), computed on the device; of 4 dimensions as NCHW."""
        source, result = f"{self._name}.input", f"{self._name}.output"
        try:
            self._runner.bring(self._session.encoded(x).tobytes(), source)
            report = self._runner.bench(self._name, self._described, ONE_RUN | {"input": source, "output": result})
            data = self._runner.fetch(result)
        finally:
            self._runner.remove(source, result)
        return self._session.decoded(np.frombuffer(data, report.output_type).reshape(report.output_shape))

    def __enter__(self) -> NativeModel:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.remove(self._name)


class NativeRunner(RemoteRunner):
    """Times .tflite models with hwbench."""

    runtime = "native"
    suffix = ".tflite"

    def __init__(self, device: Device, transport: Transport, bundle: Bundle | None = None) -> None:
        """
        Args:
            device: threads, cores and limits.
            transport: the way to it.
            bundle: the program; None: built, or taken from the cache, for the device's architecture.
        """
        super().__init__(device, transport)
        self._given = bundle
        self._here = isinstance(transport, Local)
        self._inputs: dict[bytes, str] = {}

    @classmethod
    def availability(cls, facts: Facts, _devices: Sequence[Device]) -> str | None:
        """As of every RemoteRunner: whether there is a bundle for the device, or a compiler to build one with."""
        try:
            check_bundle(abi_for(facts.architecture, facts.model or "it"))
        except HwnasError as error:
            return str(error)
        return READY

    @classmethod
    def availability_here(cls) -> str | None:
        """As of every RemoteRunner: the version of the LiteRT that hwbench runs with."""
        try:
            check_bundle(abi_for(platform.machine(), "this machine"))
            return installed_library()[1]
        except HwnasError as error:
            return str(error)

    def __exit__(self, *_: object) -> None:
        self._remove_inputs()

    def circumstances(self) -> dict[str, Any]:
        """As of every RemoteRunner, and the compiler of hwbench."""
        return super().circumstances() | {"compiler": self._bundle.compiler}

    def load(self, model: bytes | Path) -> NativeModel:
        """Bring a model to the device. Raises HwnasError if this machine's LiteRT already finds fault with it."""
        session = open_session(LITERT, model, self.device)
        assert isinstance(session, TFLiteSession)
        return NativeModel(self, session, self.bring_model(model), describe(model))

    def reconnect(self) -> None:
        """As of every RemoteRunner; inputs are brought again, for a board that was started again has an empty /tmp."""
        super().reconnect()
        self._remove_inputs()

    def keep_input(self, stored: NDArray[Any]) -> str:
        """Bring an input, as the model's file takes it, to the device; it stays for other models of that shape."""
        data = stored.tobytes()
        key = hashlib.sha256(data).digest()
        if key not in self._inputs:
            name = f"input-{owner()}"
            self.bring(data, name)
            self._inputs[key] = name
        return self._inputs[key]

    def bench(self, model: str, described: str, options: dict[str, Any]) -> Report:
        """hwbench's report about a model's file on the device.

        Raises DeviceLost and DeviceTimeout as the transport does; DeviceError if the program could not run, crashed, or
        its report is not whole; HwnasError if the device's runtime cannot use the model.
        """
        options = {"model": model, "threads": self.device.threads} | options
        if self.cores != "any":
            options["cores"] = core_mask(self.cores)
        arguments = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        program = self._bundle.command(str(self._bundle.folder) if self._here else ".")
        done = self.transport.run([*program, *arguments], self.timeout_s)
        if done.exit_code != 0:
            raise _failure(done, described, self.transport.name, self._bundle.runtime_version)
        return read_report(done.output, described, self.transport.name)

    def _runtime_identity(self) -> dict[str, Any]:
        return {
            "runtime_version": self._bundle.runtime_version,
            "library_sha256": self._bundle.library_sha256,
            "hwbench_sha256": self._bundle.source_sha256,
        }

    def _install(self) -> None:
        """Bring the program to a device that is not this machine: here it runs from where it was built."""
        self._bundle = self._given or build_bundle(abi_for(self.facts.architecture, self.transport.name), self._here)
        if self._here:
            return
        files = self._bundle.files
        # all in one question: most often the device has them from the time before
        lines = self.transport.run(["sha256sum", *files]).output.splitlines()
        there = {name: sha256 for sha256, _, name in (line.partition("  ") for line in lines)}
        for name, sha256 in files.items():
            if there.get(name) != sha256:
                self.transport.push(self._bundle.folder / name, name, executable=True)

    def _remove_inputs(self) -> None:
        if self._inputs:
            self.remove(*self._inputs.values())
            self._inputs.clear()


def limits_of(device: Device) -> dict[str, Any]:
    """A Device's limits of a repetition, as hwbench's options."""
    names = ("warmup_runs", "warmup_ms", "min_runs", "max_runs", "min_ms", "max_ms", "precision_percent")
    return {name.replace("_", "-"): getattr(device, name) for name in names}


def _failure(done: Completed, described: str, device: str, version: str) -> HwnasError:
    """The error that a failed hwbench means, with its cure."""
    if done.exit_code > 128:
        return DeviceError(
            f"hwbench {ending(done)} on {device} while it ran {described}: either LiteRT {version} crashed on this "
            "model, or the system stopped it (with SIGKILL when memory runs out). Try a smaller model first."
        )
    reasons = [line.removeprefix(SAYS) for line in done.error.splitlines() if line.startswith(SAYS)]
    if not reasons:  # whatever the exit code is: a shell takes a program for another CPU for a script
        said = " ".join(done.error.split())[-200:] or f"exit code {done.exit_code}"
        return DeviceError(
            f"{device} cannot execute hwbench for {described}: {said}. Check that its folder is on a file system that "
            "allows programs (not mounted noexec), and that it is the machine that its device file says."
        )
    if done.exit_code in (WRONG_MODEL, FAILED_RUN):
        verb = "cannot load" if done.exit_code == WRONG_MODEL else "failed while it ran"
        return HwnasError(
            f"LiteRT {version} on {device} {verb} {described}: {reasons[0]}. Export the model with operators that this "
            "release has; `hwnas inspect` lists those it uses."
        )
    return DeviceError(f"hwbench on {device}, which was to run {described}, says: {reasons[0]}.")
