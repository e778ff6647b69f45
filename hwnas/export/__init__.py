"""Export: a network -> Graph -> .tflite and .onnx, checked number for number against PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from hwnas.callable_package import make_callable
from hwnas.errors import HwnasError, UsageError
from hwnas.export.formats import Format, get_format
from hwnas.export.graph import Graph
from hwnas.export.lower import lower
from hwnas.export.parity import check_parity
from hwnas.files import write_atomically

__all__ = ["ExportedModel", "convert", "export"]


@dataclass(frozen=True)
class ExportedModel:
    """A model file that was written, and how exactly it computes what the PyTorch module does.

    Args:
        format: ``tflite`` or ``onnx``.
        precision: Number format of weights and arithmetic.
        path: The file.
        bytes: Its size.
        max_relative_error: Largest ``max|difference| / max|output|`` against PyTorch, whole network and blocks.
    """

    format: str
    precision: str
    path: Path
    bytes: int
    max_relative_error: float


def convert(module: nn.Module, input_shape: tuple[int, ...], format: str) -> bytes:
    """A module as a model file in memory, unchecked: what blocks are measured with, by the hundred.

    Args:
        module: One image in, one tensor out, made of supported layers; left as it was.
        input_shape: (N, C, H, W).
        format: ``tflite`` or ``onnx``.

    Raises:
        UsageError: For an unknown format or a wrong shape.
        HwnasError: For a layer that cannot be exported (named with its path), or a missing package.
    """
    return _written(lower(module, input_shape), get_format(format))


def export(
    module: nn.Module,
    folder: Path | str,
    formats: Sequence[str] = ("tflite", "onnx"),
    input_shape: tuple[int, ...] | None = None,
) -> list[ExportedModel]:
    """Write ``model.tflite`` and ``model.onnx``, float32, after checking them against PyTorch on random inputs.

    Every file is checked before the first is written. The module may live on any device and is left as it was.

    Args:
        module: A ChildNetwork, or any module made of supported layers.
        folder: Created if need be.
        formats: Any of ``tflite``, ``onnx``.
        input_shape: (N, C, H, W); one image of a ChildNetwork's own input shape by default.

    Returns:
        One ExportedModel per format, in the order asked for.

    Raises:
        UsageError: For an unknown format or a wrong or missing shape.
        HwnasError: For a layer that cannot be exported, a missing package, a relative error above 1e-5 (naming the
            block), or a folder that cannot be written.
    """
    chosen = [get_format(name) for name in dict.fromkeys(formats)]
    shape = input_shape or _own_input_shape(module)
    reference = deepcopy(module).to("cpu", torch.float32).eval()
    graph = lower(reference, shape)
    models = [_written(graph, format) for format in chosen]
    errors = [check_parity(reference, shape, format, model) for format, model in zip(chosen, models, strict=True)]
    exported = []
    for format, model, error in zip(chosen, models, errors, strict=True):
        path = Path(folder) / f"model.{format.name}"
        write_atomically(path, lambda temporary, model=model: temporary.write_bytes(model))  # type: ignore[misc]
        exported.append(ExportedModel(format.name, "float32", path, len(model), error))
    return exported


def _written(graph: Graph, format: Format) -> bytes:
    if not graph.operators:
        raise HwnasError("there is nothing to export: the module returns its input. Leave it out, it costs no time.")
    return format.write(graph)


def _own_input_shape(module: nn.Module) -> tuple[int, ...]:
    architecture = getattr(module, "architecture", None)
    if architecture is None:
        raise UsageError(f"pass input_shape=(N, C, H, W): a {type(module).__name__} does not say what image it takes.")
    return (1, *architecture.input_shape)


make_callable(__name__, export)
