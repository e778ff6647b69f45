"""Measuring: devices, campaigns that survive interruptions, and numbers that carry their conditions."""

from __future__ import annotations

from hwnas.callable_package import make_callable
from hwnas.measure.bench import Bench, bench
from hwnas.measure.campaign import Campaign, Entry, Progress, Summary
from hwnas.measure.conditions import Conditions, check_same, current_conditions, differences
from hwnas.measure.device import Device, known_devices, load_device
from hwnas.measure.journal import Journal
from hwnas.measure.measurement import Measurement
from hwnas.measure.space_table import SpaceTable, measure, network_model, reference_model
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
    "bench",
    "check_same",
    "current_conditions",
    "differences",
    "known_devices",
    "load_device",
    "measure",
    "network_model",
    "reference_model",
    "time_session",
]

make_callable(__name__, measure)
