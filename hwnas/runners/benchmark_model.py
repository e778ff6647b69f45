"""The BenchmarkModelRunner: Google's ``benchmark_model``, on this machine, a phone or a board.

It never prints single runs, only their statistics. So one launch is one repetition, and the one number it gives, the
median (of older builds: the mean) of its runs, is that repetition's only run: quantiles and spread of a Measurement
made of them are those between launches, and the Device's `visits` says how many there are. `BenchmarkModel.launch`
tells how runs spread within a launch, as far as the build prints it. The stopping rule is the program's own: it knows
`min_runs`, `min_ms` and `max_ms`, but neither `max_runs` nor `precision_percent`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from hwnas.devices.cores import core_mask
from hwnas.devices.device import Device
from hwnas.errors import HwnasError, UsageError
from hwnas.native.abi import elf_kind
from hwnas.runners.benchmark_output import UNSUPPORTED, BenchmarkOutput, parse_benchmark_output
from hwnas.runners.operator_profile import OperatorProfile, parse_operators
from hwnas.runners.program_log import failure_in, last_words, log_lines
from hwnas.runners.remote import READY, RemoteRunner, ending
from hwnas.runners.timing import Timing, open_session
from hwnas.runtimes.files import describe, file_sha256
from hwnas.runtimes.litert import LITERT
from hwnas.text import shown
from hwnas.transports.base import Facts, Transport

LOG = logging.getLogger(__name__)

SOURCE = "https://ai.google.dev/edge/litert/models/measurement#native_benchmark_binary"
"""Where people get the program."""

DELEGATE_FLAGS = {"xnnpack": "use_xnnpack", "gpu": "use_gpu", "nnapi": "use_nnapi"}
"""The switch of each delegate. Builds differ in their defaults, so each is always given; NNAPI's is always off."""

FLAG = re.compile(r"--([a-z][a-z0-9_]*)=")
"""A flag in the output of ``--help``."""

UNNAMED = "operators that the program does not name"

PROFILE = {"enable_op_profiling": "true"}


