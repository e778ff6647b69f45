"""Bundles: hwbench, the LiteRT library, and the loader and C libraries both need, in one folder for one kind of device.

A device needs nothing of its own to run one: the loader is started by name and told where the libraries are. Bundles
are built on the user's machine and never shipped, so that each part comes from where its licence is.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from hwnas.errors import HwnasError, UsageError
from hwnas.files import cache_folder, content_sha256, read_json, write_json
from hwnas.foreign import checked
from hwnas.native.abi import Abi
from hwnas.native.library import DISTRIBUTION, fetch_library, installed_library
from hwnas.native.toolchain import compile_hwbench, compiler_version, find_compiler, find_library, source_sha256
from hwnas.runtimes.files import file_sha256
from hwnas.temporary import temporary_folder

PROGRAM = "hwbench"
MANIFEST = "bundle.json"
LICENCES = "LICENCES.txt"


@dataclass(frozen=True)
class Bundle:
    """A finished bundle on this machine."""

    folder: Path
    abi: str
    architecture: str
    runtime_version: str
    """Release of ai-edge-litert."""
    library: str
    """Name of LiteRT's library in the folder."""
    loader: str
    source_sha256: str
    """Of hwbench's source."""
    compiler: str
    files: dict[str, str]
    """Every file that a device needs: name -> SHA-256."""

    def __repr__(self) -> str:
        return f"Bundle({self.abi}, LiteRT {self.runtime_version}, in {self.folder})"

    @property
    def library_sha256(self) -> str:
        """SHA-256 of LiteRT's library."""
        return self.files[self.library]

    def to_json(self) -> dict[str, Any]:
        """Everything about it, as JSON takes it."""
        return asdict(self) | {"folder": str(self.folder)}

    def command(self, folder: str = ".") -> list[str]:
        """How hwbench is started where the files lie in `folder`, up to its own options."""
        start = [f"{folder}/{self.loader}", "--library-path", folder, f"{folder}/{PROGRAM}"]
        return [*start, "--library", f"{folder}/{self.library}"]


def bundles_folder() -> Path:
    """Where bundles are kept."""
    return cache_folder() / "bundles"


def build_bundle(abi: Abi, installed: bool = False, cache: Path | None = None) -> Bundle:
    """The bundle for an Abi, built if the cache does not have it whole.

    Args:
        abi: of the device.
        installed: With the library of the installed ai-edge-litert, for this very machine, instead of the release that
            is pinned for the Abi.
        cache: Folder of bundles; None: `bundles_folder`. With a filled one, neither compiler nor network is needed.

    Raises:
        HwnasError: a compiler or library is missing, the wheel cannot be fetched, or the cache cannot be written; the
            message says what to install.
    """
    cache = cache or bundles_folder()
    library = installed_library()[0] if installed else None
    parts = {"abi": asdict(abi), "source": source_sha256(), "library": library and file_sha256(library)}
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    folder = cache / f"{abi.name}-{key[:16]}"
    if not _is_whole(folder):
        _build(abi, installed, folder)
    return open_bundle(folder)


def check_bundle(abi: Abi) -> None:
    """Raise HwnasError if a bundle for an Abi neither lies in the cache nor can be compiled here."""
    if not any(bundles_folder().glob(f"{abi.name}-*")):
        find_compiler(abi)


def open_bundle(folder: Path) -> Bundle:
    """The bundle in a folder. Raises HwnasError if there is none or it is damaged."""
    manifest = read_json(folder / MANIFEST, "the bundle")
    if not isinstance(manifest, dict) or manifest.keys() != {f.name for f in fields(Bundle)} - {"folder"}:
        raise HwnasError(f"{folder / MANIFEST} is not of this release of hwnas; build the bundle again.")
    given = manifest | {"folder": str(folder)}
    bundle: Bundle = checked(Bundle, given, str(folder / MANIFEST), "build the bundle again")
    if bundle.library not in bundle.files or any(Path(name).name != name for name in bundle.files):
        raise HwnasError(f"{folder / MANIFEST} names files that no bundle has; build the bundle again.")
    for name, sha256 in bundle.files.items():
        if not (folder / name).is_file() or content_sha256(folder / name) != sha256:
            raise HwnasError(
                f"the bundle {folder} is damaged: {name} is not the file that was built; delete it and repeat."
            )
    return bundle


