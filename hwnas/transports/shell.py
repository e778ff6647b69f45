"""Scripts for a device's shell: nothing in them can become a command, and how they ended is beyond doubt.

`adb shell` returns 0 when the connection ends in the middle of a command, login files print greetings, and old phones
write CR LF. So every script stands between two marks that nobody can know before, the last one with the exit code.
"""

from __future__ import annotations

import re
import secrets
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hwnas.errors import UsageError
from hwnas.transports.base import Completed, DeviceError

CHECKSUM = """checksum() {
for tool in sha256sum 'toybox sha256sum' 'busybox sha256sum' 'openssl dgst -sha256 -r' 'shasum -a 256'; do
sum=$($tool < "$1" 2> /dev/null) && echo "${sum%% *}" && return
done
echo unknown
}"""
"""Shell function that prints the SHA-256 of a file, or ``unknown`` where the device has no tool that tells it."""


def quoted(text: str) -> str:
    """One word of a shell's command line that stands for `text`, whatever it holds.

    Raises UsageError for text that no program can be given: a NUL character, or a surrogate that stands for no byte.
    """
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise UsageError(f"{text!r} holds half a character (a lone surrogate), which no device can be sent.") from None
    if "\0" in text:
        raise UsageError(f"{text!r} holds a NUL character, which no argument and no file name can; take it out.")
    return shlex.quote(text)


def tool(name: str) -> dict[str, str]:
    """The check of a script that uses a program which not every device has."""
    return {f"it has no program {name}: install coreutils, toybox or busybox there": f"command -v {name} > /dev/null"}


def program(arguments: Sequence[str], limit_s: int) -> str:
    """The script that becomes one program, for `limit_s` seconds at most, with nothing on its standard input.

    `timeout`'s own child becomes the program, because many a toybox ends its child only, not that one's children. And
    it does so after a moment, because toybox 0.8.9 takes the exit code of a child that ends at once for 127.
    """
    if not arguments or not arguments[0]:
        raise UsageError("there is no program to run: the first argument must be its name.")
    words = " ".join(quoted(argument) for argument in arguments)
    start = 'command -v toybox > /dev/null && sleep 0.05; exec "$@"'
    return f"exec timeout -s KILL {limit_s} sh -c '{start}' sh {words} < /dev/null"


@dataclass(frozen=True)
class Ended:
    """A script that came to its end."""

    exit_code: int
    output: bytes
    error: bytes

    def completed(self) -> Completed:
        """The same as text."""
        return Completed(self.exit_code, self.output.decode("utf-8", "replace"), self.error.decode("utf-8", "replace"))


class Script:
    """A script between its marks, to be used once."""

    def __init__(self, body: str, needs: Mapping[str, str] | None = None) -> None:
        """Write the script.

        Args:
            body: runs in a shell of its own.
            needs: checks to be made before, as commands; each by the fault of the device if it fails.
        """
        self._mark = f"hwnas-{secrets.token_hex(8)}"
        self._problems = tuple(needs or {})
        lines = [f"echo {self._mark}; echo {self._mark} >&2; ended="]
        for number, check in enumerate((needs or {}).values()):
            lines.append(f"[ \"$ended\" ] || {{ {check}; }} || ended='no {number}'")
        lines += ['[ "$ended" ] || {', "(", body, ")", "ended=$?", "}", f"echo; echo {self._mark}=$ended"]
        self.text = "\n".join(lines)

    def ended(self, output: bytes, error: bytes, device: str) -> Ended | None:
        """The script's output between the marks; None if its end is missing.

        Raises DeviceError if the device lacks what the script needs.
        """
        mark = re.escape(self._mark.encode())
        # a terminal shows both outputs in one, and so both marks
        begin = re.search(rb"(" + mark + rb"\r?\n)+", output)
        end = re.search(rb"\n" + mark + rb"=(no )?(\d+)\r?\n", output)
        if begin is None or end is None:
            return None
        content, said = output[begin.end() : end.start()], re.split(mark + rb"\r?\n", error)[-1]
        if end[0].endswith(b"\r\n"):  # a terminal is in between, which writes this for every newline
            content = content.removesuffix(b"\r").replace(b"\r\n", b"\n")
            said = said.replace(b"\r\n", b"\n")
        if end[1]:
            reason = cause(said)
            raise DeviceError(f"{device}: {self._problems[int(end[2])]}{f' ({reason})' if reason else ''}.")
        return Ended(int(end[2]), content, said)


def cause(said: bytes) -> str:
    """The line of a program's output that names its failure: the last one that is called an error, or the last one."""
    lines = [line.strip() for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
    errors = [line for line in lines if "error:" in line]
    return (errors or lines or [""])[-1][:300].rstrip(".")
