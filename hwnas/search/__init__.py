"""The searches by name. Adding one is a module with a function and a line in `SEARCHES`."""

from __future__ import annotations

from hwnas.errors import unknown_name
from hwnas.search.dsnas import dsnas
from hwnas.search.problem import Search, SearchProblem, SearchResult

SEARCHES: dict[str, Search] = {"dsnas": dsnas}


def get_search(name: str) -> Search:
    """A search by name. Raises UsageError, listing the known ones, for another."""
    if name not in SEARCHES:
        raise unknown_name("search method", name, list(SEARCHES))
    return SEARCHES[name]


__all__ = ["SEARCHES", "Search", "SearchProblem", "SearchResult", "get_search"]
