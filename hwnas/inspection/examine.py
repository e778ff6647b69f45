"""The process that `hwnas.inspect` reads a file in: parse it, count it, load it in its runtime."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

from hwnas.errors import HwnasError
from hwnas.inspection.advice import advice
from hwnas.inspection.counts import macs, number_formats, parameters, peak_activation_bytes, uncounted, weight_bytes
from hwnas.inspection.execution import litert_execution, onnxruntime_execution
from hwnas.inspection.info import ExecutionInfo, ModelInfo, OperatorInfo
from hwnas.inspection.network import FileNetwork
from hwnas.inspection.reading import FileContent
from hwnas.runtimes.files import is_tflite, read_model
from hwnas.sandbox import serve


def main() -> None:
    serve(lambda task: examine(Path(task["model"])).to_json())


def examine(model: Path) -> ModelInfo:
    """Inspect a file in this process. Raises HwnasError for one that cannot be read or is damaged."""
    suffix = model.suffix.lower()
    data = read_model(model, "litert" if suffix == ".tflite" else "onnxruntime", suffix)
    format = "tflite" if is_tflite(data) else "onnx"
    if suffix == ".tflite" and format != "tflite":
        raise HwnasError(
            f"{model} is not a TFLite model: the identifier 'TFL3' is missing at byte 4 (found {data[4:8]!r}). Copy or "
            "export it again."
        )
    try:
        content, execution = READERS[format](data, model)
        return _info(model, data, format, content, execution)
    except MemoryError:
        raise
    except HwnasError as error:
        raise HwnasError(f"{model} cannot be inspected: {str(error).rstrip('.')}. Copy or export it again.") from None
    except Exception as error:  # the parsers check little: what a damaged file makes of them can be any error
        raise HwnasError(
            f"{model} is a damaged .{format} file: it cannot be read to its end ({type(error).__name__}: "
            f"{str(error)[:100]}). Copy or export it again."
        ) from error


def _read_tflite(data: bytes, _model: Path) -> tuple[FileContent, ExecutionInfo]:
    from hwnas.inspection.tflite_file import read_tflite

    execution = litert_execution(data)  # first: it verifies the offsets in the file, which the reader trusts
    return read_tflite(data), execution


def _read_onnx(data: bytes, model: Path) -> tuple[FileContent, ExecutionInfo]:
    from hwnas.inspection.onnx_file import read_onnx

    content = read_onnx(data, model.parent)  # first: it refuses files that would have the runtime read others
    return content, onnxruntime_execution(model)


READERS = {"tflite": _read_tflite, "onnx": _read_onnx}
"""Format -> how a file of it is read, and how its runtime takes it."""


def _info(model: Path, data: bytes, format: str, content: FileContent, execution: ExecutionInfo) -> ModelInfo:
    network = content.network
    return ModelInfo(
        file=model.name,
        format=format,
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        version=content.version,
        inputs=content.inputs,
        outputs=content.outputs,
        operators=tuple(_operators(network)),
        precision=_precision(network),
        weight_bytes=weight_bytes(network),
        peak_activation_bytes=peak_activation_bytes(network),
        execution=execution,
        metadata=content.metadata,
        warnings=tuple(advice(format, content, execution)),
        uncounted=uncounted(network),
    )


def _operators(network: FileNetwork) -> list[OperatorInfo]:
    return [
        OperatorInfo(
            kind=operator.kind,
            name=operator.name,
            inputs=tuple(network.tensors[name].declared for name in network.activations(operator.inputs)),
            outputs=tuple(network.tensors[name].declared for name in network.activations(operator.outputs)),
            kernel=operator.kernel,
            macs=macs(network, operator) or 0,
            parameters=count,
            weight_bytes=size,
        )
        for operator, (count, size) in zip(network.operators, parameters(network), strict=True)
    ]


def _precision(network: FileNetwork) -> str:
    """The number formats of the products, in words; the most frequent first."""
    found = (number_formats(network, operator) for operator in network.operators)
    pairs = Counter(pair for pair in found if pair is not None)
    if not pairs:
        return "no weights"
    words = [w if w == a else f"{w} weights with {a} activations" for (w, a), _ in pairs.most_common()]
    return words[0] if len(words) == 1 else f"mixed: {'; '.join(words)}"


if __name__ == "__main__":
    main()
