"""The Journal: an append-only file of finished visits, so that whatever ends a campaign costs the visit in hand only.

JSON lines. The first is a header with the identity of the conditions; numbers of another identity never get in. Every
line is on the disk before `append` returns.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from pydantic import BaseModel, model_validator

from hwnas.campaign.conditions import differences
from hwnas.errors import HwnasError
from hwnas.files import sync
from hwnas.foreign import Finite, Positive, checked, excerpt, read_bytes
from hwnas.locks import lock
from hwnas.records import read_record, record_line

HEADER_START = b'{"hwnas_journal": 1, '
"""What every journal begins with: a file that does not is never written to."""


MOST_BYTES = 2**30
"""Of a journal: a space of thousands of blocks has a hundredth of this."""


class _Health(BaseModel):
    """What hwnas compares of a look at the device's health."""

    max_frequency_khz: Finite | None = None
    thermal_status: Finite | None = None


class _Record(BaseModel):
    """What hwnas uses of a record; see `hwnas.campaign.repetitions`."""

    entry: str = ""
    reference: str = ""
    runs_us: list[Positive] = []
    health: _Health | None = None

    @model_validator(mode="after")
    def _timed(self) -> _Record:
        timed = self.model_fields_set & {"entry", "reference"}
        if timed and not self.runs_us:
            what = "a visit to an entry" if "entry" in timed else "a look at the reference model"
            raise ValueError(f"{what} must have runs_us, the microseconds of one run or more")
        return self


class Journal:
    """An open journal: `records` is what it holds, `append` makes one more durable."""

    def __init__(self, path: Path, identity: dict[str, Any]) -> None:
        """Open or create a journal.

        A torn last line, left by a crash, is dropped. Raises HwnasError if the file is no journal, was written under
        another identity, is damaged before its last line, is in use by another process, or cannot be written.
        """
        self.path = path
        self.records: list[dict[str, Any]] = []
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

    def append(self, record: dict[str, Any]) -> None:
        """Write one record and wait until it is on the disk. Raises HwnasError, saying what is kept, if that fails."""
        try:
            self._write(record)
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
            record = read_record(line.decode(errors="replace"))
            if record is None and number == len(lines) > 1:
                break  # a crash of the machine can leave a last line of the right length with other bytes in it
            if record is None:
                cure = "Delete that line to lose one visit only, or the file" if number > 1 else "Delete the file"
                raise HwnasError(
                    f"{self.path}, line {number}, is damaged: {line[:40]!r}. {cure} to measure everything again."
                )
            if number == 1:
                self._check_identity(record, identity)
            else:
                place = f"{self.path}, line {number}, is damaged"
                checked(_Record, record, place, "delete that line to lose one visit only")
                self.records.append(record)
            end += len(line) + 1
        return end

    def _check_identity(self, header: dict[str, Any], identity: dict[str, Any]) -> None:
        recorded = header.get("identity")
        if not isinstance(recorded, dict):
            raise HwnasError(
                f"{self.path}, line 1, is damaged: identity: must be what was measured on (found {excerpt(recorded)}). "
                "Delete the file to measure everything again."
            )
        found = differences(recorded, identity, recorded_in="the journal")
        if found:
            raise HwnasError(
                f"{self.path} was measured under other conditions, and its numbers must not be mixed with new ones "
                f"({'; '.join(found)}). Restore those conditions, or measure into another folder."
            )

    def _write(self, record: dict[str, Any]) -> None:
        line = record_line(record).encode()
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