class BenchmarkModel:
    """One .tflite on the device. Each repetition is a launch of the program: nothing of one is left for the next."""

    def __init__(
        self, runner: BenchmarkModelRunner, input_shape: tuple[int, ...], model_name: str, described: str
    ) -> None:
        self.input_shape = input_shape
        self._runner, self._name, self._described = runner, model_name, described

    def launch(self) -> BenchmarkOutput:
        """One repetition with everything that the program tells of it. Raises as `LoadedModel.time`."""
        return self._parsed(self._runner.launch(self._name, self._described))

    def time(self) -> Timing:
        """One repetition, of which one number is known."""
        made = self.launch()
        untimed_us = 0.0 if made.warmup is None else made.warmup.count * made.warmup.mean_us
        # the other runs took their time too, but there is no telling how much each
        untimed_us += (made.runs.count - 1) * made.runs.mean_us
        return Timing([made.runs.typical_us], untimed_us)

    def profile(self) -> OperatorProfile:
        """The time of each operator, from a launch of its own: profiling makes the whole slower."""
        inference = self.launch()
        text = self._runner.launch(self._name, self._described, PROFILE)
        profiled = self._parsed(text)
        return OperatorProfile(parse_operators(text), profiled.runs.mean_us / 1000, inference.runs.mean_us / 1000)

    def run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """benchmark_model keeps its outputs to itself: raises HwnasError."""
        raise HwnasError(
            "benchmark_model times models and hands out no outputs; use the runtime native to see what a model "
            "computes on the device."
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.remove(self._name)

    def _parsed(self, text: str) -> BenchmarkOutput:
        try:
            made = parse_benchmark_output(text)
            check_delegate(made, self._runner.device)
            self._runner.note_left_to_cpu(made, self._described)
        except HwnasError as error:
            raise HwnasError(f"{self._described} on {self._runner.transport.name}: {error}") from error
        notes = (note for note in made.notes if made.left_to_cpu is None or not UNSUPPORTED.match(note))
        self._runner.tell(tuple(notes), self._described)
        return made


class BenchmarkModelRunner(RemoteRunner):
    """Times .tflite models with the program that the Device's `benchmark_model` names, on its `delegate`."""

    runtime = "benchmark-model"
    suffix = ".tflite"
    delegate: Literal["none", "gpu"] | None = None
    """Of this runtime, whatever the device file says; None: the device file's."""

    def __init__(self, device: Device, transport: Transport) -> None:
        super().__init__(device.model_copy(update={"delegate": self.delegate or device.delegate}), transport)
        self._told: set[str] = set()
        self._left_to_cpu: set[str] = set()

    @classmethod
    def availability(cls, _facts: Facts, devices: Sequence[Device]) -> str | None:
        """As of every RemoteRunner: whether the program lies where the device files say; None: none says it."""
        found = None
        for device in devices:
            if device.benchmark_model:
                there = Path(device.benchmark_model).is_file()
                found = READY if there else f"{device.name} names no file: {device.benchmark_model}"
        return found

    def identity(self) -> dict[str, Any]:
        """As of every RemoteRunner, and the delegate."""
        return super().identity() | {"delegate": self.device.delegate}

    def circumstances(self) -> dict[str, Any]:
        """As of every RemoteRunner, and the kind of program: 32-bit builds take several times as long. Where a GPU did
        not take all of the models that were timed by now: what it left to the CPU, sorted."""
        left = {"left_to_cpu": sorted(self._left_to_cpu)} if self._left_to_cpu else {}
        return super().circumstances() | {"program": elf_kind(self._program)} | left

    def load(self, model: bytes | Path) -> BenchmarkModel:
        """Bring a model to the device. Raises HwnasError if this machine's LiteRT already finds fault with it."""
        input_shape = open_session(LITERT, model, self.device).input_shape
        return BenchmarkModel(self, input_shape, self.bring_model(model), describe(model))

    def launch(self, model_name: str, described: str, more_flags: dict[str, str] | None = None) -> str:
        """The program's output about a model's file on the device, standard output before standard error.

        Raises:
            DeviceLost, DeviceTimeout: as the transport does.
            HwnasError: the program failed, or its build lacks a flag that is needed.
        """
        flags = flags_of(self.device, model_name) | (more_flags or {})
        done = self.transport.run([*self._command(), *supported(flags, self._flags)], self.timeout_s)
        text = f"{done.output}\n{done.error}"
        if done.exit_code != 0:
            lines = log_lines(text)
            raise HwnasError(
                f"benchmark_model {ending(done)} on {self.transport.name} with {described}: "
                f"{failure_in(lines) or last_words(lines)}. If its build is older than the model's operators, take a "
                f"newer one ({SOURCE})."
            )
        return text

    def tell(self, notes: Sequence[str], described: str) -> None:
        """Log the program's errors beside good numbers, each once."""
        for note in notes:
            if note not in self._told:
                self._told.add(note)
                LOG.warning("%s", shown(f"note: benchmark_model on {self.transport.name} says of {described}: {note}"))

    def note_left_to_cpu(self, made: BenchmarkOutput, described: str) -> None:
        """Keep, and say of each model once, which of its operators the GPU left to the CPU: its time is of both."""
        if made.left_to_cpu is None or self.device.delegate != "gpu":
            return
        self._left_to_cpu |= set(made.left_to_cpu.operators or (UNNAMED,))
        self.tell([f"the GPU leaves {made.left_to_cpu} to the CPU"], described)

    @property
    def _program(self) -> Path:
        if self.device.benchmark_model is None:
            raise UsageError(
                f"the runtime benchmark-model needs Google's program, which hwnas does not come with: get the one for "
                f"{self.device.name} from {SOURCE}, and say where it lies on this machine with benchmark_model = "
                '"/path/to/it" in the device file. The runtime native needs nothing.'
            )
        path = Path(self.device.benchmark_model)
        if not path.is_file():
            raise HwnasError(
                f"there is no file {path}, which the device file of {self.device.name} names as its "
                f"benchmark_model; correct the path, or get the program from {SOURCE}."
            )
        return path

    def _command(self) -> list[str]:
        pinned = [] if self.cores == "any" else ["taskset", core_mask(self.cores)]
        return [*pinned, f"./{self._program_name}"]

    def _install(self) -> None:
        self._sha256 = file_sha256(self._program)
        self._program_name = f"benchmark_model-{self._sha256[:16]}"
        self.transport.push(self._program, self._program_name, executable=True)
        done = self.transport.run([*self._command(), "--help"])
        self._flags = frozenset(FLAG.findall(f"{done.output}\n{done.error}"))
        if "graph" not in self._flags:  # builds disagree on the exit code, not on this
            said = last_words(log_lines(f"{done.output}\n{done.error}"))
            raise HwnasError(
                f"{self._program} ({elf_kind(self._program)}) is no benchmark_model that "
                f"{self.transport.name} ({self.facts.architecture}) can run: asked for --help it {ending(done)} and "
                f"said {said}. Get the one for this device from {SOURCE}."
            )

    def _runtime_identity(self) -> dict[str, Any]:
        # the program does not tell its version
        return {"runtime_version": f"build {self._sha256[:12]}", "library_sha256": self._sha256}


class BenchmarkModelGpuRunner(BenchmarkModelRunner):
    """The same on the GPU, as a runtime of its own: its tables and budgets stand beside those of the CPU."""

    runtime = "benchmark-model-gpu"
    delegate = "gpu"

    @classmethod
    def availability(cls, _facts: Facts, _devices: Sequence[Device]) -> str | None:
        """Whether there is a GPU that takes models only a launch shows: None, try it."""
        return None


class BenchmarkModelPlainRunner(BenchmarkModelRunner):
    """The same on the CPU with TFLite's own kernels, without XNNPACK."""

    runtime = "benchmark-model-none"
    delegate = "none"


def flags_of(device: Device, model_name: str) -> dict[str, str]:
    """The Device's settings as flags of the program."""
    numbers = {
        "num_threads": device.threads,
        "warmup_runs": device.warmup_runs,
        "warmup_min_secs": device.warmup_ms / 1000,
        "num_runs": device.min_runs,
        "min_secs": device.min_ms / 1000,
        "max_secs": device.max_ms / 1000,
    }
    delegates = {flag: str(name == device.delegate).lower() for name, flag in DELEGATE_FLAGS.items()}
    return {"graph": model_name} | {name: str(value) for name, value in numbers.items()} | delegates


def supported(flags: dict[str, str], known: frozenset[str]) -> list[str]:
    """The flags, as the program takes them, without those that its build lacks: it may end at one it does not know.

    Raises HwnasError where that changes what is measured: a delegate or a profile that cannot be had.
    """
    asked = {*DELEGATE_FLAGS.values(), *PROFILE}
    for name, value in flags.items():
        if name in asked and value == "true" and name not in known:
            or_else = "" if name in PROFILE else ", or set another delegate in the device file"
            raise HwnasError(f"this build of benchmark_model has no --{name}; take a newer one ({SOURCE}){or_else}.")
    return [f"--{name}={value}" for name, value in flags.items() if name in known]


def check_delegate(made: BenchmarkOutput, device: Device) -> None:
    """Raises HwnasError if something else computed than the Device's `delegate`.

    The program goes on with the CPU when a GPU takes nothing, and prints that as any other result.
    """
    if device.delegate == "none" and made.xnnpack:
        raise HwnasError(
            'the device file says delegate = "none", but this build of benchmark_model uses XNNPACK all the same; say '
            'delegate = "xnnpack", or take a newer build.'
        )
    if device.delegate == "gpu":
        took = [applied.took for applied in made.delegates if applied.name.upper() == "GPU"]
        if not took or "nothing" in took:
            raise HwnasError(
                "the GPU took no part of this model, so the CPU computed, and its time stands for nothing: use the "
                'runtime benchmark-model with delegate = "xnnpack", or a model of operators that the GPU has.'
            )
