"""A Graph as a model file in any precision that nobody compares with PyTorch: blocks are measured as such files."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hwnas.exporter.graph.decompose import decompose
from hwnas.exporter.graph.graph import Graph
from hwnas.exporter.model_file.format import Format
from hwnas.exporter.model_file.quantizer import Int8Settings
from hwnas.exporter.precision import Precision
from hwnas.exporter.sensitivity import never_int8

RANDOM_IMAGES = 4
"""What an inference takes does not depend on the ranges of activations, so that a few random inputs do."""


def unchecked_file(
    graph: Graph,
    format: Format,
    precision: Precision,
    images: NDArray[np.float32] | None = None,
    integer_ends: bool = False,
) -> bytes:
    """The file of a Graph.

    Args:
        graph: A network or a part of one.
        format: Of the file.
        precision: Of the file.
        images: (count, C, H, W), as the network takes them, to calibrate int8 with; None: random ones, which make a
            file that takes as long as any other and answers nothing.
        integer_ends: See `hwnas.exporter.model_file.quantizer.Int8Settings`.

    Raises HwnasError if a package is missing.
    """
    if not precision.needs_images:
        file = format.write(graph, "float16" if precision.name == "float16" else "float32")
        return format.int8_weights(file) if precision.name == "int8-weights" else file
    friendly = decompose(graph)
    if images is None:
        shape = (RANDOM_IMAGES * graph.input.shape[0], *graph.input.shape[1:])
        images = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    quantizer = format.quantizer(format.write(friendly), images, Int8Settings(integer_ends=integer_ends))
    return quantizer.quantized(never_int8(friendly))
