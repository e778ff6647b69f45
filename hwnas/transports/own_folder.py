"""The folder on a device that hwnas made for itself: nothing outside of it is ever written, replaced or deleted.

What a device file calls `folder` may hold a person's own files. So hwnas makes a folder of its own below it, and puts a
marker into it. A folder of that name without the marker is another's, unless it is empty, and is refused.
"""

from __future__ import annotations

from collections.abc import Sequence

from hwnas.transports.shell import quoted

NAME = "hwnas-files"
MARKER = ".made-by-hwnas"
WORDS = "hwnas made this folder, and deletes files in it. Keep nothing of your own here."

HEX = "[0-9a-f]"
PART = ".part"
"""The end of the name of a file that has not yet come whole, after a dot and `TOKEN_BYTES` in hexadecimal."""
TOKEN_BYTES = 4
PARTS = tuple(f"{hidden}*.{HEX * 2 * TOKEN_BYTES}{PART}" for hidden in ("", "."))
"""The names of such files, as patterns of a shell."""


def own_folder(folder: str) -> str:
    """The path of hwnas's own folder below `folder`, an absolute path of the device."""
    return f"{folder.rstrip('/')}/{NAME}"


def inside(folder: str) -> dict[str, str]:
    """What a script needs that works in `folder`, which `own_folder` named: it is there, it is ours, and marked."""
    path = quoted(folder)
    # twice the look for the marker: between the first and the second, another hwnas may have put it there
    ours = f'[ -f {MARKER} ] || [ -z "$(ls -A)" ] || [ -f {MARKER} ]'
    return {
        f"its folder {folder} cannot be made or entered": f"{{ [ -d {path} ] || mkdir -p {path}; }} && cd {path}",
        f"its folder {folder} was not made by hwnas, which deletes files of its own in it: move it elsewhere, or set "
        "another `folder` in the device file": f"[ ! -L {path} ] && [ ! -L {MARKER} ] && {{ {ours}; }}",
        f"its folder {folder} cannot be written": f"[ -f {MARKER} ] || echo {quoted(WORDS)} > {MARKER}",
    }


def is_ours(folder: str) -> str:
    """The shell command that fails unless the current folder, of this path, is there and marked."""
    return f"[ ! -L {quoted(folder)} ] && [ ! -L {MARKER} ] && [ -f {MARKER} ]"


def deletion(patterns: Sequence[str]) -> str:
    """The script that deletes what `patterns`, of a shell, match in the current folder: no folder, no symbolic link."""
    names = " ".join(f"./{pattern}" for pattern in patterns)
    return f'LC_ALL=C; for file in {names}; do [ ! -f "$file" ] || [ -L "$file" ] || rm -f "$file"; done'
