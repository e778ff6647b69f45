"""Text and values made safe: from outside, for a terminal, which obeys some of it; from arithmetic, for JSON."""

from __future__ import annotations

import math
import re
from typing import Any

OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
"""Control characters (C0 and C1, but for tab and newline), what changes the direction of text, lone surrogates, and
the two that no XML may hold."""


def shown(text: str) -> str:
    r"""The text, with `OBEYED` characters as Python writes them: ``\x1b``, ``\u202e``."""
    return OBEYED.sub(lambda found: ascii(found[0])[1:-1], text)


def json_values(data: Any) -> Any:
    """The data with None for every float that JSON has no number for: NaN and the infinities, which a loss can be."""
    if isinstance(data, dict):
        return {key: json_values(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [json_values(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def excerpt(value: Any, most: int = 60) -> str:
    """A value for a message, cut off where it is long."""
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}..."
