"""Model files and shared libraries as bytes: read them, hash them, and keep native chatter off the terminal."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path

from hwnas.errors import HwnasError

TFLITE_IDENTIFIER = b"TFL3"
"""The flatbuffer file identifier of a TFLite file, at byte 4."""


@cache
def installed_version(distribution: str) -> str:
    """Version of an installed package, read once: a campaign needs it with every model.

    Raises PackageNotFoundError if it is missing.
    """
    return version(distribution)


def is_tflite(model: bytes) -> bool:
    """Whether `model` carries the TFLite identifier; says nothing about the rest of the file."""
    return model[4:8] == TFLITE_IDENTIFIER


def model_suffix(model: bytes | Path) -> str:
    """The suffix of the files of a model's format: a path's own, or that of the format that the bytes begin as."""
    if isinstance(model, bytes):
        return ".tflite" if is_tflite(model) else ".onnx"
    return model.suffix.lower()


def describe(model: bytes | Path) -> str:
    """How messages call a model: its path, or its size where it came as bytes."""
    return str(model) if isinstance(model, Path) else f"the model given as {len(model)} bytes"


def read_model(model: bytes | Path, runtime: str, suffix: str) -> bytes:
    """The bytes of a model. Raises HwnasError, naming the file and its expected format, if they cannot be read."""
    if isinstance(model, bytes):
        data = model
    elif model.is_dir():
        raise HwnasError(f"{model} is a directory; the runtime {runtime} takes one {suffix} file: name the file in it.")
    else:
        try:
            data = model.read_bytes()
        except FileNotFoundError:
            cure = f"check the path, or write one with `hwnas export --format {suffix[1:]}`"
            raise HwnasError(f"there is no model file {model}; {cure}.") from None
        except OSError as error:
            raise HwnasError(f"cannot read the model file {model}: {error.strerror}; check its permissions.") from None
    if not data:
        raise HwnasError(f"{describe(model)} is empty; the runtime {runtime} takes a {suffix} file: export it again.")
    return data


@cache
def file_sha256(path: Path) -> str:
    """SHA-256 of a file as 64 hexadecimal digits; one file is read once in a process."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Discard the output of native code on file descriptor 2 meanwhile.

    TFLite logs ``INFO: Created TensorFlow Lite XNNPACK delegate for CPU.`` past Python, and its Python API has no
    switch for that. The descriptor belongs to the whole process: keep the block as short as loading one model.
    """
    sys.stderr.flush()
    try:
        saved = os.dup(2)
    except OSError:  # a process without a stderr has nothing to keep quiet
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


def is_utf8(path: str) -> bool:
    """Whether the bytes of a path are UTF-8; a file system allows others."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
