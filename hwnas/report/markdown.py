"""Text in Markdown."""

from __future__ import annotations


def markdown_text(text: str) -> str:
    """Text that Markdown shows as it is, in one line."""
    escaped = "".join(f"\\{c}" if c in "\\`*_[]<>|#" else c for c in str(text))
    return " ".join(escaped.split())
