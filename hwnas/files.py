"""Reading and writing files so that nothing is ever half there."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hwnas.errors import HwnasError
from hwnas.foreign import parse_json, read_parsed


def cache_folder() -> Path:
    """hwnas's own folder in the user's cache, by the XDG base directory rules, which ignore a relative path."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "hwnas"


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in place: a reader sees the old file or the new.

    Raises HwnasError if the folder cannot be written or the disk is full; the old file is then untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
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
    """Readable JSON that UTF-8 can hold: file names that it cannot hold are escaped, and read as they were."""
    return json.dumps(data, indent=2, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()


def read_json(path: Path, what: str) -> Any:
    """The JSON of a file, read through the door of `hwnas.foreign`: see `parse_json` for what it refuses.

    `what` names it in the error: "the run", "the table's conditions". Raises HwnasError.
    """
    return read_parsed(path, what, parse_json)
