"""The search methods by name. Adding one is a module that holds a `Method`, and a line here.

Options, help texts, the documents' tables and the conformance tests are made from this list. It imports nothing: the
methods need torch, for which a help text need not wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwnas.errors import unknown_name
from hwnas.registered import Registered

if TYPE_CHECKING:
    from hwnas.searches.method import Method

SEARCHES: Registered[Method] = Registered(
    {
        "dsnas": "hwnas.searches.dsnas:DSNAS",
        "single-path": "hwnas.searches.single_path:SINGLE_PATH",
        "single-path-lambda": "hwnas.searches.lambda_search:SINGLE_PATH_LAMBDA",
        "spos": "hwnas.searches.one_shot:SPOS",
        "random": "hwnas.searches.one_shot:RANDOM",
        "least-squares": "hwnas.searches.least_squares:LEAST_SQUARES",
        "snas": "hwnas.searches.snas:SNAS",
        "proxyless": "hwnas.searches.proxyless:PROXYLESS",
        "darts": "hwnas.searches.darts:DARTS",
        "darts-pt": "hwnas.searches.darts_pt:DARTS_PT",
        "gdas": "hwnas.searches.gdas:GDAS",
        "cdarts": "hwnas.searches.cdarts:CDARTS",
        "once-for-all": "hwnas.searches.once_for_all:ONCE_FOR_ALL",
        "weaknas": "hwnas.searches.weaknas:WEAKNAS",
    }
)
"""Every method by the name people type."""


def get_search(name: str) -> Method:
    """A search method by name. Raises UsageError, listing the known ones, for another."""
    if name not in SEARCHES:
        raise unknown_name("search method", name, list(SEARCHES))
    return SEARCHES[name]
