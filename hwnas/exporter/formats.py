"""The formats that networks are exported to.

To add one, write the package ``hwnas/exporter/NAME`` with a module ``format`` that holds its `FORMAT`, name it in
`FORMATS`, and store the reference model in it (`hwnas.latency.measuring.model_files.make_reference_model`). The options
of the command line and the conformance tests follow.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from hwnas.errors import unknown_name

if TYPE_CHECKING:
    from hwnas.exporter.model_file.format import Format

FORMATS = ("tflite", "onnx")
"""Every format by the name people type, which is that of its package too; an export writes all of them by default."""


def get_format(name: str) -> Format:
    """The format called `name`. Raises UsageError, listing the known names, if there is none."""
    if name not in FORMATS:
        raise unknown_name("export format", name, list(FORMATS))
    format: Format = import_module(f"hwnas.exporter.{name}.format").FORMAT  # loaded when it is asked for
    return format
