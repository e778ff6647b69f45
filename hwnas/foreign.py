"""The door for data from outside: every file that a person, another program or a crash may have written comes in here.

A file is read with a limit on its size, as UTF-8, and its JSON or TOML without what parsers let pass and programs
stumble over: keys that are there twice, NaN, endless integers, nesting without end. What the data must be is said by
types, and `checked` tells where they are broken: ``a.b[3]: rule (found value)``.
"""

from __future__ import annotations

import csv
import io
import json
import stat
import tomllib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError

from hwnas.errors import HwnasError
from hwnas.text import excerpt

MOST_BYTES = 64 * 2**20
"""Of a file of text: the largest that hwnas writes or that is published have a tenth of this."""
DEEPEST = 64
"""Levels of nesting; what hwnas writes has less than ten."""
MOST_DIGITS = 19
"""Of an integer: what fits 64 bits."""
CURE = "Restore it, or delete it and make it again"
"""The cure for a damaged file, where nothing better is known."""
FAULTS_SHOWN = 3
LONGEST_MS = 3_600_000.0
"""An hour: no inference takes longer."""
SHORTEST_MS = 1e-7
"""A tenth of a nanosecond: less than one cycle of any processor."""

T = TypeVar("T")


def _no_bool(value: Any) -> Any:
    """Python takes true for 1."""
    if isinstance(value, bool):
        raise ValueError("must be a number, not true or false")
    return value


Finite = Annotated[float, BeforeValidator(_no_bool), Field(allow_inf_nan=False, ge=-1e12, le=1e12)]
Ms = Annotated[float, BeforeValidator(_no_bool), Field(allow_inf_nan=False, ge=SHORTEST_MS, le=LONGEST_MS)]
"""A latency in ms."""
NotNegative = Annotated[float, BeforeValidator(_no_bool), Field(allow_inf_nan=False, ge=0, le=1e12)]
Positive = Annotated[float, BeforeValidator(_no_bool), Field(allow_inf_nan=False, gt=0, le=1e12)]
Count = Annotated[int, BeforeValidator(_no_bool), Field(ge=1, le=10**12)]


def read_bytes(path: Path, what: str, most_bytes: int = MOST_BYTES) -> bytes:
    """The bytes of a file. Raises HwnasError if it is missing, no regular file, unreadable, or above `most_bytes`.

    `what` names it in the error: "the run", "the table's conditions".
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # opening a FIFO would wait for ever
            raise HwnasError(f"{what}: {path} must be a regular file, and is a {_kind(found.st_mode)}.")
        if found.st_size > most_bytes:
            raise HwnasError(f"{what}: {path} has {found.st_size:,} bytes; such a file has {most_bytes:,} at most.")
        return path.read_bytes()
    except FileNotFoundError:
        raise HwnasError(f"{what}: there is no file {path}; check the name.") from None
    except OSError as error:
        raise HwnasError(f"{what}: cannot read {path}: {error.strerror or error}.") from None
    except ValueError as error:  # a name with a NUL byte in it
        raise HwnasError(f"{what}: {str(path)!r} can be no file's name: {error}.") from None


def decoded(data: bytes) -> str:
    """The text of bytes in UTF-8, with or without a byte order mark. Raises ValueError naming what is wrong."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError("it is UTF-16, and must be UTF-8; save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line} is not UTF-8: byte 0x{data[error.start]:02x}") from None
    if "\0" in text:
        raise ValueError(f"line {text.count(chr(10), 0, text.index(chr(0))) + 1} holds a NUL byte")
    return text


def read_parsed(path: Path, what: str, parse: Callable[[str], T], most_bytes: int = MOST_BYTES, cure: str = CURE) -> T:
    """Parse the text of a file. Raises HwnasError as `read_bytes`, and where `parse` raises ValueError."""
    data = read_bytes(path, what, most_bytes)
    try:
        return parse(decoded(data))
    except ValueError as error:
        raise HwnasError(f"{what}: {path} is damaged ({error}). {cure}.") from None


def parse_json(text: str) -> Any:
    """The value of a JSON text. Raises ValueError for a text that is no JSON, or that no honest writer writes.

    That is: a key twice in one object, NaN, Infinity, numbers that 64 bits do not hold, nesting deeper than `DEEPEST`,
    and half a surrogate pair, but for those that stand for the bytes of a file's name that is not UTF-8.
    """
    try:
        data = json.loads(
            text, object_pairs_hook=_object, parse_int=integer, parse_float=_float, parse_constant=_constant
        )
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    check_depth(data)
    if "\\ud" in text.lower():
        try:
            json.dumps(data, ensure_ascii=False).encode(errors="surrogateescape")
        except UnicodeEncodeError:
            raise ValueError("a text holds half a surrogate pair, which is no character") from None
    return data


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """The tables of a TOML file. Raises HwnasError; see `parse_toml`."""
    data = read_bytes(path, what)
    try:
        return parse_toml(decoded(data))
    except ValueError as error:
        raise HwnasError(f"{what} {path} is not TOML: {error}; correct that line.") from None


