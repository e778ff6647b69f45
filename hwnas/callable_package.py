"""Lets a package be called as the verb it is named for: ``hwnas.export(child, folder)``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any


def make_callable(package: str, verb: Callable[..., Any]) -> None:
    """Make calling the imported `package` the same as calling `verb`."""

    class CallablePackage(ModuleType):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return verb(*args, **kwargs)

    sys.modules[package].__class__ = CallablePackage
    sys.modules[package].__doc__ = verb.__doc__
