"""Runtimes: they execute a model file in this process. `registry.py` lists them."""

from hwnas.runtimes.base import Runtime, Session
from hwnas.runtimes.registry import RUNTIMES, available_runtimes, get_runtime, installed_runtimes, runtime_for

__all__ = ["RUNTIMES", "Runtime", "Session", "available_runtimes", "get_runtime", "installed_runtimes", "runtime_for"]
