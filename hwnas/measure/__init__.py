"""Measuring: devices, campaigns that survive interruptions, and numbers that carry their conditions."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from hwnas.callable_package import make_callable
from hwnas.measure.bench import Bench, bench, profile_operators
from hwnas.measure.campaign import Campaign
from hwnas.measure.conditions import Conditions, check_same, current_conditions, differences
from hwnas.measure.device import Device, known_devices, load_device
from hwnas.measure.journal import Journal
from hwnas.measure.measurement import Measurement
from hwnas.measure.progress import Progress, Summary
from hwnas.measure.runners import open_runner
from hwnas.measure.sitting import Entry
from hwnas.measure.timing import Timing, time_session

__all__ = [
    "Bench",
    "Campaign",
    "Conditions",
    "Device",
    "Entry",
    "Journal",
    "Measurement",
    "Progress",
    "SpaceTable",
    "Summary",
    "Timing",
    "UntilAccurate",
    "bench",
    "check_same",
    "current_conditions",
    "differences",
    "known_devices",
    "load_device",
    "measure",
    "measure_like",
    "measure_until",
    "network_model",
    "open_runner",
    "profile_operators",
    "reference_model",
    "time_session",
]

_OF_SPACES = {
    "SpaceTable": "table_campaign",
    "UntilAccurate": "until_accurate",
    "measure": "space_table",
    "measure_like": "space_table",
    "measure_until": "until_accurate",
    "network_model": "table_campaign",
    "reference_model": "table_campaign",
}
"""Loaded when asked for: they need PyTorch, and the process that `bench` measures a file in does not."""


def __getattr__(name: str) -> Any:
    if name in _OF_SPACES:
        return getattr(import_module(f"hwnas.measure.{_OF_SPACES[name]}"), name)
    raise AttributeError(f"module 'hwnas.measure' has no attribute {name!r}")


def _measure(*args: Any, **kwargs: Any) -> Any:
    return __getattr__("measure")(*args, **kwargs)


make_callable(__name__, _measure)
