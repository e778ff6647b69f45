"""Files of records: a line of JSON each, appended one by one, with a checksum that tells when one was damaged."""

from __future__ import annotations

import json
import re
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from hwnas.errors import HwnasError
from hwnas.foreign import integer, read_bytes
from hwnas.text import json_values

MOST_BYTES = 2**30
"""Of such a file: a search of a million steps has a fifth of it."""


def record_line(record: dict[str, Any]) -> str:
    """A record as a line of JSON, its CRC-32 as a last entry: what `read_record` reads."""
    text = json.dumps(json_values(record), allow_nan=False)
    return f'{text[:-1]}{", " if record else ""}"crc32": "{zlib.crc32(text.encode()):08x}"}}\n'


def read_record(line: str) -> dict[str, Any] | None:
    """The record in a line, or None if it is damaged. Lines of earlier versions have no CRC-32."""
    recorded = re.search(r'(?:, )?"crc32": "([0-9a-f]{8})"}\s*$', line)
    if recorded:
        line = line[: recorded.start()] + "}"
        if zlib.crc32(line.encode()) != int(recorded[1], 16):
            return None
    with suppress(ValueError, RecursionError):
        record = json.loads(line, parse_int=integer)  # with NaN, which earlier versions wrote for a loss that was none
        return record if isinstance(record, dict) else None
    return None


def append_record(path: Path, record: dict[str, Any]) -> None:
    """Append a line to a file of records. Raises HwnasError if the disk is full or read-only."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(record_line(record))
    except OSError as error:
        raise HwnasError(
            f"cannot write {path}: {error.strerror}. Make room and repeat the command: it goes on from what is saved."
        ) from error


def read_records(path: Path) -> list[dict[str, Any]]:
    """The records of a file, none if it is not there; a last line that was cut off is left out.

    Raises HwnasError if another one is damaged.
    """
    text = read_bytes(path, "the records", MOST_BYTES).decode(errors="replace") if path.exists() else ""
    lines = [line for line in text.split("\n") if line]
    records = []
    for number, line in enumerate(lines, start=1):
        record = read_record(line)
        if record is not None:
            records.append(record)
        elif number < len(lines):
            raise HwnasError(
                f"{path}, line {number}, is damaged: {line[:40]!r}. Restore the file, or delete that line to go on "
                "without it."
            )
    return records
