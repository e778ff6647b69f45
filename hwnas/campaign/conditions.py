"""Conditions: they decide whether two numbers may be compared, and may explain a surprise later."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator

from hwnas.devices.device import Device, load_device
from hwnas.devices.machine import cpu_quota_cores
from hwnas.errors import HwnasError
from hwnas.runners import open_runner
from hwnas.runners.base import Runner
from hwnas.runtimes.base import Runtime


@dataclass(frozen=True)
class Conditions:
    """The conditions of a number, as JSON values; None is recorded for what the device does not tell."""

    identity: dict[str, Any]
    """It must be equal before numbers are mixed: the machine (system, architecture, cpu, core_count), the runtime
    (runtime, runtime_version, library_sha256), and how it was used (threads, cores, batch, precision). The cores are
    "any" only where the process may use enough of them; where it is granted less time than its threads could use,
    cpu_quota_cores says how much."""
    circumstances: dict[str, Any]
    """Recorded only: device, platform, every field of `hwnas.transports.base.Health`, hwnas_version, date."""

    def __repr__(self) -> str:
        told = self.identity.get
        runtime = " ".join(str(told(name)) for name in ("runtime", "runtime_version"))
        return f"Conditions({runtime} on {str(told('cpu'))[:50]}, threads {told('threads')}, cores {told('cores')})"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Conditions:
        """The Conditions that `to_json` wrote. Raises HwnasError if a part is missing."""
        try:
            return Conditions(dict(data["identity"]), dict(data["circumstances"]))
        except (KeyError, TypeError, ValueError) as error:
            raise HwnasError(f"the conditions of a measurement are damaged ({error!r}); measure again.") from error


def _both_parts(data: dict[str, Any]) -> dict[str, Any]:
    if not all(isinstance(data.get(name), dict) for name in ("identity", "circumstances")):
        raise ValueError("must hold identity and circumstances, which are objects")
    return data


ConditionsJson = Annotated[dict[str, Any], AfterValidator(_both_parts)]
"""The JSON of `Conditions.to_json`, in a file that pydantic checks."""


def current_conditions(
    device: Device | Path | str, runtime: Runtime | str | None = None, precision: str | None = None
) -> Conditions:
    """The Conditions of a measurement that is made now.

    Args:
        device: as `load_device` takes it.
        runtime: as `resolve_runtime` takes it.
        precision: as `conditions_of` takes it.

    Raises as `load_device` and `open_runner`; HwnasError also if the runtime is not installed.
    """
    device = load_device(device)
    with open_runner(device, runtime) as runner:
        return conditions_of(runner, device, precision)


def conditions_of(runner: Runner, device: Device, precision: str | None = None) -> Conditions:
    """The Conditions of a measurement that an open runner makes now.

    Args:
        runner: tells the identity of device and runtime, and the device's health.
        device: gives threads, cores and batch, as far as the runner does not tell them.
        precision: the type that the models compute in, such as "float32"; None: unknown.
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


def differences(recorded: Mapping[str, Any], current: Mapping[str, Any], recorded_in: str) -> list[str]:
    """Why numbers of two identities must not be mixed, for people: ``threads: 1 in the table, 2 now``. Empty: they may.

    `recorded_in` names the place of the first one: "the table".
    """
    return [
        f"{name}: {_shown(recorded, name)} in {recorded_in}, {_shown(current, name)} now"
        for name in {**recorded, **current}
        if name not in recorded or name not in current or recorded[name] != current[name]
    ]


def _shown(identity: Mapping[str, Any], name: str) -> str:
    value = identity.get(name)
    if name == "library_sha256" and value:
        return str(value)[:12]
    return "unknown" if value is None else str(value)


def _hwnas_version() -> str | None:
    with suppress(PackageNotFoundError):
        return version("hwnas")
    return None
