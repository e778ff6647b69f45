"""Inspect: the contents of a .tflite or .onnx file, whoever wrote it, and advice on its speed."""

from __future__ import annotations

from pathlib import Path

from hwnas.errors import UsageError
from hwnas.inspection.info import ModelInfo
from hwnas.sandbox import run_sandboxed

SUFFIXES = (".tflite", ".onnx")
TIMEOUT_S = 60.0
"""Reading 100 MB takes about a second."""


def inspect(model: Path | str, timeout_s: float = TIMEOUT_S) -> ModelInfo:
    """Read a .tflite or .onnx file, without running the network, in a process of its own with limits.

    Args:
        model: The file. Weights of an .onnx may lie in other files of its folder, but nowhere else.
        timeout_s: Seconds after which the process is stopped.

    Returns:
        Inputs, outputs, operators with shapes as the file lays them out, multiply-accumulates, parameters, bytes, how
        the runtimes of this machine take it, what it says of itself, and warnings.

    Raises:
        UsageError: For another suffix.
        HwnasError: If the file is missing or damaged, takes longer or needs more memory than allowed, or crashes what
            reads it.
    """
    path = Path(model)
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a {' or '.join(SUFFIXES)} file, such as those in RUN/models.")
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"hwnas inspects {' and '.join(SUFFIXES)} files; {path} has the suffix {path.suffix!r}.")
    task = {"model": str(path.absolute())}
    return ModelInfo.from_json(run_sandboxed("hwnas.inspection.examine", task, "hwnas inspect", str(path), timeout_s))
