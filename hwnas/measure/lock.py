"""Locks: what two processes must not do at once."""

from __future__ import annotations

from hwnas.errors import HwnasError


def lock(descriptor: int, refusal: str) -> None:
    """Lock an open file until it is closed, however this process ends. Raises HwnasError(`refusal`) if another has."""
    try:
        import fcntl  # not on Windows
    except ImportError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise HwnasError(refusal) from None
