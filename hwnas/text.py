"""Text from outside, such as a phone's name or a path, made safe to show: what a terminal obeys is written out."""

from __future__ import annotations

import re

OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters (C0 and C1, but for tab and newline), what changes the direction of text, lone surrogates."""


def shown(text: str) -> str:
    r"""The text, with `OBEYED` characters as Python writes them: ``\x1b``, ``\u202e``."""
    return OBEYED.sub(lambda found: ascii(found[0])[1:-1], text)
