"""The Format: the functions that a file format gives to an export. Formats are listed in `hwnas.exporter.formats`."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from hwnas.exporter.graph.graph import Graph
from hwnas.exporter.model_file.metadata import ModelMetadata
from hwnas.exporter.model_file.quantizer import Int8Settings, Quantizer

Weights = Literal["float32", "float16"]
"""How a file stores its weights; it computes in float32 all the same."""


class GraphWriter(Protocol):
    """Writes the float32 file of a Graph."""

    def __call__(self, graph: Graph, weights: Weights = "float32", float32_layers: Collection[str] = ()) -> bytes:
        """The file. With ``float16`` weights, those of the layers named in `float32_layers` stay float32."""
        ...


@dataclass(frozen=True)
class Format:
    """A file format.

    Args:
        name: As people type it; also the suffix of its files.
        write: Graph -> file.
        runtime: The runtime that checks its files.
        quantizer: (float32 file, images float32 (N, C, H, W), settings) -> the Quantizer that makes int8 files of it.
        int8_weights: float32 file -> the same with int8 weights.
        uint8_input: A file whose input means pixels -> one that takes them as uint8, NHWC.
        with_metadata: (file, its metadata) -> file.
        check: Raises HwnasError for a file that breaks a rule of the format.
        second_runtime: Another runtime that float files are compared in, where it is installed.
    """

    name: str
    write: GraphWriter
    runtime: str
    quantizer: Callable[[bytes, NDArray[np.float32], Int8Settings], Quantizer]
    int8_weights: Callable[[bytes], bytes]
    uint8_input: Callable[[bytes], bytes]
    with_metadata: Callable[[bytes, ModelMetadata], bytes]
    check: Callable[[bytes], None] = lambda model: None
    second_runtime: str | None = None

    def __repr__(self) -> str:
        return f"Format({self.name})"
