"""Progress that nobody watches."""

from __future__ import annotations


def silent(*_: object) -> None:
    """The progress of whoever asks for none: it takes any arguments and does nothing."""
