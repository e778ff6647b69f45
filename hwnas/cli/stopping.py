"""Ending a verb when the system asks for it: as after Ctrl-C, nothing temporary is left, nothing finished is lost."""

from __future__ import annotations

import os
import signal
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))

STOPPED = tuple(128 + number for number in SIGNALS)
"""Exit codes after these signals, as a shell tells them."""


class Stopped(BaseException):
    """The system asked this process to end. No Exception, so that nothing takes it for a failure and goes on."""

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.exit_code = 128 + number


def stop_on_signals() -> None:
    """From now on, have SIGTERM and SIGHUP raise Stopped; a signal that is ignored, as under nohup, stays so."""
    owner = os.getpid()

    def stop(number: int, _: FrameType | None) -> None:
        if os.getpid() != owner:  # a process that was forked off: it has nothing of its own to put right
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        for each in SIGNALS:
            signal.signal(each, signal.SIG_IGN)  # asked twice, cleaning up goes on
        raise Stopped(number)

    for number in SIGNALS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, stop)
