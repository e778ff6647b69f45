"""The TFLite interpreters: LiteRT (``ai-edge-litert``) and its predecessor ``tflite-runtime``; one API serves both.

A .tflite file holds images as NHWC. A session speaks NCHW and converts outside `invoke`, so nothing but inference is
timed. XNNPACK, the CPU kernels that phones use too, is on by default in both.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.errors import HwnasError
from hwnas.runtimes.files import describe, file_sha256, installed_version, is_tflite, quiet_stderr, read_model
from hwnas.runtimes.tensors import DTYPES, StoredTensor, check_input, check_thread_count

LIBRARIES = ("*pywrap_litert_common*", "_pywrap_tensorflow_interpreter_wrapper*")
"""Where the kernels are, newest layout first: LiteRT 2 keeps them in one library beside thin Python wrappers."""


class TFLiteSession:
    """One model in a TFLite interpreter: one input and one output, float32 or integers that stand for it."""

    def __init__(self, interpreter: Any, input_shape: tuple[int, ...]) -> None:
        self.input_shape = input_shape
        self._interpreter = interpreter
        (source,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
        self._input_index, self._input = source["index"], _stored(source)
        self._output_index, self._output = result["index"], _stored(result)

    def prepare(self, x: NDArray[np.float32]) -> None:
        """Copy `x` (float32, NCHW) into the interpreter's NHWC input."""
        self._interpreter.set_tensor(self._input_index, self.encoded(x))

    def invoke(self) -> None:
        """One inference on the prepared input."""
        self._interpreter.invoke()

    def run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Outputs for `x` (float32, NCHW); an output of 4 dimensions comes back as NCHW."""
        self.prepare(x)
        self.invoke()
        return self.decoded(self._interpreter.get_tensor(self._output_index))

    def encoded(self, x: NDArray[np.float32]) -> NDArray[Any]:
        """`x` (float32, NCHW) as the file takes it: NHWC, and of the file's own type."""
        check_input(x, self.input_shape)
        stored = self._input.stored(x)
        return stored.transpose(0, 2, 3, 1) if x.ndim == 4 else stored

    def decoded(self, stored: NDArray[Any]) -> NDArray[np.float32]:
        """An output as the file gives it, as float32; of 4 dimensions as NCHW."""
        output = self._output.values(stored)
        return np.ascontiguousarray(output.transpose(0, 3, 1, 2)) if output.ndim == 4 else output


@dataclass
class TFLiteRuntime:
    """A Python package that holds a TFLite ``Interpreter``, under the name people type."""

    name: str
    distribution: str
    """The package as pip calls it."""
    package: str
    """The package as Python imports it."""
    cure: str
    """The cure if it is missing."""
    needs_numpy_1: bool = False
    suffix: str = ".tflite"

    def version(self) -> str:
        """Version of the installed package. Raises HwnasError, naming the cure, if it is missing or unusable."""
        self._interpreter_class()
        return installed_version(self.distribution)

    def library_sha256(self) -> str:
        """SHA-256 of the shared library that holds the kernels."""
        self._interpreter_class()
        package = import_module(self.package)
        folder = Path(package.__path__[0])
        for pattern in LIBRARIES:
            if found := sorted(folder.glob(pattern)):
                return file_sha256(found[0])
        raise HwnasError(
            f"the package {self.distribution} at {folder} holds none of the libraries {', '.join(LIBRARIES)}; "
            f"reinstall it: {self.cure}."
        )

    def load(self, model: bytes | Path, threads: int = 1) -> TFLiteSession:
        """Load a .tflite model for `threads` threads. Raises HwnasError for a broken or foreign file."""
        check_thread_count(threads)
        data = read_model(model, self.name, self.suffix)
        check_file(data, describe(model), self.name)
        with quiet_stderr():
            try:
                interpreter = self._interpreter_class()(model_content=data, num_threads=threads)
                interpreter.allocate_tensors()
            except (ValueError, RuntimeError) as error:
                reason = " ".join(str(error).split())
                raise HwnasError(
                    f"{self.name} {self.version()} cannot load {describe(model)}: {reason} Use a newer runtime, or "
                    f"export the model with operators that this one has."
                ) from error
        check_tensors(interpreter, describe(model))
        shape = tuple(int(size) for size in interpreter.get_input_details()[0]["shape"])
        if len(shape) == 4:
            shape = (shape[0], shape[3], shape[1], shape[2])
        return TFLiteSession(interpreter, shape)

    def _interpreter_class(self) -> Any:
        try:
            installed = installed_version(self.distribution)
            if self.needs_numpy_1 and int(np.__version__.split(".")[0]) >= 2:
                # importing it works; the crash comes later, as a SystemError from the first interpreter
                raise HwnasError(
                    f"{self.distribution} {installed} was built for numpy 1 and fails under the "
                    f"installed numpy {np.__version__}; install numpy<2, or use the runtime litert."
                )
            return import_module(f"{self.package}.interpreter").Interpreter
        except PackageNotFoundError:
            raise HwnasError(
                f"the runtime {self.name} needs the package {self.distribution}, which is not installed; {self.cure}."
            ) from None
        except ImportError as error:
            raise HwnasError(
                f"{self.distribution} {installed} is installed but cannot be imported: {error}; {self.cure}."
            ) from error


