"""Examples that `make test` leaves to `make test-weekly`, as others of the same test prove most of what they do."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def weekly_except(kept: Collection[Any], examples: Iterable[Any]) -> list[Any]:
    """The examples of a parametrized test: all weekly, and those that are kept each time."""
    return [
        example
        if example in kept
        else pytest.param(*(example if isinstance(example, tuple) else (example,)), marks=pytest.mark.weekly)
        for example in examples
    ]
