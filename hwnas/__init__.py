"""hwnas designs a neural network for one device and one deadline: measure, fit, search, export, measure again.

The verbs of the command line are functions here (`measure`, `import_table`, `fit`, `price`, `search`, `export`,
`inspect`, `bench`, `design`), beside what they take and give. Nothing is imported before it is asked for: a child and
its export never load the search.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

OPENMP_SPINS = "5000"
"""How often a thread of GNU OpenMP, which torch trains with, looks for work before it sleeps; 300,000 by itself.

Those are milliseconds, which on a busy machine are taken from the thread that is waited for: a search beside other
programs made 0.14 steps a second with two threads, and 18 with one (docs/methods.md). It changes no result, and is read
once, when torch is imported.
"""

if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
    os.environ["GOMP_SPINCOUNT"] = OPENMP_SPINS

_HOME = {
    "HwnasError": "hwnas.errors",
    "UsageError": "hwnas.errors",
    "Architecture": "hwnas.space",
    "OneOf": "hwnas.space",
    "SearchSpace": "hwnas.space",
    "get_space": "hwnas.spaces",
    "ChildNetwork": "hwnas.child",
    "build_child": "hwnas.child",
    "load_child": "hwnas.child",
    "save_child": "hwnas.child",
    "AdditivePredictor": "hwnas.latency",
    "Budget": "hwnas.latency",
    "LatencyTable": "hwnas.latency",
    "fit": "hwnas.latency",
    "import_table": "hwnas.latency.imported",
    "price": "hwnas.pricing",
    "bench": "hwnas.measure",
    "load_device": "hwnas.measure",
    "load_data": "hwnas.train.data",
}
"""Where each public name lives."""

_VERBS = ("design", "export", "inspect", "measure", "search")
"""Modules that are named as the verb they are for: they can be called."""

__all__ = [*_VERBS, *_HOME]


def __getattr__(name: str) -> Any:
    if name in _VERBS:
        return import_module(f"hwnas.{name}")
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'hwnas' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
