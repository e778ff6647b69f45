"""The Device: one TOML file that says how a target is reached and how carefully it is measured."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hwnas.errors import HwnasError, UsageError, unknown_name

TRANSPORTS = ("local",)
"""How a Device can be reached. ``local``: in this process."""


class Device(BaseModel):
    """One target and the rules for measuring it. `devices/local.toml` shows every field with its reason."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    """What people type after ``--device``, and the name of the folder its tables go to."""
    description: str = ""
    transport: str = "local"
    """One of `TRANSPORTS`."""
    threads: int = Field(1, ge=1)
    """Threads per inference."""
    cores: tuple[int, ...] | Literal["any"] = "any"
    """Numbers of the cores to run on, or "any" to leave that to the operating system."""
    batch: int = Field(1, ge=1)
    """Images per inference; models of another batch size are refused."""

    warmup_runs: int = Field(3, ge=1)
    """Untimed runs before a visit, at least."""
    warmup_ms: float = Field(20.0, ge=0)
    """Duration of the untimed runs, at least."""
    min_runs: int = Field(20, ge=1)
    """Timed runs of a visit, at least (unless `max_ms` ends it)."""
    max_runs: int = Field(2000, ge=1)
    """Timed runs of a visit, at most."""
    min_ms: float = Field(50.0, ge=0)
    """Duration of a visit's timed runs, at least (unless `max_runs` ends it)."""
    max_ms: float = Field(1000.0, gt=0)
    """Duration after which a visit's warm-up ends, and its timed runs end, whatever is known by then."""
    precision_percent: float = Field(1.0, gt=0)
    """A visit ends once the 95 % confidence interval of the median is within plus or minus this."""

    visits: int = Field(2, ge=1)
    """Visits to each model, spread over the campaign."""
    extra_visits: int = Field(2, ge=0)
    """Further visits to a model, at most, in place of those that were disturbed or do not agree."""
    reference_every: int = Field(10, ge=1)
    """Visits between two measurements of the reference model."""
    drift_limit_percent: float = Field(3.0, gt=0)
    """How far the reference may be off its campaign median before the visits next to it are taken again."""

    @model_validator(mode="after")
    def _consistent(self) -> Device:
        if self.transport not in TRANSPORTS:
            raise ValueError(f"transport is {self.transport!r}; hwnas can reach a device by: {', '.join(TRANSPORTS)}")
        for low, high in (("min_runs", "max_runs"), ("min_ms", "max_ms")):
            if getattr(self, low) > getattr(self, high):
                raise ValueError(f"{low} is {getattr(self, low)}, above {high} = {getattr(self, high)}")
        if self.cores != "any" and (not self.cores or len(set(self.cores)) < len(self.cores) or min(self.cores) < 0):
            raise ValueError(f'cores must name each core once, such as [0, 1], or be "any"; it is {list(self.cores)}')
        return self

    def with_threads(self, threads: int | None) -> Device:
        """This Device with another number of threads; None: as it is. Raises UsageError below 1."""
        if threads is None:
            return self
        if threads < 1:
            raise UsageError(
                f"a model runs on at least 1 thread, threads is {threads}; give the number of cores to use."
            )
        return self.model_copy(update={"threads": threads})


def known_devices() -> dict[str, Path]:
    """Every device file that can be named, by name: the working folder's first, then those that come with hwnas."""
    package = Path(__file__).parents[1]
    folders = [Path("devices"), package.parent / "devices", package / "data" / "devices"]
    return {file.stem: file for folder in reversed(folders) for file in sorted(folder.glob("*.toml"))}


def load_device(name_or_path: str | Path) -> Device:
    """The Device called `name_or_path`, or in the TOML file at that path.

    Raises UsageError, with the list of known devices, for an unknown name, and HwnasError, naming the file, the field
    and its value, for a file that breaks the rules.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        devices = known_devices()
        if str(name_or_path) not in devices:
            raise unknown_name("device", str(name_or_path), list(devices))
        path = devices[str(name_or_path)]
    try:
        return Device(**tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise HwnasError(
            f"cannot read the device file {path}: {error.strerror}; known devices: {', '.join(known_devices())}."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise HwnasError(f"the device file {path} is not TOML: {error}; correct that line.") from None
    except ValidationError as error:
        faults = "; ".join(_fault(fault) for fault in error.errors())
        raise HwnasError(f"the device file {path}: {faults}. Correct it; local.toml shows every field.") from None


def _fault(fault: Any) -> str:
    """One pydantic fault as 'field: rule (found value)'."""
    field = ".".join(str(part) for part in fault["loc"][:1])
    if fault["type"] == "extra_forbidden":
        return f"there is no field {field!r}; fields: {', '.join(Device.model_fields)}"
    message = fault["msg"].removeprefix("Value error, ")
    return f"{field}: {message} (found {fault['input']!r})" if field else message