def parse_toml(text: str) -> dict[str, Any]:
    """The tables of a TOML text. Raises ValueError for one that is no TOML, is too deep, or has endless integers."""
    try:
        data = tomllib.loads(text)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    check_depth(data)
    return data


def read_csv(path: Path, what: str) -> list[tuple[int, dict[str, str]]]:
    """The rows of a CSV file by column, each with the number of its line. Raises HwnasError; see `parse_csv`."""
    return read_parsed(path, what, parse_csv)


def parse_csv(text: str) -> list[tuple[int, dict[str, str]]]:
    """The rows of a CSV text by column, each with its line. Raises ValueError for a column that is there twice, and a
    row that is longer or shorter than the first line."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = next(reader, [])
        for name in columns:
            if columns.count(name) > 1:
                raise ValueError(f"the column {excerpt(name)} is there twice")
        rows = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num} is no CSV: {error}") from None
    for line, row in rows:
        if len(row) != len(columns):
            raise ValueError(f"line {line} has {len(row)} values for {len(columns)} columns")
    return [(line, dict(zip(columns, row, strict=True))) for line, row in rows]


def check_depth(data: Any) -> None:
    """Raise ValueError if lists and dicts are nested deeper than `DEEPEST`."""
    level = [data]
    for _ in range(DEEPEST):
        inner = [node.values() if isinstance(node, dict) else node for node in level if isinstance(node, dict | list)]
        level = [child for children in inner for child in children if isinstance(child, dict | list)]
        if not level:
            return
    raise ValueError(_TOO_DEEP)


def checked(kind: Any, data: Any, where: str, cure: str) -> Any:
    """`data`, parsed JSON, as the type it must be.

    Args:
        kind: a pydantic model, a dataclass or any type that pydantic knows; text is no number, true no 1.
        data: of plain JSON values.
        where: the file, and the place in it, for the message.
        cure: what to do if it is not so.

    Raises HwnasError with every place (the first few) at which it is not.
    """
    try:
        return typed(kind, data)
    except ValidationError as error:
        raise HwnasError(f"{where}: {faults_of(error)}; {cure}.") from None


def typed(kind: Any, data: Any) -> Any:
    """As `checked`; raises pydantic's ValidationError, a ValueError."""
    return _adapter(kind).validate_json(json.dumps(data), strict=True)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def faults_of(error: ValidationError, fields: Sequence[str] = ()) -> str:
    """The faults of data, for people: ``a.b[3]: rule (found value)``. `fields`: names that a wrong one might mean."""
    faults = error.errors(include_url=False)
    more = f"; and {len(faults) - FAULTS_SHOWN} more" if len(faults) > FAULTS_SHOWN else ""
    return "; ".join(_fault(fault, fields) for fault in faults[:FAULTS_SHOWN]) + more


def _fault(fault: Mapping[str, Any], fields: Sequence[str]) -> str:
    place = place_of(fault["loc"])
    if fault["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"there is no field {place!r}" + (f"; fields: {', '.join(fields)}" if fields else "")
    if fault["type"] in ("missing", "missing_argument"):
        return f"{place} is missing"
    message = fault["msg"].removeprefix("Value error, ").replace("Input should", "must")
    return f"{place}: {message} (found {excerpt(fault['input'])})" if place else message


def place_of(steps: Sequence[int | str]) -> str:
    """A path into data, as people write it: ``a.b[3]``."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).removeprefix(".")


_TOO_DEEP = f"it is nested deeper than {DEEPEST} levels"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {excerpt(twice)} is there twice")
    return found


def integer(digits: str) -> int:
    """An integer of JSON. Raises ValueError where 64 bits cannot hold it, and Python might not print it."""
    if len(digits.lstrip("-")) > MOST_DIGITS:
        raise ValueError(f"the integer {digits[:20]}... has {len(digits):,} digits; {MOST_DIGITS} are the most")
    return int(digits)


def _float(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"the number {digits[:40]} is too large")
    return number


def _constant(name: str) -> float:
    raise ValueError(f"{name} is no number in JSON")


def _kind(mode: int) -> str:
    kinds = {stat.S_IFDIR: "folder", stat.S_IFIFO: "FIFO", stat.S_IFSOCK: "socket"}
    return kinds.get(stat.S_IFMT(mode), "device of the system")