def copy_bundle(bundle: Bundle, folder: Path) -> Bundle:
    """Copy a bundle into a new or empty folder. Raises UsageError if there is something in it already."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"--out {folder} is there already and not an empty folder; name another one, or delete it.")
    try:
        shutil.copytree(bundle.folder, folder, dirs_exist_ok=True)
    except OSError as error:
        raise HwnasError(
            f"cannot copy the bundle to {folder}: {error.strerror or error}; choose another --out."
        ) from None
    return open_bundle(folder)


def _is_whole(folder: Path) -> bool:
    try:
        open_bundle(folder)
    except HwnasError:
        return False
    return True


def _build(abi: Abi, installed: bool, folder: Path) -> None:
    """Fill a folder beside `folder`, then rename it: a bundle is there whole, or not at all."""
    compiler = find_compiler(abi)
    libraries = {name: find_library(compiler, name, abi) for name in abi.libraries}
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder(folder.parent) as temporary:
            part = temporary / folder.name
            part.mkdir()
            _fill(part, abi, installed, compiler, libraries)
            if _is_whole(folder):  # another process was faster, and may be reading it
                return
            shutil.rmtree(folder, ignore_errors=True)  # a damaged one
            part.rename(folder)
    except OSError as error:
        if _is_whole(folder):  # another process was faster
            return
        raise HwnasError(
            f"cannot build a bundle in {folder.parent}: {error.strerror or error}. Make room or make the folder "
            "writable, or choose another one with XDG_CACHE_HOME."
        ) from error


def _fill(part: Path, abi: Abi, installed: bool, compiler: str, libraries: dict[str, Path]) -> None:
    if installed:
        library, version = installed_library()
        shutil.copyfile(library, part / library.name)
        runtime = library.name
    else:
        version, runtime = abi.wheel.version, Path(abi.wheel.member).name
        fetch_library(abi, part / runtime)
    compile_hwbench(compiler, part / PROGRAM, ("-s",))
    for name, library in libraries.items():
        shutil.copyfile(library, part / name)
    for name in (PROGRAM, abi.loader):
        (part / name).chmod(0o755)
    (part / LICENCES).write_text(_licences(version, runtime, libraries), encoding="utf-8")
    files = {name: content_sha256(part / name) for name in (PROGRAM, runtime, *abi.libraries)}
    manifest = {
        "abi": abi.name,
        "architecture": abi.architecture,
        "runtime_version": version,
        "library": runtime,
        "loader": abi.loader,
        "source_sha256": source_sha256(),
        "compiler": compiler_version(compiler),
        "files": files,
    }
    write_json(part / MANIFEST, manifest)


def _licences(version: str, runtime: str, libraries: dict[str, Path]) -> str:
    """The parts of the bundle, their sources and licences."""
    gcc = ("libstdc++", "libgcc")
    lines = [
        "This bundle was put together on this machine by `hwnas bundle`, to measure models on your own devices.",
        "Who passes it on must keep to the licence of every part.",
        "",
        f"{PROGRAM}: hwnas, Apache-2.0; its source is in the package hwnas, folder native/source",
        f"{runtime}: LiteRT {version}, out of the package {DISTRIBUTION}, Apache-2.0, https://github.com/google-ai-edge/LiteRT",
    ]
    for name, source in libraries.items():
        part = (
            "GCC, GPL-3.0-or-later WITH GCC-exception-3.1, https://gcc.gnu.org"
            if name.startswith(gcc)
            else "glibc, LGPL-2.1-or-later, https://sourceware.org/glibc"
        )
        lines.append(f"{name}: {part}; copied from {source}")
    return "\n".join(lines) + "\n"
