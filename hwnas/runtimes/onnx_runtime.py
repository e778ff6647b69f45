"""ONNX Runtime on the CPU: .onnx files, NCHW as they are."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.errors import HwnasError
from hwnas.runtimes.files import describe, file_sha256, installed_version, is_tflite, is_utf8, read_model
from hwnas.runtimes.tensors import StoredTensor, check_input, check_thread_count

CURE = "install it with `pip install 'hwnas[onnx]'`"
ERRORS_ONLY = 3
"""ONNX Runtime's log severity: 0 verbose, 1 info, 2 warning, 3 error, 4 fatal."""

DTYPES = {"tensor(float)": "float32", "tensor(uint8)": "uint8", "tensor(int8)": "int8"}
"""The types of inputs and outputs, by ONNX Runtime's name for them. Integers mean themselves: .onnx stores no scale."""

LAYOUT_KEY = "input_layout"
"""Where a file of ours says ``NHWC``, if it takes its images that way; without it they are NCHW."""


class OnnxSession:
    """One model in an ONNX Runtime inference session: one input and one output, float32 or integers."""

    def __init__(self, session: Any, input_shape: tuple[int, ...]) -> None:
        self._nhwc = session.get_modelmeta().custom_metadata_map.get(LAYOUT_KEY) == "NHWC" and len(input_shape) == 4
        n, *image = input_shape
        self.input_shape = (n, image[2], image[0], image[1]) if self._nhwc else input_shape
        self._session = session
        (source,), (result,) = session.get_inputs(), session.get_outputs()
        self._input_name = source.name
        self._stored_input, self._stored_output = (StoredTensor(np.dtype(DTYPES[end.type])) for end in (source, result))
        self._binding = session.io_binding()
        self._binding.bind_output(result.name, "cpu")

    def prepare(self, x: NDArray[np.float32]) -> None:
        """Bind `x` (float32, NCHW) as the input, so that `invoke` neither copies nor looks up names."""
        check_input(x, self.input_shape)
        stored = self._stored_input.stored(x)
        # the binding points into this copy, which must outlive the call
        self._input = np.array(stored.transpose(0, 2, 3, 1) if self._nhwc else stored, order="C")
        self._binding.bind_cpu_input(self._input_name, self._input)

    def invoke(self) -> None:
        """One inference on the prepared input."""
        self._session.run_with_iobinding(self._binding)

    def run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Outputs for `x` (float32, NCHW)."""
        self.prepare(x)
        self.invoke()
        return self._stored_output.values(self._binding.copy_outputs_to_cpu()[0])


class OnnxRuntime:
    """The package ``onnxruntime``: CPU provider, its own graph optimiser at the default (highest) level."""

    name = "onnxruntime"
    suffix = ".onnx"

    def version(self) -> str:
        """Version of the installed package. Raises HwnasError, naming the cure, if it is missing or unusable."""
        return str(_onnxruntime().__version__)

    def library_sha256(self) -> str:
        """SHA-256 of the shared library that holds the kernels."""
        _onnxruntime()
        # the Python module links the whole runtime in; the libonnxruntime.so beside it is never loaded from Python
        return file_sha256(Path(str(import_module("onnxruntime.capi.onnxruntime_pybind11_state").__file__)))

    def load(self, model: bytes | Path, threads: int = 1) -> OnnxSession:
        """Load an .onnx model for `threads` threads. Raises HwnasError for a broken or foreign file."""
        check_thread_count(threads)
        data = read_model(model, self.name, self.suffix)
        if is_tflite(data):
            raise HwnasError(
                f"{describe(model)} is a TFLite model (identifier 'TFL3'); the runtime onnxruntime takes .onnx files: "
                f"use the runtime litert, or export the model as .onnx."
            )
        onnxruntime = _onnxruntime()
        try:
            session = onnxruntime.InferenceSession(
                # by path where there is one: weights may lie in a second file beside it; it takes UTF-8 alone
                str(model) if isinstance(model, Path) and is_utf8(str(model)) else data,
                _options(onnxruntime, threads),
                providers=["CPUExecutionProvider"],
            )
        except Exception as error:  # its errors have no common base below Exception
            raise HwnasError(
                f"onnxruntime {self.version()} cannot load {describe(model)}: {' '.join(str(error).split())} An .onnx "
                f"model was expected; the file is of another format, truncated, or newer than this runtime: export it "
                f"again, or update onnxruntime."
            ) from error
        return OnnxSession(session, _checked_input_shape(session, describe(model)))


def _onnxruntime() -> Any:
    try:
        return import_module("onnxruntime")
    except ImportError as error:
        try:
            installed = installed_version("onnxruntime")
        except PackageNotFoundError:
            raise HwnasError(
                f"the runtime onnxruntime needs the package onnxruntime, which is not installed; {CURE}."
            ) from None
        raise HwnasError(f"onnxruntime {installed} is installed but cannot be imported: {error}; {CURE}.") from error


def _options(onnxruntime: Any, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY
    # threads that spin while idle take cycles from what is measured next, and from the neighbours on a shared machine
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _checked_input_shape(session: Any, described: str) -> tuple[int, ...]:
    """The input shape, a free batch size read as 1. Raises HwnasError unless there is one input and one output, of a
    type in `DTYPES`."""
    for side, tensors in (("input", session.get_inputs()), ("output", session.get_outputs())):
        if len(tensors) != 1:
            raise HwnasError(f"a model must have one {side}, {described} has {len(tensors)}; export it with one.")
        if tensors[0].type not in DTYPES:
            raise HwnasError(
                f"the {side} of a model must be {', '.join(DTYPES.values())}, that of {described} is "
                f"{tensors[0].type}; export it with one of these."
            )
    batch, *rest = session.get_inputs()[0].shape or [1]
    if not all(isinstance(size, int) for size in rest):
        raise HwnasError(
            f"the input of a model must have a fixed size, that of {described} is {[batch, *rest]} (names are free); "
            f"export it for one image size."
        )
    return (batch if isinstance(batch, int) else 1, *rest)


ONNX_RUNTIME = OnnxRuntime()
