"""Runners: they time models on a device, wherever it is. `registry.py` lists them."""

from hwnas.runners.registry import (
    ALL_RUNTIMES,
    chosen_runtime,
    default_runtime,
    is_in_process,
    open_runner,
    resolve_runtime,
    runtime_format,
    runtime_names,
    runtime_suffix,
)

__all__ = [
    "ALL_RUNTIMES",
    "chosen_runtime",
    "default_runtime",
    "is_in_process",
    "open_runner",
    "resolve_runtime",
    "runtime_format",
    "runtime_names",
    "runtime_suffix",
]
