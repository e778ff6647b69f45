"""Equal time: how far each method's search goes within the same seconds, by a short pilot of it.

A pilot makes a search twice, going a little and somewhat further: so far that it takes noticeably longer. What a step
more takes, and what all of it takes besides, follow from both; the study keeps them, so that it goes on with the same
numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hwnas.searches.registry import get_search

SHORT, LONG, LONGEST = 1, 3, 12
"""Epochs of the two searches; or children, where these are trained by themselves. The second one is repeated with more,
up to the last number, where it does not take `NOTICEABLE` more seconds."""
NOTICEABLE = 0.2
"""Of the shorter search, which no noise of a machine in use hides."""
LEAST_STEP = 0.05
"""Of the shorter search, a step is taken to last so much at least: a machine that was disturbed may tell of less."""
MOST = 1_000_000

Json = dict[str, Any]


def with_effort(asked: Mapping[str, Any], effort: int) -> Json:
    """What is asked of a search that goes so far: its epochs, or how many children it trains by themselves."""
    settings = get_search(asked["method"]).resolve(asked["settings"])
    if getattr(settings, "evaluate", None) == "trained":
        return dict(asked) | {"settings": asked["settings"] | {"evaluations": effort}}
    return dict(asked) | {"epochs": effort}


def longer(short_s: float, long_s: float, effort: int) -> int:
    """How far the longer search is to go instead, to be told from the shorter one; its own effort where it can be.

    Args:
        short_s, long_s: what the searches of `SHORT` and of `effort` took.
    """
    more_s, wanted_s = long_s - short_s, NOTICEABLE * short_s
    if more_s >= wanted_s or effort >= LONGEST:
        return effort
    factor = wanted_s / more_s if more_s > 0 else LONGEST
    return min(LONGEST, SHORT + math.ceil((effort - SHORT) * factor))


def effort_within(seconds: float, short_s: float, long_s: float, long: int = LONG) -> int:
    """How far a search goes in so many seconds, 1 at least.

    Args:
        seconds: that it is given.
        short_s, long_s: what the searches of `SHORT` and `long` took.
        long: the effort of the longer search.
    """
    least_s = LEAST_STEP * short_s * (LONG - SHORT) / (long - SHORT)  # the further it goes, the better it is told
    each_s = max((long_s - short_s) / (long - SHORT), least_s, 1e-6)
    besides_s = max(short_s - SHORT * each_s, 0.0)
    return min(MOST, max(1, int((seconds - besides_s) / each_s)))
