"""The formats a network is exported to: who writes each, and which runtime it is checked with.

Adding a format is one writer and one line in `FORMATS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hwnas.errors import unknown_name
from hwnas.export.graph import Graph
from hwnas.export.onnx_writer import write_onnx
from hwnas.export.tflite_writer import write_tflite


@dataclass(frozen=True)
class Format:
    """A file format: its name (also the suffix of its files), its writer, and the runtime that checks its files."""

    name: str
    write: Callable[[Graph], bytes]
    runtime: str


FORMATS = {
    format.name: format
    for format in (Format("tflite", write_tflite, "litert"), Format("onnx", write_onnx, "onnxruntime"))
}
"""Every format by the name people type."""


def get_format(name: str) -> Format:
    """The format called `name`. Raises UsageError, listing the known names, if there is none."""
    if name not in FORMATS:
        raise unknown_name("export format", name, list(FORMATS))
    return FORMATS[name]
