"""Readiness: which runtimes can run models on this machine, on a phone or on a board, and what the others lack."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from pathlib import Path

from hwnas.devices.device import Device
from hwnas.errors import HwnasError
from hwnas.native.abi import Abi, abi_for
from hwnas.native.bundle import bundles_folder
from hwnas.native.library import installed_library
from hwnas.native.toolchain import find_compiler
from hwnas.runtimes import available_runtimes
from hwnas.transports.base import Facts

READY = "ready"


def local_runtimes() -> dict[str, str]:
    """For people: every runtime of this machine with its version, or why it cannot be used here."""
    try:
        _, native = installed_library()
        _check_hwbench(abi_for(platform.machine(), "this machine"))
    except HwnasError as error:
        native = str(error)
    return available_runtimes() | {"native": native}


def remote_runtimes(facts: Facts, devices: Iterable[Device]) -> dict[str, str]:
    """For people: the runtimes that a phone or board can have, each `READY` or with what it lacks.

    Args:
        facts: What it says it is.
        devices: The Devices that it can be measured as.
    """
    try:
        _check_hwbench(abi_for(facts.architecture, facts.model or "it"))
        runtimes = {"native": READY}
    except HwnasError as error:
        runtimes = {"native": str(error)}
    for device in devices:
        if device.benchmark_model:
            there = Path(device.benchmark_model).is_file()
            runtimes["benchmark-model"] = READY if there else f"{device.name} names no file: {device.benchmark_model}"
    return runtimes


def _check_hwbench(abi: Abi) -> None:
    """Raises HwnasError if hwbench neither lies in the cache nor can be compiled here."""
    if not any(bundles_folder().glob(f"{abi.name}-*")):
        find_compiler(abi)
