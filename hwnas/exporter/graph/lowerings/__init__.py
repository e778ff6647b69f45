"""Lowerings of PyTorch's functions to the operators of a Graph: one function each, found in a registry.

To support a further operator, add a function to one of these modules under ``@lowers(...)``; if it needs a new `Kind`,
each writer gets a function for that kind too.
"""

from __future__ import annotations

# importing these modules fills the registry
from hwnas.exporter.graph.lowerings import activations, arithmetic, gathers, pooling, shapes, weighted  # noqa: F401
from hwnas.exporter.graph.lowerings.registry import LOWERINGS, Call, Lowering, Recorder, lowering_of, name_of, supported

__all__ = ["LOWERINGS", "Call", "Lowering", "Recorder", "lowering_of", "name_of", "supported"]
