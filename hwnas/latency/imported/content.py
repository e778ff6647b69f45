"""The content of a published file as plain data: JSON, YAML or CSV, packed with gzip or not."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.errors import HwnasError

MOST_BYTES = 64 * 2**20
"""Published tables have less than 3 MB; what unpacks to more than this is something else."""


@dataclass(frozen=True)
class Content:
    """What a file holds: of JSON and YAML their values, of CSV a list of rows by column."""

    data: Any
    """None where it is neither."""
    name: str
    sha256: str
    """Of the file as it is, packed or not."""
    fault: str = ""
    """Why it is neither JSON, YAML nor CSV."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a CSV file; empty for anything else."""
        is_table = isinstance(self.data, list) and self.data and isinstance(self.data[0], dict)
        return tuple(self.data[0]) if is_table else ()


def read_content(path: Path | str) -> Content:
    """Read a file by what is in it, whatever it is called.

    Raises HwnasError: it cannot be read, is no text, or is larger than `MOST_BYTES`.
    """
    path = Path(path)
    try:
        raw = path.read_bytes() if path.stat().st_size <= MOST_BYTES else None
        text = None if raw is None else _unpacked(raw)
    except OSError as error:
        raise HwnasError(f"cannot read the published table {path}: {error.strerror or error}.") from None
    except (EOFError, zlib.error, UnicodeDecodeError) as error:
        raise HwnasError(f"the published table {path} is damaged ({error}); fetch it again.") from None
    if raw is None or text is None:
        raise HwnasError(f"{path} is larger than {MOST_BYTES // 2**20} MiB: no published table of blocks is.")
    sha256 = hashlib.sha256(raw).hexdigest()
    try:
        return Content(_parsed(text), path.name, sha256)
    except (ValueError, csv.Error, RecursionError) as error:
        return Content(None, path.name, sha256, fault=f"no JSON, YAML or CSV: {' '.join(str(error).split())}")


def _unpacked(raw: bytes) -> str | None:
    """The text of a file; None where it is too large."""
    if raw[:2] == b"\x1f\x8b":
        with gzip.GzipFile(fileobj=io.BytesIO(raw)) as packed:
            raw = packed.read(MOST_BYTES + 1)
    return raw.decode("utf-8-sig") if len(raw) <= MOST_BYTES else None


def _parsed(text: str) -> Any:
    if text.lstrip()[:1] in ("{", "["):
        return json.loads(text)
    first = text.partition("\n")[0]
    if "," in first and ": " not in first:
        return list(csv.DictReader(io.StringIO(text), strict=True))
    import yaml

    try:
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None
