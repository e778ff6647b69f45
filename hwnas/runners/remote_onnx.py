"""The RemoteOnnxRunner: ONNX Runtime under a board's own Python, set up as this machine's is, so numbers compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hwnas.devices.cores import core_mask
from hwnas.errors import HwnasError
from hwnas.runners.remote import RemoteRunner, Report, ending, read_report
from hwnas.runners.remote_onnx_script import FAILED_RUN, WRONG_LIBRARY, WRONG_MODEL
from hwnas.runners.timing import Timing, open_session
from hwnas.runtimes.files import describe, file_sha256
from hwnas.runtimes.onnx_runtime import OnnxRuntime
from hwnas.runtimes.tensors import check_input
from hwnas.transports.base import Completed, DeviceError

SCRIPT = Path(__file__).with_name("remote_onnx_script.py")

LIMITS = ("warmup_runs", "warmup_ms", "min_runs", "max_runs", "min_ms", "max_ms", "precision_percent")
"""Fields of the Device that are options of the script."""

NOT_FOUND = 127
WORDS = "hwnas-onnx: "
"""The script's own messages begin so."""


class RemoteOnnxModel:
    """One .onnx on the board. Each repetition is a process of its own: nothing of one is left for the next."""

    def __init__(self, runner: RemoteOnnxRunner, input_shape: tuple[int, ...], model_name: str, described: str) -> None:
        self.input_shape = input_shape
        self._runner, self._name, self._described = runner, model_name, described

    def time(self) -> Timing:
        """One repetition. Raises as `LoadedModel.time`."""
        limits = {name.replace("_", "-"): getattr(self._runner.device, name) for name in LIMITS}
        report = self._runner.bench(self._name, self._described, limits)
        return Timing(list(report.runs_us), report.warmup_us)

    def run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Outputs for `x` (float32, NCHW), computed on the board."""
        check_input(x, self.input_shape)
        source, result = f"{self._name}.input", f"{self._name}.output"
        self._runner.bring(np.ascontiguousarray(x).tobytes(), source)
        try:
            report = self._runner.bench(self._name, self._described, {"input": source, "output": result})
            return np.frombuffer(self._runner.fetch(result), np.float32).reshape(report.output_shape)
        finally:
            self._runner.remove(source)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.remove(self._name)


class RemoteOnnxRunner(RemoteRunner):
    """Times .onnx models with the ONNX Runtime of the Python that the Device's `python` names."""

    runtime = OnnxRuntime.name
    suffix = OnnxRuntime.suffix
    transports = ("ssh",)

    def load(self, model: bytes | Path) -> RemoteOnnxModel:
        """Bring a model to the board. Raises HwnasError if this machine's ONNX Runtime already finds fault with it."""
        input_shape = open_session(OnnxRuntime(), model, self.device).input_shape
        return RemoteOnnxModel(self, input_shape, self.bring_model(model), describe(model))

    def bench(self, model_name: str, described: str, options: dict[str, Any]) -> Report:
        """The script's report of a model's file on the board.

        Raises DeviceLost and DeviceTimeout as the transport does; DeviceError if the script did not come to its end;
        HwnasError if the board's ONNX Runtime cannot use the model.
        """
        options = {"model": model_name, "threads": self.device.threads} | options
        if self.cores != "any":
            options["cores"] = core_mask(self.cores)
        return self._report(described, [word for name, value in options.items() for word in (f"--{name}", str(value))])

    def _install(self) -> None:
        self._script_name = f"hwnas-onnx-{file_sha256(SCRIPT)[:16]}.py"
        self.transport.push(SCRIPT, self._script_name)
        self._library = self._report("no model yet", [])

    def _runtime_identity(self) -> dict[str, Any]:
        return {"runtime_version": self._library.runtime_version, "library_sha256": self._library.library_sha256}

    def _report(self, described: str, arguments: list[str]) -> Report:
        """The script's report. Raises as `bench`."""
        done = self.transport.run([self.device.python, self._script_name, *arguments], self.timeout_s)
        if done.exit_code != 0:
            raise self._failure(done, described)
        return read_report(done.output, described, self.transport.name)

    def _failure(self, done: Completed, described: str) -> HwnasError:
        """The error that a failed script means, with its cure."""
        python, board = self.device.python, self.transport.name
        lines = [line for line in done.error.splitlines() if line.strip()]
        own = [line.removeprefix(WORDS) for line in lines if line.startswith(WORDS)]
        said = (own or lines or ["it said nothing"])[-1][:300]
        if done.exit_code == NOT_FOUND:
            return DeviceError(
                f"there is no {python} on {board}, and ONNX Runtime is measured under the board's Python: install it "
                f"(Debian, Raspberry Pi OS: apt install python3-venv), or set `python` in the device file of "
                f"{self.device.name} to where it is. Without Python, measure .tflite models with the runtime native."
            )
        if done.exit_code == WRONG_LIBRARY:
            return DeviceError(
                f"{python} on {board} cannot import ONNX Runtime ({said}): install it there with `python3 -m venv "
                f"~/hwnas && ~/hwnas/bin/pip install onnxruntime`, and set `python` in the device file of "
                f"{self.device.name} to the absolute path of ~/hwnas/bin/python."
            )
        if done.exit_code in (WRONG_MODEL, FAILED_RUN):
            verb = "load" if done.exit_code == WRONG_MODEL else "run"
            return HwnasError(
                f"ONNX Runtime on {board} cannot {verb} {described}: {said}. Update onnxruntime there, or export the "
                "model again."
            )
        return DeviceError(
            f"{python} {ending(done)} on {board} ({described}): {said}. It takes Python 3.8 or newer; where the system "
            "ended it, memory may have run out: try a smaller model."
        )
