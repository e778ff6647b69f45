"""Registered: what is chosen by name, each imported when it is first used, so that a help text need not wait for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Generic, TypeVar

T = TypeVar("T")


class Registered(Mapping[str, T], Generic[T]):
    """Things by name; listing the names imports nothing."""

    def __init__(self, homes: Mapping[str, str]) -> None:
        """`homes` is the module and attribute of each name: ``{"litert": "hwnas.runtimes.litert:LITERT"}``."""
        self._homes = dict(homes)

    def __getitem__(self, name: str) -> T:
        module, attribute = self._homes[name].split(":")
        found: T = getattr(import_module(module), attribute)
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._homes

    def __iter__(self) -> Iterator[str]:
        return iter(self._homes)

    def __len__(self) -> int:
        return len(self._homes)
