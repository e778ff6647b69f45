"""The two errors a person can cause. Each message says the rule, the value that broke it, and the cure."""

from __future__ import annotations


class HwnasError(Exception):
    """A failure that one paragraph explains: what happened, to what, what to do. The CLI exits with 1."""

    exit_code = 1


class UsageError(HwnasError):
    """A wrong argument: an unknown name, a value out of range, options that contradict. The CLI exits with 2."""

    exit_code = 2


def unknown_name(what: str, name: str, known: list[str] | tuple[str, ...]) -> UsageError:
    """The error for a name that no registry entry has: says what was asked for and lists what there is."""
    return UsageError(f"unknown {what} {name!r}; known: {', '.join(sorted(known))}.")
