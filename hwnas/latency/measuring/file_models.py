"""Models of the files of a space's networks: their size, and the memory that their activations need.

Both follow from the files of the blocks. The size is their sum, but for what a file has once and not per block, which
some whole networks tell; the peak memory of a chain is the largest of theirs, as `hwnas inspect` counts it.
"""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from torch import nn

from hwnas.blocks import build_block
from hwnas.child import build_child
from hwnas.errors import HwnasError
from hwnas.exporter.export import convert
from hwnas.inspection.counts import peak_activation_bytes
from hwnas.inspection.network import FileNetwork
from hwnas.inspection.onnx_file import read_onnx
from hwnas.inspection.tflite_file import read_tflite
from hwnas.latency.counted import CountedModel, PeakModel, counted_model
from hwnas.latency.measuring.model_files import block_model, network_model
from hwnas.space import Architecture, OneOf, SearchSpace
from hwnas.specs.cell import Cell
from hwnas.specs.spec import Shape, Spec
from hwnas.specs.two_input_cell import TwoInputCell

NETWORKS = 4
"""Random networks whose files are written, besides the smallest and the largest."""
LEAST_HALF_WIDTH = 0.002
"""Half of the interval of a predicted file size, relative, at least: paddings and the lengths of names differ."""


def file_size_model(space: SearchSpace, format: str, precision: str, further_bytes: float = 0.0) -> CountedModel:
    """The bytes of the networks' files.

    Args:
        space: whose networks.
        format, precision: of the files.
        further_bytes: what files have beside the network: labels, and how pixels are prepared.
    """

    @cache  # of parts: no cell comes twice, and all are made of a few operators
    def part_bytes(part: Spec, shape: Shape) -> float:
        return _bytes(build_block(part), shape, format, precision, True)

    def block_bytes(spec: Spec, shape: Shape) -> float:
        return 0.0 if spec.is_identity else sum(part_bytes(part, own) for part, own in spec.parts(shape))

    def block_number(spec: Spec, shape: Shape) -> float:
        return float(sum(not part.is_identity for part, _ in spec.parts(shape)))

    alone, numbers = counted_model(space, block_bytes), counted_model(space, block_number)
    seen = [*alone.extremes(space), *(space.sample(random.Random(seed)) for seed in range(NETWORKS))]
    rest = np.array([network_bytes(each, format, precision) - alone.predict(each).ms for each in seen])
    # what a file has once, and what of a block's own file each block has not
    counts = np.array([[1.0, numbers.predict(each).ms] for each in seen])
    (once, per_block), *_ = np.linalg.lstsq(counts, rest, rcond=None)
    costs = [own + per_block * n for own, n in zip(alone.costs, numbers.costs, strict=True)]
    model = CountedModel(space, alone.fixed + once + per_block * numbers.fixed + further_bytes, costs)
    off = np.abs(counts @ [once, per_block] - rest) / [alone.predict(each).ms for each in seen]
    return replace(model, half_width=max(LEAST_HALF_WIDTH, 2 * float(off.max())))


def network_bytes(architecture: Architecture, format: str, precision: str) -> float:
    """The bytes of a network's file, without labels and the like."""
    return _bytes(build_child(architecture), architecture.input_shape, format, precision)


def _bytes(module: nn.Module, shape: Shape, format: str, precision: str, integer_ends: bool = False) -> float:
    """Of a module's file as it is when it is trained: equal numbers, as in new batch norms, are written once."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.running_mean)  # type: ignore[arg-type]
    return float(len(convert(module, (1, *shape), format, precision, integer_ends=integer_ends)))


def peak_memory_model(space: SearchSpace, format: str, precision: str) -> PeakModel:
    """The most bytes that the networks' activations need at once.

    Raises HwnasError for a space of cells: what a cell keeps depends on all of its edges together.
    """
    fixed, costs = 0.0, {decision.name: np.zeros(len(decision.candidates)) for decision in space.decisions}

    @cache
    def block_peak(spec: Spec, shape: Shape) -> float:
        return 0.0 if spec.is_identity else peak_bytes(block_model(spec, shape, format, precision), format)

    for node, shape in space.positions():
        if isinstance(node, Cell | TwoInputCell):
            raise HwnasError(
                f"peak-memory cannot be limited in space {space.name!r}: the memory of a cell depends on all of "
                "its edges together, not on one choice after the other. Search a space of blocks, or limit parameters, "
                "macs or file-size."
            )
        if isinstance(node, OneOf):
            own = np.array([block_peak(spec, shape) for spec in node.candidates])
            costs[node.name] = np.maximum(costs[node.name], own)
        else:
            fixed = max(fixed, block_peak(node, shape))
    return PeakModel(space, fixed, list(costs.values()))


def peak_bytes(file: bytes, format: str) -> float:
    """The peak memory of activations of a model file, as `hwnas inspect` counts it."""
    network = _network(file, format)
    found = peak_activation_bytes(network)
    if found is None:
        raise HwnasError("the peak memory of a file is not known: it lacks the shapes of some tensors.")
    return float(found)


def network_peak_bytes(architecture: Architecture, format: str, precision: str) -> float:
    """The peak memory of a whole network's file."""
    return peak_bytes(network_model(architecture, format, precision), format)


def _network(file: bytes, format: str) -> FileNetwork:
    return read_tflite(file).network if format == "tflite" else read_onnx(file, Path()).network
