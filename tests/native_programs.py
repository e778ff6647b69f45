"""hwbench and programs that misbehave in its place, compiled for the tests of the native runner."""

from __future__ import annotations

import dataclasses
import json
import platform
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from hwnas.errors import HwnasError
from hwnas.native.abi import ARM64, Abi, abi_for
from hwnas.native.bundle import PROGRAM, Bundle, build_bundle
from hwnas.native.toolchain import find_compiler, find_library
from hwnas.runtimes.files import file_sha256
from tests.device_environment import lacking

QUICK = ("--warmup-runs", "1", "--warmup-ms", "0", "--min-runs", "1", "--max-runs", "3", "--min-ms", "0")

STAND_INS = {
    "half": 'printf("{\\"hwbench\\":1,\\"warmup_us\\":1.5,\\"runs_us\\":[1.0,2."); return 0;',
    "silent": "return 0;",
    "hanging": "for (;;) pause();",
    "crashing": "raise(SIGSEGV); return 0;",
    "killed": "raise(SIGKILL); return 0;",
}
"""Bodies of `main` of programs that take hwbench's place."""


def own_abi() -> Abi:
    """This machine's; skips where there is none, or no compiler for it."""
    try:
        abi = abi_for(platform.machine(), "this machine")
        find_compiler(abi)
        return abi
    except HwnasError as error:
        lacking(str(error))
        raise


@cache
def own_bundle() -> Bundle:
    """The bundle with the installed LiteRT, for this machine, out of the user's cache."""
    return build_bundle(own_abi(), installed=True)


@cache
def arm64_bundle() -> Bundle:
    """The bundle for phones, out of the user's cache; skips where no compiler for it is installed."""
    try:
        find_library(find_compiler(ARM64), ARM64.loader, ARM64)
    except HwnasError as error:
        lacking(str(error))
    return build_bundle(ARM64)


def stand_in(kind: str, folder: Path) -> Bundle:
    """A bundle for this machine in which one of `STAND_INS` has hwbench's place."""
    bundle = own_bundle()
    copy = folder / f"bundle-{kind}"
    shutil.copytree(bundle.folder, copy)
    source = folder / f"{kind}.c"
    includes = "#include <signal.h>\n#include <stdio.h>\n#include <unistd.h>\n"
    source.write_text(f"{includes}int main(void) {{ {STAND_INS[kind]} }}\n")
    subprocess.run([find_compiler(own_abi()), "-o", copy / PROGRAM, source], check=True)
    return dataclasses.replace(bundle, folder=copy, files=bundle.files | {PROGRAM: file_sha256(copy / PROGRAM)})


def hwbench(bundle: Bundle, *options: object, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """hwbench with these options, behind a program such as an emulator."""
    command = [*before, *bundle.command(str(bundle.folder)), *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def report(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """What it printed, once it has succeeded."""
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    found = json.loads(line)
    assert list(found)[-1] == "end" and found["end"] is True
    return dict(found)
