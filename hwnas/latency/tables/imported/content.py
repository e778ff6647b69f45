"""The content of a published file as plain data: JSON, YAML or CSV, packed with gzip or not."""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.errors import HwnasError
from hwnas.foreign import MOST_BYTES, decoded, parse_csv, parse_json, read_bytes
from hwnas.latency.tables.imported.yaml_text import parse_yaml
from hwnas.text import excerpt


@dataclass(frozen=True)
class Content:
    """The contents of a file: the values of JSON and YAML, a list of rows by column of CSV."""

    data: Any
    """None where it is neither."""
    name: str
    sha256: str
    """Of the file as it is, packed or not."""
    fault: str = ""
    """Why it is neither JSON, YAML nor CSV."""
    lines: tuple[int, ...] = ()
    """Of CSV: the line of each row."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a CSV file; empty for anything else."""
        return tuple(self.data[0]) if self.lines else ()

    def place(self, row: int, column: str) -> str:
        """A value of a CSV file, for messages."""
        return f"{self.name}, line {self.lines[row]}, column {column}"

    def check_once(self, *columns: str) -> None:
        """Raise HwnasError if two rows of a CSV file have the same values in these columns (those that it has)."""
        first: dict[tuple[str | None, ...], int] = {}
        for line, row in zip(self.lines, self.data, strict=True):
            key = tuple(row.get(column) for column in columns)
            if first.setdefault(key, line) != line:
                raise HwnasError(
                    f"{self.name}, line {line}: {excerpt(key[0])} is in line {first[key]} too, and one of them only "
                    "can be right; delete the other."
                )


def read_content(path: Path | str) -> Content:
    """Read a file by its contents, whatever it is called.

    Raises HwnasError: it cannot be read, is no text, or is larger than `MOST_BYTES`.
    """
    path = Path(path)
    raw = read_bytes(path, "the published table")
    try:
        unpacked = _unpacked(raw)
        if len(unpacked) > MOST_BYTES:
            raise HwnasError(f"{path} is larger than {MOST_BYTES // 2**20} MiB: no published table of blocks is.")
        text = decoded(unpacked)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise HwnasError(f"the published table {path} is damaged ({error}); fetch it again.") from None
    sha256 = hashlib.sha256(raw).hexdigest()
    try:
        data, lines = _parsed(text)
        return Content(data, path.name, sha256, lines=lines)
    except ValueError as error:
        return Content(None, path.name, sha256, fault=f"no JSON, YAML or CSV: {' '.join(str(error).split())}")


def _unpacked(raw: bytes) -> bytes:
    """The bytes of a file, a few more than `MOST_BYTES` at most."""
    if raw[:2] != b"\x1f\x8b":
        return raw
    with gzip.GzipFile(fileobj=io.BytesIO(raw)) as packed:
        return packed.read(MOST_BYTES + 1)


def _parsed(text: str) -> tuple[Any, tuple[int, ...]]:
    """The data of a text, and of CSV the line of each row. Raises ValueError."""
    if text.lstrip()[:1] in ("{", "["):
        return parse_json(text), ()
    first = text.partition("\n")[0]
    if "," in first and ": " not in first:
        rows = parse_csv(text)
        return [row for _, row in rows], tuple(line for line, _ in rows)
    return parse_yaml(text), ()
