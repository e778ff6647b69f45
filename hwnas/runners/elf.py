"""What machine a program is built for, from the first bytes of its file."""

from __future__ import annotations

import struct
from pathlib import Path

MACHINES = {3: "x86", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv"}
"""ELF's e_machine, as ``uname -m`` spells it."""


def elf_kind(program: Path) -> str:
    """Such as ``64-bit aarch64``; ``no ELF program`` for a script or anything else. Raises OSError."""
    with program.open("rb") as file:
        header = file.read(20)
    if len(header) < 20 or header[:4] != b"\x7fELF" or header[4] not in (1, 2):
        return "no ELF program"
    order = ">" if header[5] == 2 else "<"
    (machine,) = struct.unpack_from(f"{order}H", header, 18)
    return f"{32 * header[4]}-bit {MACHINES.get(machine, f'machine {machine}')}"
