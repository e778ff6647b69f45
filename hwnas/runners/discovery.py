"""Discovery: the phones, boards and runtimes that answer now, and why the others cannot be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

from hwnas.devices.connection import device_at, open_transport
from hwnas.devices.cores import clusters
from hwnas.devices.device import Device, known_devices, load_device
from hwnas.errors import HwnasError
from hwnas.runners.registry import programs
from hwnas.runtimes import available_runtimes
from hwnas.transports.adb import PHONE_READY, adb_devices, phone_problem
from hwnas.transports.base import Facts, Health

ANSWER_S = 1.0
"""How long a program that does nothing may take on a device; its Transport adds some seconds for the way there."""

NOT_CONNECTED = "it is not connected: plug it in, or connect it by Wi-Fi with `adb connect`"
"""The problem of a phone that a device file names and adb does not know."""


@dataclass(frozen=True)
class DiscoveredDevice:
    """One phone or board: its facts and health, or why it tells none."""

    transport: str
    """``adb`` or ``ssh``."""
    address: str
    """The phone's serial, or the board's host."""
    devices: tuple[str, ...] = ()
    """Names of the device files that it can be measured as."""
    facts: Facts | None = None
    health: Health | None = None
    runtimes: dict[str, str] = field(default_factory=dict)
    """By runtime: `READY`, or what is missing there."""
    problem: str | None = None
    """Why it cannot be measured now, and what to do."""

    def __repr__(self) -> str:
        told = self.facts.model if self.facts else "does not answer" if self.problem else "not asked"
        return f"DiscoveredDevice({self.transport} {self.address}: {told})"

    def to_json(self) -> dict[str, Any]:
        """As one flat object: the fields, whether it `answers`, and if it does, its Facts and Health."""
        values: dict[str, Any] = {
            "transport": self.transport,
            "address": self.address,
            "answers": self.problem is None,
            "problem": self.problem,
            "devices": list(self.devices),
            "runtimes": self.runtimes,
        }
        if self.facts is not None:
            values |= {name: value for name, value in asdict(self.facts).items() if name != "cores"}
            values["core_count"] = len(self.facts.cores)
            values["clusters"] = [asdict(kind) for kind in clusters(self.facts)]
        if self.health is not None:
            values |= asdict(self.health)
        return values


@dataclass(frozen=True)
class Discovery:
    """Everything that can be measured on, now."""

    phones: tuple[DiscoveredDevice, ...]
    boards: tuple[DiscoveredDevice, ...]
    runtimes: dict[str, str]
    """Of this machine: the version, or why it cannot be used."""
    devices: dict[str, Device]
    """Every device file, by the name people type."""
    damaged: dict[str, str]
    """Device files that break the rules, with their faults."""
    notes: tuple[str, ...]
    """Why no phones can be found at all."""

    def __repr__(self) -> str:
        parts = ("phones", "boards", "runtimes", "devices", "damaged", "notes")
        return f"Discovery({', '.join(f'{name}: {len(getattr(self, name))}' for name in parts)})"

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {
            "phones": [phone.to_json() for phone in self.phones],
            "boards": [board.to_json() for board in self.boards],
            "runtimes": self.runtimes,
            "devices": {name: device.model_dump() for name, device in self.devices.items()},
            "damaged": self.damaged,
            "notes": list(self.notes),
        }


def discover_devices() -> Discovery:
    """Ask every phone and board at the same time for its facts and health; one that hangs costs some seconds."""
    devices, damaged = _device_files()
    notes: list[str] = []
    try:
        attached = adb_devices()
        if not attached:
            notes.append("no phone is connected: switch on USB debugging in its developer options and plug it in.")
    except HwnasError as error:
        attached = []
        notes.append(str(error))
    states = {d.serial: NOT_CONNECTED for d in devices.values() if d.serial}
    states |= {phone.serial: "" if phone.state == PHONE_READY else phone_problem(phone.state) for phone in attached}
    phones = [DiscoveredDevice("adb", serial, problem=problem or None) for serial, problem in states.items()]
    others = dict.fromkeys((d.transport, d.address) for d in devices.values() if d.transport != "adb")
    boards = [DiscoveredDevice(transport, address) for transport, address in others if address is not None]
    asked = _ask_all([*phones, *boards], devices)
    alone = sum(found.transport == "adb" and found.problem is None for found in asked) == 1
    named = [_named(found, devices, alone) for found in asked]
    return Discovery(
        tuple(named[: len(phones)]),
        tuple(named[len(phones) :]),
        local_runtimes(),
        devices,
        damaged,
        tuple(notes),
    )


def _device_files() -> tuple[dict[str, Device], dict[str, str]]:
    """Every device file by name, and the faults of those that are damaged."""
    devices, damaged = {}, {}
    for name, path in known_devices().items():
        try:
            devices[name] = load_device(path)
        except HwnasError as error:
            damaged[name] = str(error)
    return devices, damaged


def _ask_all(found: Sequence[DiscoveredDevice], devices: Mapping[str, Device]) -> list[DiscoveredDevice]:
    with ThreadPoolExecutor(max_workers=max(1, len(found))) as pool:
        return list(pool.map(partial(_asked, devices), found))


def _asked(devices: Mapping[str, Device], found: DiscoveredDevice) -> DiscoveredDevice:
    """With its Facts and Health, or with why it does not tell them; in the folder of the file that names it."""
    if found.problem is not None:
        return found
    named = (d for d in devices.values() if (d.transport, d.address) == (found.transport, found.address))
    try:
        file = next(named, None)
        device = device_at(found.transport, found.address)
        transport = open_transport(device if file is None else device.model_copy(update={"folder": file.folder}))
        transport.run(["true"], ANSWER_S)  # a device that hangs is found out sooner than by reading all about it
        return replace(found, facts=transport.facts(), health=transport.health())
    except HwnasError as error:
        return replace(found, problem=str(error))


def _named(found: DiscoveredDevice, devices: dict[str, Device], alone: bool) -> DiscoveredDevice:
    """With the names that it can be measured under, and its runtimes."""
    names = _devices_for(found, devices, alone)
    if found.facts is None:
        return replace(found, devices=names)
    return replace(
        found, devices=names, runtimes=remote_runtimes(found.transport, found.facts, [devices[name] for name in names])
    )


def _devices_for(found: DiscoveredDevice, devices: dict[str, Device], alone: bool) -> tuple[str, ...]:
    """The device files that mean it: those that name it; for the only phone also those for its model, and for any."""
    model = found.facts.model if found.facts else None
    names: dict[str, int] = {}
    for name, device in devices.items():
        address = device.address
        meant = address == found.address or (address is None and found.transport == "adb" and alone and model)
        if device.transport == found.transport and meant and device.is_for(model):
            names[name] = 0 if address else 1 if device.hardware else 2
    return tuple(sorted(names, key=lambda name: names[name]))


def local_runtimes() -> dict[str, str]:
    """For people: every runtime of this machine with its version, or why it cannot be used here."""
    told = {name: kind.availability_here() for name, kind in programs("local").items()}
    return available_runtimes() | {name: state for name, state in told.items() if state is not None}


def remote_runtimes(transport: str, facts: Facts, devices: Sequence[Device]) -> dict[str, str]:
    """For people: the runtimes that a phone or board can have, each `READY` or with the part that it lacks.

    Args:
        transport: how it is reached.
        facts: as it reports them.
        devices: the Devices that it can be measured as.
    """
    told = {name: kind.availability(facts, devices) for name, kind in programs(transport).items()}
    return {name: state for name, state in told.items() if state is not None}
