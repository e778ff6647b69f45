"""The ShellTransport: programs, facts, health and reconnection, in the same way on every device with a POSIX shell."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

from hwnas.errors import HwnasError, UsageError
from hwnas.transports.base import Completed, DeviceError, DeviceLost, DeviceTimeout, Facts, Health
from hwnas.transports.client import ClientEnd
from hwnas.transports.facts import FACTS, parse_facts
from hwnas.transports.health import health_script, parse_health
from hwnas.transports.own_folder import deletion, end_leftovers, inside, marked
from hwnas.transports.shell import Ended, Script, cause, program, quoted, tool

ANSWER_S = 5.0
"""How much longer than the program itself a device may take to answer."""
SHORT_S = 20.0
"""How long hwnas's own small tasks on a device may take: reading facts, comparing a file."""
PROBE_S = 5.0
"""How long a device that is there may take to say so."""
PAUSE_S = (0.2, 5.0)
"""The first and the longest pause between two attempts to connect; each is twice as long as the one before."""
LIMIT_REACHED = (124, 137)
"""Exit codes of `timeout` when it has ended its program: 124 of toybox and others, 137 of coreutils with KILL."""


class ShellTransport(ABC):
    """The part of a Transport that runs commands, and finds the device again after it was lost."""

    name: str
    cure: str
    """The cure if the device does not answer; the end of an error message."""

    @property
    @abstractmethod
    def folder(self) -> str:
        """As `Transport.folder`."""

    @abstractmethod
    def _client(self, script: str, timeout_s: float, source: Path | None = None) -> ClientEnd:
        """Let the device's shell run a script, with the bytes of `source` on its standard input."""

    def run(self, arguments: Sequence[str], timeout_s: float = 30.0) -> Completed:
        """As `Transport.run`; the limit counts in whole seconds, as not every device's `timeout` knows fractions."""
        limit_s = max(1, math.ceil(timeout_s))
        body = f"{marked(self.folder)}\n{program(arguments, limit_s)}"
        began = monotonic()
        ended = self._shell(body, limit_s + ANSWER_S, inside(self.folder) | tool("timeout"))
        if ended.exit_code in LIMIT_REACHED and monotonic() - began >= limit_s:
            raise DeviceTimeout(
                f"{self.name}: {arguments[0]} was still running after {limit_s} s and was ended there. Give it more "
                "time, or less to do."
            )
        return ended.completed()

    def remove(self, *names: str) -> None:
        """As `Transport.remove`."""
        paths = " ".join(quoted(self._path(name)) for name in names)
        ended = self._in_folder(f"rm -f {paths}" if names else ":")
        if ended.exit_code:
            raise DeviceError(f"{self.name} cannot delete files in {self.folder}: {cause(ended.error)}.")

    def remove_matching(self, *patterns: str) -> None:
        """As `Transport.remove_matching`."""
        self._in_folder(deletion(patterns))

    def facts(self) -> Facts:
        """As `Transport.facts`."""
        return parse_facts(self._shell(FACTS, SHORT_S).completed().output)

    def health(self, cores: Sequence[int] = (0,)) -> Health:
        """As `Transport.health`."""
        return parse_health(self._shell(health_script(cores, quoted(self.folder)), SHORT_S).completed().output)

    def reconnect(self, timeout_s: float = 60.0) -> None:
        """As `Transport.reconnect`."""
        end = monotonic() + timeout_s
        pause_s, longest_s = PAUSE_S
        while True:
            try:
                self._shell(":", min(PROBE_S, timeout_s))
                return self._end_leftovers()
            except (DeviceLost, DeviceTimeout) as error:
                if monotonic() + pause_s >= end:
                    raise DeviceLost(f"no connection within {timeout_s:g} s. {error}") from error
            with suppress(DeviceError):
                self._connect_again(max(1.0, min(PROBE_S, end - monotonic())))
            sleep(pause_s)
            pause_s = min(2 * pause_s, longest_s)

    @abstractmethod
    def _connect_again(self, timeout_s: float) -> None:
        """Let go of the connection, which does not work, and try to make another."""

    def _end_leftovers(self) -> None:
        alive = self._shell(end_leftovers(self.folder), SHORT_S).output.split()
        if alive:
            raise HwnasError(
                f"{self.name}: {len(alive)} programs of an earlier measurement cannot be ended and would disturb the "
                "next; start the device again."
            )

    def _in_folder(self, body: str, timeout_s: float = SHORT_S, source: Path | None = None) -> Ended:
        """Run a script of hwnas's own among its files; in the C locale, so that reasons are in English."""
        body = f"{marked(self.folder)}\nexport LC_ALL=C\n{body}"
        return self._shell(body, timeout_s, inside(self.folder), source)

    def _shell(
        self, body: str, timeout_s: float, needs: Mapping[str, str] | None = None, source: Path | None = None
    ) -> Ended:
        """Let the device's shell run `body`. Raises DeviceTimeout, DeviceLost, or DeviceError for `needs`."""
        script = Script(body, needs)
        end = self._client(script.text, timeout_s, source)
        ended = script.ended(end.output, end.error, self.name)
        if ended is not None:
            return ended
        if end.exit_code is None:
            raise self._silent(timeout_s)
        raise self._lost(end.error if end.error.strip() else end.output)

    def _silent(self, timeout_s: float) -> DeviceTimeout:
        return DeviceTimeout(f"{self.name} gave no answer within {timeout_s:.0f} s. {self.cure}")

    def _lost(self, said: bytes) -> DeviceError:
        """The error when a client ended before its time, from its last words."""
        reason = f" ({cause(said)})" if said.strip() else ""
        return DeviceLost(f"{self.name} was lost, or is not there{reason}. {self.cure}")

    def _path(self, name: str) -> str:
        """The path of a file in the device's folder. Raises UsageError if `name` leads out of it."""
        if "/" in name or name in ("", ".", ".."):
            raise UsageError(f"{name!r} is no file of the device's folder: it must be a plain name, without a slash.")
        return f"{self.folder}/{name}"
