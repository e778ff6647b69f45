"""A verb's configuration: a TOML file of its options, which the flags that were given override."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from hwnas.errors import HwnasError, UsageError

if TYPE_CHECKING:
    from pydantic import BaseModel

Config = TypeVar("Config", bound="BaseModel")


def read_configuration(path: Path | None) -> dict[str, Any]:
    """The options in a file; none without one. Raises UsageError for a file that cannot be read."""
    from hwnas.foreign import read_toml

    if path is None:
        return {}
    try:
        return read_toml(path, "the configuration")
    except HwnasError as error:
        raise UsageError(f"cannot read the configuration {path}: {error}") from None


def configured(kind: type[Config], values: Mapping[str, Any], path: Path | None, verb: str) -> Config:
    """The configuration that options and file say together. Raises UsageError for values that it must not have."""
    from pydantic import ValidationError

    from hwnas.foreign import faults_of

    try:
        return kind.model_validate(values)
    except ValidationError as error:
        names = tuple(kind.model_fields)
        if path is not None:
            raise UsageError(f"in the options or in {path}: {faults_of(error, names)}.") from None
        # a name of one word may stand in a sentence for itself: it is an option where a fault begins with it
        several = "|".join(name for name in names if "_" in name)
        anywhere = rf"\b(?:{several})\b|(?:^|(?<=; ))(?:{'|'.join(names)})(?=[:.\[ ])"
        typed = re.sub(anywhere, lambda name: f"--{name[0].replace('_', '-')}", faults_of(error))
        raise UsageError(f"{typed}; see `hwnas {verb} --help`.") from None
