"""Reading and writing files so that nothing is ever half there, and nothing that was damaged is believed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from hwnas.errors import HwnasError
from hwnas.foreign import CURE, parse_json, read_parsed
from hwnas.temporary import remove_abandoned_files, temporary_name
from hwnas.text import OBEYED, json_values, shown

CHECKSUM = "checksum"
"""The last entry of every JSON object that hwnas writes: SHA-256 of the others."""


def content_sha256(path: Path) -> str:
    """Of a file as it is now. It is read each time, unlike by `hwnas.runtimes.files.file_sha256`: files that are made
    again keep their names."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def cache_folder() -> Path:
    """hwnas's own folder in the user's cache, by the XDG base directory rules, which ignore a relative path.

    Raises HwnasError for a user without a home.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        return (base if base.is_absolute() else Path.home() / ".cache") / "hwnas"
    except RuntimeError:
        raise HwnasError(
            "there is no folder for what hwnas keeps: this user has no home; set HOME or XDG_CACHE_HOME."
        ) from None


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in place: a reader sees the old file or the new.

    Both are on the disk before this returns, so that a power cut leaves one of them too. A symbolic link stays, and the
    file that it leads to is written. Raises HwnasError if the folder cannot be written, the disk is full, or what is
    there is no regular file: `/dev/null` would be replaced by one. The old file is then untouched.
    """
    path = _end_of_links(path)
    temporary = path.with_name(temporary_name())  # no longer for a long name: a system allows 255 bytes
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned_files(path.parent)
        write(temporary)
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)
    except OSError as error:
        reason = error.strerror or str(error)
        raise HwnasError(
            f"cannot write {path}: {reason}. Make room or make the folder writable, then repeat the command; "
            "what was there before is unchanged."
        ) from error
    finally:
        with suppress(OSError):  # it is most often in place by now
            temporary.unlink()


def _end_of_links(path: Path) -> Path:
    """Where a path leads. Raises HwnasError if something is there that a file must not replace."""
    try:
        end = path.resolve() if path.is_symlink() else path
        if end.exists() and not end.is_file():
            what = "a folder" if end.is_dir() else "no regular file"
            raise HwnasError(f"cannot write {path}: {what} is there, which a file would replace. Name another place.")
    except (OSError, RuntimeError) as error:  # a name that is too long; a loop of links
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise HwnasError(f"cannot write {path}: {reason}. Name another place.") from None
    return end


def check_ours(path: Path, mark: bytes = b"hwnas") -> None:
    """Raise HwnasError if there is something else where hwnas is to write a file: files that it wrote name it.

    `mark` is what all files of the sort that is to be written hold, where a person names the place: so a model that
    hwnas has exported is not replaced by a measurement of it.
    """
    if _end_of_links(path).is_file() and mark not in path.read_bytes():
        raise HwnasError(
            f"{path} is there and was not written by hwnas, or is another kind of file than the new one, and would be "
            "replaced. Move it elsewhere, or name another place."
        )


def sync(path: Path) -> None:
    """Wait until a file is on the disk; or the names in a folder, where the system can."""
    folder = path.is_dir()
    with suppress(*((OSError,) if folder else ())):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_json(path: Path, data: Any) -> None:
    """Write `data` as readable JSON, atomically; an object gets its checksum as a last entry."""
    data = json_values(data)
    if isinstance(data, dict):
        data = data | {CHECKSUM: _checksum(json.loads(json.dumps(data)))}
    text = json_text(data) + "\n"
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def json_text(data: Any) -> str:
    """`data` as readable JSON, in which what a terminal would obey, and half a character, is escaped."""
    text = json.dumps(json_values(data), indent=2, ensure_ascii=False, allow_nan=False)
    return OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def write_page(path: Path, text: str) -> None:
    """Write a page for people, atomically; texts in it from outside are made safe as by `shown`."""
    write_atomically(path, lambda temporary: temporary.write_text(shown(text), encoding="utf-8"))


def read_json(path: Path, what: str, cure: str = CURE) -> Any:
    """The JSON of a file, read through the door of `hwnas.foreign`: see `parse_json` for what it refuses.

    `what` names it in the error: "the run", "the table's conditions"; `cure` says what to do. Raises HwnasError, also
    if the content does not match the checksum that is in it.
    """
    data = read_parsed(path, what, parse_json, cure=cure)
    recorded = data.pop(CHECKSUM, None) if isinstance(data, dict) else None
    if recorded is not None and recorded != _checksum(data):
        raise HwnasError(
            f"{what}: {path} is damaged (its content does not match the checksum in it). {cure}; if it was you who "
            f'changed it, delete its entry "{CHECKSUM}".'
        )
    return data


def _checksum(data: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
