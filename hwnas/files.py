"""Reading and writing files so that nothing is ever half there."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hwnas.errors import HwnasError
from hwnas.foreign import parse_json, read_parsed
from hwnas.temporary import remove_abandoned_files, temporary_name
from hwnas.text import OBEYED, shown


def cache_folder() -> Path:
    """hwnas's own folder in the user's cache, by the XDG base directory rules, which ignore a relative path."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "hwnas"


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in place: a reader sees the old file or the new.

    Raises HwnasError if the folder cannot be written or the disk is full; the old file is then untouched.
    """
    temporary = path.with_name(temporary_name())  # no longer for a long name: a system allows 255 bytes
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned_files(path.parent)
        write(temporary)
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise HwnasError(
            f"cannot write {path}: {reason}. Make room or make the folder writable, then repeat the command; "
            "what was there before is unchanged."
        ) from error
    finally:
        if temporary.exists():
            temporary.unlink()


def write_json(path: Path, data: Any) -> None:
    """Write `data` as readable JSON, atomically."""
    text = json_text(data) + "\n"
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def json_text(data: Any) -> str:
    """`data` as readable JSON, in which what a terminal would obey, and half a character, is escaped."""
    text = json.dumps(data, indent=2, ensure_ascii=False)
    return OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def write_page(path: Path, text: str) -> None:
    """Write a page for people, atomically, with what is in it from outside made safe as by `shown`."""
    write_atomically(path, lambda temporary: temporary.write_text(shown(text), encoding="utf-8"))


def read_json(path: Path, what: str) -> Any:
    """The JSON of a file, read through the door of `hwnas.foreign`: see `parse_json` for what it refuses.

    `what` names it in the error: "the run", "the table's conditions". Raises HwnasError.
    """
    return read_parsed(path, what, parse_json)
