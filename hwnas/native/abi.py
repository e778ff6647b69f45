"""The kinds of machine that programs are built for, and the LiteRT release that is measured on each."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from hwnas.errors import HwnasError, unknown_name

GLIBC = ("libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1")
COMPILER_LIBRARIES = ("libstdc++.so.6", "libgcc_s.so.1")
"""The runtime libraries are linked with these, apart from the loader; a phone has neither these nor that."""


@dataclass(frozen=True)
class Wheel:
    """One release of ai-edge-litert on PyPI, for one architecture."""

    version: str
    platform: str
    """The tag that pip asks for."""
    sha256: str
    """Of the whole file."""
    member: str
    """The library within it that has a C API."""
    library_sha256: str


@dataclass(frozen=True)
class Abi:
    """The kind of programs that a machine runs."""

    name: str
    """As people type it."""
    architecture: str
    """As ``uname -m`` prints it."""
    cross_compiler: str
    """The compiler for it on a machine of another architecture."""
    packages: str
    """The Debian packages with that compiler and its C libraries."""
    loader: str
    wheel: Wheel

    @property
    def libraries(self) -> tuple[str, ...]:
        """The loader and the libraries that hwbench and LiteRT need, as the compiler has them."""
        return (self.loader, *GLIBC, *COMPILER_LIBRARIES)


# 1.4.0 has the C API of TFLite, which has not changed in years; the one of the 2.x releases still does. It runs in the
# emulators that phones are tested with; 2.3.0 crashes in those that show it the /proc/cpuinfo of another architecture.
ARM64 = Abi(
    name="arm64",
    architecture="aarch64",
    cross_compiler="aarch64-linux-gnu-gcc",
    packages="gcc-aarch64-linux-gnu libc6-dev-arm64-cross libstdc++6-arm64-cross",
    loader="ld-linux-aarch64.so.1",
    wheel=Wheel(
        version="1.4.0",
        platform="manylinux_2_17_aarch64",
        sha256="131d1c12dedc0c45aa683106d71ea895117c2332b0efb52712965f8b5e63781d",
        member="ai_edge_litert/libLiteRtRuntimeCApi.so",
        library_sha256="23781d014a0e0de4f8dd40553e558e5f1248e29b1d135edeb187894588fd8d33",
    ),
)
# for this architecture no release has the C API of TFLite
X86_64 = Abi(
    name="x86_64",
    architecture="x86_64",
    cross_compiler="x86_64-linux-gnu-gcc",
    packages="gcc-x86-64-linux-gnu libc6-dev-amd64-cross libstdc++6-amd64-cross",
    loader="ld-linux-x86-64.so.2",
    wheel=Wheel(
        version="2.3.0",
        platform="manylinux_2_27_x86_64",
        sha256="1f15078a6725d2357d9de9221664c29afa0545d807559c5f7199ce5e40b96b23",
        member="ai_edge_litert/libLiteRt.so",
        library_sha256="eec47eb35e2924b3166015887e652a58edc9af823ae38e02bf83bef2548300bb",
    ),
)

MACHINES = {3: "x86", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv"}
"""ELF's e_machine, as ``uname -m`` spells it."""

ABIS = {abi.name: abi for abi in (ARM64, X86_64)}


def get_abi(name: str) -> Abi:
    """The Abi that people call `name`. Raises UsageError for an unknown one."""
    if name not in ABIS:
        raise unknown_name("ABI", name, list(ABIS))
    return ABIS[name]


def abi_for(architecture: str | None, device: str) -> Abi:
    """The Abi of a machine whose ``uname -m`` says `architecture`. Raises HwnasError if there is no bundle for it."""
    for abi in ABIS.values():
        if abi.architecture == architecture:
            return abi
    known = ", ".join(abi.architecture for abi in ABIS.values())
    raise HwnasError(
        f"the runtime native runs on {known}, and {device} says it is {architecture or 'of an unknown architecture'}; "
        "install a 64-bit system there, or measure with the runtime benchmark-model."
    )


def elf_kind(program: Path) -> str:
    """The machine that a program is built for, such as ``64-bit aarch64``; else ``no ELF program``. Raises OSError."""
    with program.open("rb") as file:
        header = file.read(20)
    if len(header) < 20 or header[:4] != b"\x7fELF" or header[4] not in (1, 2):
        return "no ELF program"
    order = ">" if header[5] == 2 else "<"
    (machine,) = struct.unpack_from(f"{order}H", header, 18)
    return f"{32 * header[4]}-bit {MACHINES.get(machine, f'machine {machine}')}"
