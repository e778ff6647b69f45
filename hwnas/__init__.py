"""hwnas designs a neural network for one device and one deadline: measure, fit, search, export, measure again.

The verbs of the command line are functions here (`measure`, `import_table`, `fit`, `price`, `latency_range`, `search`,
`export`, `inspect`, `bench`, `accuracy`, `evaluate`, `design`), beside what they take and give. Nothing is imported
before it is asked for: a child and its export never load the search.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import hwnas.openmp  # noqa: F401  before torch

if TYPE_CHECKING:
    from hwnas.campaign.bench import bench
    from hwnas.child import ChildNetwork, build_child, load_child, save_child
    from hwnas.designer.config import DesignConfig
    from hwnas.designer.design import design
    from hwnas.devices.device import load_device
    from hwnas.errors import HwnasError, UsageError
    from hwnas.evaluation.config import StudyConfig
    from hwnas.evaluation.study import evaluate
    from hwnas.exporter.export import export
    from hwnas.inspection.inspect import inspect
    from hwnas.latency.additive import AdditivePredictor
    from hwnas.latency.budget import Budget
    from hwnas.latency.fitting.fit import fit
    from hwnas.latency.measuring.latency_range import latency_range
    from hwnas.latency.measuring.measure import measure
    from hwnas.latency.tables.imported.import_table import import_table
    from hwnas.latency.tables.table import LatencyTable
    from hwnas.pricing import price
    from hwnas.searches.search import search
    from hwnas.space import Architecture, OneOf, SearchSpace
    from hwnas.spaces import get_space
    from hwnas.train.data import load_data
    from hwnas.train.export_images import export_images
    from hwnas.train.model_accuracy import accuracy

__version__ = "0.1.0"

_HOME = {
    "AdditivePredictor": "latency.additive",
    "Architecture": "space",
    "Budget": "latency.budget",
    "ChildNetwork": "child",
    "DesignConfig": "designer.config",
    "HwnasError": "errors",
    "LatencyTable": "latency.tables.table",
    "OneOf": "space",
    "SearchSpace": "space",
    "StudyConfig": "evaluation.config",
    "UsageError": "errors",
    "accuracy": "train.model_accuracy",
    "bench": "campaign.bench",
    "build_child": "child",
    "design": "designer.design",
    "evaluate": "evaluation.study",
    "export": "exporter.export",
    "export_images": "train.export_images",
    "fit": "latency.fitting.fit",
    "get_space": "spaces",
    "import_table": "latency.tables.imported.import_table",
    "inspect": "inspection.inspect",
    "latency_range": "latency.measuring.latency_range",
    "load_child": "child",
    "load_data": "train.data",
    "load_device": "devices.device",
    "measure": "latency.measuring.measure",
    "price": "pricing",
    "save_child": "child",
    "search": "searches.search",
}
"""The module of each public name, as above; a test compares the two."""

__all__ = [
    "AdditivePredictor",
    "Architecture",
    "Budget",
    "ChildNetwork",
    "DesignConfig",
    "HwnasError",
    "LatencyTable",
    "OneOf",
    "SearchSpace",
    "StudyConfig",
    "UsageError",
    "accuracy",
    "bench",
    "build_child",
    "design",
    "evaluate",
    "export",
    "export_images",
    "fit",
    "get_space",
    "import_table",
    "inspect",
    "latency_range",
    "load_child",
    "load_data",
    "load_device",
    "measure",
    "price",
    "save_child",
    "search",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"hwnas.{_HOME[name]}"), name)
    raise AttributeError(f"module 'hwnas' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
