"""What a lost connection leaves on a device: programs that go on running, and files that did not arrive whole.

Everything that is run for hwnas carries a mark in its environment, which its children inherit. So exactly that is found
and ended, whatever it is called and wherever it has gone, and never another person's program, nor the shell that looks.
"""

from __future__ import annotations

from hwnas.transports.own_folder import PARTS, deletion, is_ours
from hwnas.transports.shell import quoted

VARIABLE = "HWNAS_RUN_IN"


def marked(folder: str) -> str:
    """The shell command that marks what is started after it as run for hwnas in `folder`."""
    return f"export {VARIABLE}={quoted(f'[{folder}]')}"


def end_leftovers(folder: str) -> str:
    """The script that ends what is marked, deletes what is half there, and prints the processes that do not end."""

    def look(options: str) -> str:
        return f"grep {options} -e {quoted(f'{VARIABLE}=[{folder}]')} /proc/[0-9]*/environ 2> /dev/null"

    # busybox sees no further than to the first NUL, unless that is what ends its lines, which others do not know
    return f"""if cd {quoted(folder)} 2> /dev/null && {is_ours(folder)}; then {deletion(PARTS)}; fi
cd /
for attempt in 1 2 3 4 5; do
left=
for found in $({look("-lsF")} || {look("-lszF")}); do
found=${{found%/environ}}
left="$left ${{found#/proc/}}"
done
[ "$left" ] || exit 0
kill -9 $left 2> /dev/null
[ $attempt = 1 ] || sleep 1
done
echo $left"""
