"""Every Runtime by its name. Adding one is one module with a `Runtime` and one line in `RUNTIMES`."""

from __future__ import annotations

from pathlib import Path

from hwnas.errors import HwnasError, UsageError, unknown_name
from hwnas.registered import Registered
from hwnas.runtimes.base import Runtime
from hwnas.runtimes.files import model_suffix

RUNTIMES: Registered[Runtime] = Registered(
    {
        "litert": "hwnas.runtimes.litert:LITERT",
        "tflite-runtime": "hwnas.runtimes.litert:TFLITE_RUNTIME",
        "onnxruntime": "hwnas.runtimes.onnx_runtime:ONNX_RUNTIME",
    }
)
"""Every runtime by the name people type; for one kind of file the first is the default."""


def get_runtime(name: str) -> Runtime:
    """The runtime called `name`. Raises UsageError, listing the known names, if there is none."""
    if name not in RUNTIMES:
        raise unknown_name("runtime", name, list(RUNTIMES))
    return RUNTIMES[name]


def available_runtimes() -> dict[str, str]:
    """For people: name of every runtime -> its version, or why it cannot be used here."""
    return {name: _reason_missing(runtime) or runtime.version() for name, runtime in RUNTIMES.items()}


def installed_runtimes() -> dict[str, Runtime]:
    """The runtimes that can be used here, by name."""
    return {name: runtime for name, runtime in RUNTIMES.items() if _reason_missing(runtime) is None}


def runtime_for(model: bytes | Path) -> Runtime:
    """The default runtime for a model, by its suffix or first bytes. Raises UsageError for an unknown suffix."""
    suffix = model_suffix(model)
    for runtime in RUNTIMES.values():
        if runtime.suffix == suffix:
            return runtime
    known = sorted({runtime.suffix for runtime in RUNTIMES.values()})
    raise UsageError(f"no runtime takes {model!s}: its suffix is {suffix!r}; known suffixes: {', '.join(known)}.")


def _reason_missing(runtime: Runtime) -> str | None:
    try:
        runtime.version()
    except HwnasError as error:
        return str(error)
    return None
