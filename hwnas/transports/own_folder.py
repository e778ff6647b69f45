"""The folder on a device that hwnas made for itself: nothing outside of it is ever written, replaced or deleted.

The `folder` of a device file may hold a person's own files. So hwnas makes a folder of its own below it, and puts a
marker into it. A folder of that name without the marker is another's, unless it is empty, and is refused.

A lost connection leaves programs that go on running, and files that did not arrive whole. Every program that hwnas runs
in its folder carries a mark in its environment, which its children inherit; and the shell that is about to set the mark
has it in its command line. So exactly those are found and ended, whatever they are called and wherever they have gone,
and never another person's program, nor the shell that searches.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from hwnas.errors import UsageError
from hwnas.transports.shell import quoted

NAME = "hwnas-files"
MARKER = ".made-by-hwnas"
WORDS = "hwnas made this folder, and deletes files in it. Keep nothing of your own here."
VARIABLE = "HWNAS_RUN_IN"
"""The environment variable that marks a program as run for hwnas."""

HEX = "[0-9a-f]"
PART = ".part"
"""The end of the name of a file that has not yet come whole, after a dot and `TOKEN_BYTES` in hexadecimal."""
TOKEN_BYTES = 4
PARTS = tuple(f"{hidden}*.{HEX * 2 * TOKEN_BYTES}{PART}" for hidden in ("", "."))
"""The names of such files, as patterns of a shell."""


def checked_folder(folder: str) -> str:
    """A folder of a device. Raises UsageError if it is no absolute path on one line."""
    if not re.fullmatch(r"/[^\x00-\x1f\x7f]*[^\x00-\x1f\x7f/]", folder):
        raise UsageError(
            f"{folder!r} cannot be the device's folder: it must be an absolute path, such as /home/pi/hwnas."
        )
    return folder


def own_folder(folder: str) -> str:
    """The path of hwnas's own folder below `folder`, an absolute path of the device."""
    return f"{folder.rstrip('/')}/{NAME}"


def inside(folder: str) -> dict[str, str]:
    """The checks of a script that works in `folder`, which `own_folder` named: it is there, ours, and marked."""
    path = quoted(folder)
    # the marker is tested twice: between the first test and the second, another hwnas may have put it there
    ours = f'[ -f {MARKER} ] || [ -z "$(ls -A)" ] || [ -f {MARKER} ]'
    return {
        f"its folder {folder} cannot be made or entered": f"{{ [ -d {path} ] || mkdir -p {path}; }} && cd {path}",
        f"its folder {folder} was not made by hwnas, which deletes files of its own in it: move it elsewhere, or set "
        "another `folder` in the device file": f"[ ! -L {path} ] && [ ! -L {MARKER} ] && {{ {ours}; }}",
        f"its folder {folder} cannot be written": f"[ -f {MARKER} ] || echo {quoted(WORDS)} > {MARKER}",
    }


def deletion(patterns: Sequence[str]) -> str:
    """The script that deletes what `patterns`, of a shell, match in the current folder: no folder, no symbolic link."""
    names = " ".join(f"./{pattern}" for pattern in patterns)
    return f'LC_ALL=C; for file in {names}; do [ ! -f "$file" ] || [ -L "$file" ] || rm -f "$file"; done'


def marked(folder: str) -> str:
    """The shell command that marks every program started after it as run for hwnas in `folder`."""
    return f"export {VARIABLE}={quoted(f'[{folder}]')}"


def end_leftovers(folder: str) -> str:
    """The script that ends marked programs, deletes files that are half there, and prints the processes that go on."""
    ours = f"[ ! -L {quoted(folder)} ] && [ ! -L {MARKER} ] && [ -f {MARKER} ]"
    # in the command line of a shell that has not set the mark yet; the [e] leaves out the shell that searches
    unmarked_yet = re.sub(r"[\\.*\[^$]", r"\\\g<0>", f"xport {VARIABLE}={quoted(f'[{folder}]')}")

    def search(options: str) -> str:
        environment = f"grep {options}F -e {quoted(f'{VARIABLE}=[{folder}]')} /proc/[0-9]*/environ 2> /dev/null"
        command = f"grep {options} -e {quoted(f'[e]{unmarked_yet}')} /proc/[0-9]*/cmdline 2> /dev/null"
        return f"{environment}; {command}"

    # busybox sees no further than to the first NUL, unless that is what ends its lines, which others do not know
    return f"""if cd {quoted(folder)} 2> /dev/null && {ours}; then {deletion(PARTS)}; fi
cd /
for attempt in 1 2 3 4 5; do
left=
for found in $({search("-ls")}; {search("-lsz")}); do
found=${{found%/*}}
[ -O "$found" ] && left="$left ${{found#/proc/}}"
done
[ "$left" ] || exit 0
kill -9 $left 2> /dev/null
[ $attempt = 1 ] || sleep 1
done
echo $left"""