def check_file(data: bytes, described: str, runtime: str) -> None:
    """Raise HwnasError unless `data` is a whole TFLite flatbuffer.

    tflite-runtime does not verify a file before it follows the offsets in it: a truncated one loads as another network,
    or crashes the process. LiteRT does verify, so its verdict guards both.
    """
    if not is_tflite(data):
        raise HwnasError(
            f"{described} is not a TFLite model: the identifier 'TFL3' is missing at byte 4 (found {data[4:8]!r}); "
            f"the runtime {runtime} takes .tflite files, .onnx files need the runtime onnxruntime."
        )
    with quiet_stderr():
        try:
            LITERT._interpreter_class()(model_content=data)
        except ValueError:
            raise HwnasError(
                f"{described} is a truncated or damaged TFLite model: it starts like one, but its {len(data)} bytes "
                f"do not hold together; copy or export it again."
            ) from None


def _stored(details: dict[str, Any]) -> StoredTensor:
    """How the file stores this input or output. A scale of 0 means that it gives none."""
    scale, zero_point = details["quantization"]
    return StoredTensor(np.dtype(details["dtype"]), float(scale) or 1.0, int(zero_point))


def check_tensors(interpreter: Any, described: str) -> None:
    """Raise HwnasError unless the model has one input and one output, of fixed size and of a type in `DTYPES`."""
    for side, details in (("input", interpreter.get_input_details()), ("output", interpreter.get_output_details())):
        if len(details) != 1:
            raise HwnasError(f"a model must have one {side}, {described} has {len(details)}; export it with one.")
        if np.dtype(details[0]["dtype"]) not in DTYPES:
            raise HwnasError(
                f"the {side} of a model must be {', '.join(map(str, DTYPES))}, that of {described} is "
                f"{np.dtype(details[0]['dtype'])}; export it with one of these."
            )
        if any(size < 0 for size in details[0]["shape_signature"][1:]):
            raise HwnasError(
                f"the {side} of a model must have a fixed size, that of {described} is "
                f"{details[0]['shape_signature'].tolist()} (-1 is free); export it for one image size."
            )


LITERT = TFLiteRuntime("litert", "ai-edge-litert", "ai_edge_litert", "install it with `pip install ai-edge-litert`")
TFLITE_RUNTIME = TFLiteRuntime(
    "tflite-runtime",
    "tflite-runtime",
    "tflite_runtime",
    "install it with `pip install 'hwnas[tflite-runtime]'` (Python 3.11 only), or use the runtime litert",
    needs_numpy_1=True,
)
