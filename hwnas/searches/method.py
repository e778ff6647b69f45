"""A Method: a search, its settings, and what the documents say of it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Any, Protocol

from pydantic import TypeAdapter, ValidationError

from hwnas.errors import UsageError
from hwnas.foreign import faults_of
from hwnas.run import Run
from hwnas.searches.problem import SearchProblem
from hwnas.searches.result import SearchResult
from hwnas.train.loop import TrainingProgress


class Search(Protocol):
    """An algorithm: trains a SuperNetwork for a problem, logging to and resuming from a Run."""

    def __call__(
        self,
        problem: SearchProblem,
        run: Run,
        progress: TrainingProgress | None = None,
        settings: Any = None,
    ) -> SearchResult: ...


@dataclass(frozen=True)
class Method:
    """A search and the frozen dataclass of its hyper-parameters, whose defaults are its own.

    Attributes:
        search: the algorithm.
        settings: its hyper-parameters.
        summary: the method in half a sentence, with its source: the table of docs/choosing.md.
        weights, trains, decides: the weights of its supernet, what a step trains, and what decides: the table of
            ``docs/methods.md``.
        section: the heading that describes it there.
    """

    search: Search
    settings: type[Any]
    summary: str
    weights: str
    trains: str
    decides: str
    section: str

    def resolve(self, given: Mapping[str, Any]) -> Any:
        """The settings with some of them given by name. Raises UsageError for a name there is not, or a wrong value."""
        known = [field.name for field in fields(self.settings)]
        if unknown := [name for name in given if name not in known]:
            raise UsageError(f"unknown search setting {unknown[0]!r}; known: {', '.join(known)}.")
        with suppress(TypeError):  # its own rules first; a wrong type that breaks them is told below
            self.settings(**given)
        try:
            return TypeAdapter(self.settings).validate_python(dict(given))  # a 1 is taken for 1.0
        except ValidationError as error:
            raise UsageError(f"search settings: {faults_of(error)}.") from None
