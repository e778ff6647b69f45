"""How the runtimes here take a model: the partitions of XNNPACK in a .tflite, the nodes of ONNX Runtime in an .onnx.

To be called in a process of its own: a runtime that is given a damaged file may crash.
"""

from __future__ import annotations

from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

from hwnas.errors import HwnasError
from hwnas.inspection.info import ExecutionInfo
from hwnas.inspection.network import printable
from hwnas.runtimes import get_runtime
from hwnas.temporary import temporary_folder

DAMAGED = "not a valid Flatbuffer"
"""How LiteRT begins its verdict on a file whose parts do not hold together."""

NO_MESSAGES = 4
"""ONNX Runtime's log severity: fatal only."""


def litert_execution(data: bytes) -> ExecutionInfo:
    """Load a .tflite in LiteRT, with XNNPACK as in an app. Raises HwnasError if LiteRT calls the file damaged."""
    runtime = get_runtime("litert")
    name = f"litert {runtime.version()}"
    interpreter_class = import_module("ai_edge_litert.interpreter").Interpreter
    try:
        interpreter = interpreter_class(model_content=data, num_threads=1)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        if DAMAGED in str(error):
            raise HwnasError("its parts do not hold together") from None
        return ExecutionInfo(name, refused=printable(" ".join(str(error).split())))
    nodes = interpreter._get_ops_details()
    delegates = [node for node in nodes if node["op_name"] == "DELEGATE"]
    operators = [node for node in nodes if node["op_name"] != "DELEGATE"]
    inside = _inside(operators, delegates)
    outside = tuple(i for i in range(len(operators)) if i not in inside)
    executed = Counter(operators[i]["op_name"] for i in outside) + Counter({"XNNPACK": len(delegates)})
    return ExecutionInfo(name, None, len(delegates), outside, dict(executed.most_common()))


def _inside(operators: list[Any], delegates: list[Any]) -> set[int]:
    """Positions of the operators that delegates replace: all on the ways back from their outputs to their inputs."""
    producers = {int(tensor): i for i, node in enumerate(operators) for tensor in node["outputs"]}
    inside: set[int] = set()
    for delegate in delegates:
        ends = set(delegate["inputs"].tolist())
        open_tensors = delegate["outputs"].tolist()
        while open_tensors:
            tensor = open_tensors.pop()
            position = producers.get(tensor)
            if tensor not in ends and position is not None and position not in inside:
                inside.add(position)
                open_tensors += operators[position]["inputs"].tolist()
    return inside


def onnxruntime_execution(model: Path) -> ExecutionInfo:
    """Load an .onnx in ONNX Runtime and count the nodes that its optimiser leaves."""
    try:
        runtime = get_runtime("onnxruntime")
        name = f"onnxruntime {runtime.version()}"
    except HwnasError as error:
        return ExecutionInfo("onnxruntime", refused=str(error))
    onnxruntime, onnx = import_module("onnxruntime"), import_module("onnx")
    with temporary_folder() as folder:
        optimised = folder / "optimised.onnx"
        if _refusal(onnxruntime, model, optimised) is not None:
            # what it makes of a large file may not be written here; the file itself may be sound
            return ExecutionInfo(name, refused=_refusal(onnxruntime, model))
        graph = onnx.load(str(optimised), load_external_data=False).graph
    kinds = Counter(f"{node.domain}.{node.op_type}".lstrip(".") for node in graph.node)
    return ExecutionInfo(name, nodes=dict(kinds.most_common()))


def _refusal(onnxruntime: Any, model: Path, optimised: Path | None = None) -> str | None:
    """Why ONNX Runtime does not load a file, and write what its optimiser makes of it; None: it does."""
    options = onnxruntime.SessionOptions()
    if optimised is not None:
        options.optimized_model_filepath = str(optimised)
    options.log_severity_level = NO_MESSAGES
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common base below Exception
        return printable(" ".join(str(error).split()))
    return None
