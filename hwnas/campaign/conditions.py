"""Conditions: what decides whether two numbers may be compared, and what may explain a surprise later."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from hwnas.devices.device import Device
from hwnas.devices.machine import cpu_quota_cores
from hwnas.errors import HwnasError
from hwnas.runners import open_runner
from hwnas.runners.base import Runner
from hwnas.runtimes.base import Runtime


@dataclass(frozen=True)
class Conditions:
    """What a number was measured under, as JSON values; what the device does not tell is recorded as None."""

    identity: dict[str, Any]
    """Must be equal before numbers are mixed: the machine (system, architecture, cpu, core_count), the runtime
    (runtime, runtime_version, library_sha256), and how it was used (threads, cores, batch, precision). The cores are
    "any" only where the process may use enough of them; where it is granted less time than its threads could use,
    cpu_quota_cores says how much."""
    circumstances: dict[str, Any]
    """Recorded only: device, platform, every field of `hwnas.transports.base.Health`, hwnas_version, date."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Conditions:
        """The Conditions that `to_json` wrote. Raises HwnasError if a part is missing."""
        try:
            return Conditions(dict(data["identity"]), dict(data["circumstances"]))
        except (KeyError, TypeError, ValueError) as error:
            raise HwnasError(f"the conditions of a measurement are damaged ({error!r}); measure again.") from error


def current_conditions(
    device: Device, runtime: Runtime | str | None = None, precision: str | None = None
) -> Conditions:
    """The Conditions of what would be measured now: see `open_runner` for the arguments, `conditions_of` for the rest.

    Raises as `open_runner`; HwnasError also if the runtime is not installed.
    """
    with open_runner(device, runtime) as runner:
        return conditions_of(runner, device, precision)


def conditions_of(runner: Runner, device: Device, precision: str | None = None) -> Conditions:
    """The Conditions of what an open runner measures now.

    Args:
        runner: Tells what the device and the runtime are, and how the device is.
        device: Gives threads, cores and batch, as far as the runner does not tell what became of them.
        precision: What the models compute in, such as "float32"; None if that is not known.
    """
    settings = {
        "threads": device.threads,
        "cores": device.cores if isinstance(device.cores, str) else list(device.cores),
        "batch": device.batch,
        "precision": precision,
    }
    identity = runner.identity()
    identity |= {name: value for name, value in settings.items() if name not in identity}
    quota_cores = cpu_quota_cores() if device.transport == "local" else None
    if quota_cores is not None and quota_cores < device.threads:  # more than its threads use limits nothing
        identity["cpu_quota_cores"] = quota_cores
    circumstances = {"device": device.name} | runner.circumstances() | asdict(runner.health())
    date = datetime.now(UTC).isoformat(timespec="seconds")
    return Conditions(identity, circumstances | {"hwnas_version": _hwnas_version(), "date": date})


def differences(recorded: Mapping[str, Any], current: Mapping[str, Any], recorded_in: str = "the table") -> list[str]:
    """What keeps two identities from being mixed, for people: ``threads: 1 in the table, 2 now``. Empty if nothing."""
    return [
        f"{name}: {_shown(recorded, name)} in {recorded_in}, {_shown(current, name)} now"
        for name in {**recorded, **current}
        if name not in recorded or name not in current or recorded[name] != current[name]
    ]


def check_same(recorded: Mapping[str, Any], current: Conditions, place: Path | str) -> None:
    """Refuse to mix numbers of two conditions.

    Args:
        recorded: the conditions of a table, as `Conditions.to_json` wrote them.
        current: those of what is measured now.
        place: where the table is, for the message.

    Raises:
        HwnasError: they differ in what decides a latency; the message lists the differences.
    """
    if found := differences(Conditions.from_json(recorded).identity, current.identity):
        raise HwnasError(
            f"the table {place} was measured under other conditions ({'; '.join(found)}), so its numbers do not hold "
            "here. Measure anew into another folder with --tables, restore those conditions, or take the table as it "
            "is with --accept-conditions where a command offers it."
        )


def _shown(identity: Mapping[str, Any], name: str) -> str:
    value = identity.get(name)
    if name == "library_sha256" and value:
        return str(value)[:12]
    return "unknown" if value is None else str(value)


def _hwnas_version() -> str | None:
    with suppress(PackageNotFoundError):
        return version("hwnas")
    return None
