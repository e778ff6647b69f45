"""The Journal: an append-only file of finished repetitions, so that a crash costs a campaign the one in hand only.

JSON lines. The first is a header with the identity of the conditions; numbers of another identity never get in. Every
other line is a `Record`, told from the others by its first key, and is on the disk before `append` returns.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any

from pydantic import Field

from hwnas.campaign.conditions import differences
from hwnas.errors import HwnasError
from hwnas.files import sync
from hwnas.foreign import Positive, checked, read_bytes
from hwnas.locks import lock
from hwnas.records import read_record, record_line
from hwnas.text import excerpt
from hwnas.transports.base import Health

HEADER_START = b'{"hwnas_journal": 1, '
"""Every journal begins with it; a file that does not is never written to."""

MOST_BYTES = 2**30
"""Of a journal: a space of thousands of blocks has a hundredth of this."""

RunsUs = Annotated[tuple[Positive, ...], Field(min_length=1)]
"""Microseconds of every timed run of one repetition."""


@dataclass(frozen=True)
class StartRecord:
    """A process begins to measure; records before it are of earlier ones."""

    start: dict[str, Any]
    """The circumstances of its Conditions."""


@dataclass(frozen=True)
class ReferenceRecord:
    """One repetition of the reference model."""

    reference: str
    """Its digest: each reference model has a usual latency of its own."""
    runs_us: RunsUs


@dataclass(frozen=True, kw_only=True)
class RepetitionRecord:
    """One repetition of an entry."""

    entry: str
    """Its key."""
    label: str = ""
    runs_us: RunsUs


@dataclass(frozen=True)
class HealthRecord:
    """The device's health between two repetitions."""

    health: Health
    restarted: bool = False
    """Whether the device was started again since the last one."""


@dataclass(frozen=True)
class LostRecord:
    """For people: the device was lost, and came back."""

    lost: str
    """The reason."""


@dataclass(frozen=True)
class FailedRecord:
    """For people: an entry that could not be measured."""

    failed: str
    """Its key."""
    label: str
    reason: str


Record = StartRecord | ReferenceRecord | RepetitionRecord | HealthRecord | LostRecord | FailedRecord

RECORDS: dict[str, type[Record]] = {
    "start": StartRecord,
    "reference": ReferenceRecord,
    "entry": RepetitionRecord,
    "health": HealthRecord,
    "lost": LostRecord,
    "failed": FailedRecord,
}
"""The kind of each line by its first key."""


class Journal:
    """An open journal: `records` holds its content, `append` makes one more durable."""

    def __init__(self, path: Path, identity: dict[str, Any]) -> None:
        """Open or create a journal.

        A torn last line, left by a crash, is dropped. Raises HwnasError if the file is no journal, was written under
        another identity, is damaged before its last line, is in use by another process, or cannot be written.
        """
        self.path = path
        self.records: list[Record] = []
        header = {"hwnas_journal": 1, "identity": identity}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise self._unwritable(error, "What it may hold is unchanged.") from error
        try:
            # a second campaign would disturb the timing of the first, whatever it wrote
            lock(
                self._file,
                f"{path} is in use: another process is measuring into it. Wait until it ends, or stop it.",
            )
            self._end = self._read(read_bytes(path, "the journal", MOST_BYTES), identity)
            os.ftruncate(self._file, self._end)
            if not self._end:
                self._write(header)
                sync(path.parent)
        except OSError as error:
            self.close()
            raise self._unwritable(error, "The records it held are kept.") from error
        except BaseException:
            self.close()
            raise

    def append(self, record: Record) -> None:
        """Write one record and wait until it is on the disk. Raises HwnasError if that fails."""
        data = asdict(record)
        if isinstance(record, HealthRecord) and not record.restarted:
            del data["restarted"]
        try:
            self._write(data)
        except OSError as error:
            raise self._unwritable(error, f"The {len(self.records)} records before this are kept.") from error
        self.records.append(record)

    def close(self) -> None:
        """Release the file; closing twice is harmless."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def _read(self, data: bytes, identity: dict[str, Any]) -> int:
        """Fill `records`; returns where the last whole line ends."""
        if not data.startswith(HEADER_START[: len(data)]):
            raise HwnasError(
                f"{self.path} is not a journal of measurements: it does not begin with {HEADER_START.decode()!r}; "
                f"nothing was written to it. Name another file."
            )
        whole, _, _ = data.rpartition(b"\n")
        lines = whole.split(b"\n") if whole else []
        end = 0
        for number, line in enumerate(lines, start=1):
            found = read_record(line.decode(errors="replace"))
            if found is None and number == len(lines) > 1:
                break  # a crash of the machine can leave a last line of the right length with other bytes in it
            if found is None:
                cure = "Delete that line to lose one repetition only, or the file" if number > 1 else "Delete the file"
                raise HwnasError(
                    f"{self.path}, line {number}, is damaged: {line[:40]!r}. {cure} to measure everything again."
                )
            if number == 1:
                self._check_identity(found, identity)
            else:
                self._take(found, number)
            end += len(line) + 1
        return end

    def _take(self, found: dict[str, Any], line: int) -> None:
        """Add a line's content to `records`; a kind of a later version means nothing to this one."""
        kind = next((kind for key, kind in RECORDS.items() if key in found), None)
        if kind is not None:
            place = f"{self.path}, line {line}, is damaged"
            self.records.append(checked(kind, found, place, "delete that line to lose one repetition only"))

    def _check_identity(self, header: dict[str, Any], identity: dict[str, Any]) -> None:
        recorded = header.get("identity")
        if not isinstance(recorded, dict):
            raise HwnasError(
                f"{self.path}, line 1, is damaged: identity: must be what was measured on (found {excerpt(recorded)}). "
                "Delete the file to measure everything again."
            )
        found = differences(recorded, identity, "the journal")
        if found:
            raise HwnasError(
                f"{self.path} was measured under other conditions, and its numbers must not be mixed with new ones "
                f"({'; '.join(found)}). Restore those conditions, or measure into another folder."
            )

    def _write(self, data: dict[str, Any]) -> None:
        line = record_line(data).encode()
        try:
            os.lseek(self._file, self._end, os.SEEK_SET)
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(self._file, rest) :]
            os.fsync(self._file)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._file, self._end)
            raise
        self._end += len(line)

    def _unwritable(self, error: OSError, kept: str) -> HwnasError:
        return HwnasError(
            f"cannot write the journal {self.path}: {error.strerror or error}. {kept} Make room or make the place "
            f"writable, then repeat the command: it goes on from there."
        )
