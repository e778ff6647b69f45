"""The space of Single-Path+ (arXiv 1907.00959): that of Single-Path NAS with squeeze-and-excitation to be searched."""

from __future__ import annotations

from dataclasses import replace

from hwnas.space import OneOf, SearchSpace
from hwnas.spaces.single_path import single_path
from hwnas.specs.mbconv import MBConv
from hwnas.specs.spec import Spec

RATIOS = (0.0, 0.25, 0.5)
"""Squeezed to hidden channels; 0 is no squeeze-and-excitation. The paper's own set is not public."""


def single_path_se(resolution: int = 224, num_classes: int = 1000, width: float = 1.0) -> SearchSpace:
    """The space `single-path` with each MBConv candidate at three squeeze ratios: 13 candidates, 12 where none is skip.

    Candidates are in the order of `single-path`, each with its ratios ascending, so that index 3 * i is its index i.
    """
    plain = single_path(resolution, num_classes, width)
    nodes = tuple(_with_ratios(node) if isinstance(node, OneOf) else node for node in plain.nodes)
    return SearchSpace("single-path-se", nodes, plain.input_shape, plain.options)


def _with_ratios(one_of: OneOf) -> OneOf:
    candidates: list[Spec] = []
    for spec in one_of.candidates:
        candidates += [replace(spec, se_ratio=ratio) for ratio in RATIOS] if isinstance(spec, MBConv) else [spec]
    return OneOf(one_of.name, tuple(candidates))
