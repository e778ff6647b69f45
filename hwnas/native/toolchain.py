"""The C compiler: it builds hwbench, and knows where the C libraries for the device are."""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
from pathlib import Path

from hwnas.errors import HwnasError
from hwnas.native.abi import Abi

SOURCE = Path(__file__).with_name("source")

FLAGS = ("-std=c11", "-D_GNU_SOURCE", "-O2")


def source_sha256() -> str:
    """SHA-256 over hwbench's source, file names included: it says which hwbench a number comes from."""
    digest = hashlib.sha256()
    for file in sorted(SOURCE.glob("*.[ch]")):
        content = file.read_bytes()
        digest.update(f"{file.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def find_compiler(abi: Abi) -> str:
    """Path of the compiler for an Abi: this machine's own for its own architecture. Raises HwnasError without it."""
    own = platform.machine() == abi.architecture
    name, packages = ("cc", "gcc libc6-dev") if own else (abi.cross_compiler, abi.packages)
    if found := shutil.which(name):
        return found
    raise HwnasError(
        f"building hwbench for {abi.name} needs the compiler {name}, which is not installed (Debian, Ubuntu: "
        f"`apt install {packages}`); or measure with Google's benchmark_model, the runtime benchmark-model."
    )


def compiler_version(compiler: str) -> str:
    """The first line of the compiler's ``--version``."""
    return _run([compiler, "--version"]).splitlines()[0]


def compile_hwbench(compiler: str, target: Path, flags: tuple[str, ...] = ()) -> None:
    """Build hwbench at `target`; `flags` go behind `FLAGS`. Raises HwnasError with the compiler's first complaint."""
    sources = [str(file) for file in sorted(SOURCE.glob("*.c"))]
    _run([compiler, *FLAGS, *flags, "-o", str(target), *sources, "-ldl", "-lm"])


def find_library(compiler: str, name: str, abi: Abi) -> Path:
    """A shared library of the compiler's target. Raises HwnasError, naming the packages, if it has none."""
    found = Path(_run([compiler, f"-print-file-name={name}"]).strip())
    if found.is_absolute() and found.is_file():  # the name alone comes back for what is not there
        return found.resolve()
    raise HwnasError(
        f"{compiler} has no {name} for {abi.name}, which a bundle needs; install it (Debian, Ubuntu: `apt install "
        f"{abi.packages}`). The C library must be glibc: LiteRT is linked with no other."
    )


def _run(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", check=True).stdout
    except subprocess.CalledProcessError as error:
        complaint = next((line for line in error.stderr.splitlines() if "error" in line), error.stderr.strip())
        raise HwnasError(f"{command[0]} failed: {complaint}. Reinstall the compiler and its C library.") from None
    except OSError as error:
        raise HwnasError(f"cannot start {command[0]}: {error.strerror}; reinstall the compiler.") from None
