"""Health: a device's speed, temperature, battery, load and room at this moment, from files and a script's output."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from hwnas.transports.base import Health
from hwnas.transports.facts import CPU

CPU_SENSOR = re.compile(
    r"cpu|soc[-_]|tsens|pkg|package|k10temp|coretemp|zenpower|^(big|mid|little|ap)\b", re.IGNORECASE
)
"""Names of the sensors that feel the CPU; phones have dozens of others, for the battery, the skin, the modem. ``soc``
and ``socd`` are none: on Qualcomm's and Google's kernels they are the battery's state of charge, or what is left to
100 %."""

PLAUSIBLE_CELSIUS = (-40.0, 150.0)
"""Sensors that are off print numbers far outside, such as -274000."""

CPU_TYPE = "0"
"""Android's number for a CPU's temperature in ``dumpsys thermalservice``."""


def room(folder: str) -> str:
    """The shell command that prints how much room there is where `folder`, a quoted path, is or will be."""
    nearest = 'while [ ! -d "$place" ]; do place=${place%/*}; [ "$place" ] || place=/; done'
    return f'place={folder}; {nearest}; df -kP "$place"'


def kernel_files(core: int) -> tuple[str, ...]:
    """Patterns of the files in which Linux tells the speed of a core, every temperature, the load and the uptime."""
    frequency = f"{CPU}/cpu{core}/cpufreq"
    return (
        *(f"{frequency}/{name}" for name in ("scaling_governor", "scaling_cur_freq", "scaling_max_freq")),
        *(f"/sys/class/thermal/thermal_zone*/{name}" for name in ("type", "temp")),
        *(f"/sys/class/hwmon/hwmon*/{name}" for name in ("name", "temp*_input")),
        "/proc/loadavg",
        "/proc/uptime",
    )


def kernel_health(files: Mapping[str, str]) -> Health:
    """The part of a Health that the kernel tells, from the content of `kernel_files` by path; None without the file.

    This is the only reader of temperatures, for this machine, boards and phones: the hottest sensor counts whose name
    says that it feels the CPU, and no disk, battery or modem.
    """
    values = {path.rpartition("/")[2]: content.strip() for path, content in files.items()}
    return Health(
        governor=values.get("scaling_governor") or None,
        frequency_khz=_number(values.get("scaling_cur_freq")),
        max_frequency_khz=_number(values.get("scaling_max_freq")),
        temperature_celsius=max(_sensors(files), default=None),
        load_average=_first_number(values.get("loadavg")),
        uptime_s=_first_number(values.get("uptime")),
    )


def health_script(cores: Sequence[int], folder: str) -> str:
    """The script that prints the health, without files that a device lacks or does not let us read.

    Args:
        cores: the first one's frequency is read.
        folder: a quoted path.
    """
    return f"""grep -s . /dev/null {" ".join(kernel_files(cores[0] if cores else 0))}
if command -v dumpsys > /dev/null; then
echo battery; timeout 5 dumpsys battery
echo thermal; timeout 5 dumpsys thermalservice
echo
fi
echo room; {room(folder)}
exit 0"""


def parse_health(printed: str) -> Health:
    """The Health that the script of `health_script` printed; None where nothing was printed."""
    kernel = kernel_health(dict(re.findall(r"^(/[^\s:]+):(.*)$", printed, re.MULTILINE)))
    battery = _between(printed, "battery", "thermal")
    thermal = _between(printed, "thermal", "room")
    status = re.search(r"Thermal Status: (\d+)", thermal)
    celsius = [kernel.temperature_celsius, max(_android_sensors(thermal), default=None)]
    return replace(
        kernel,
        temperature_celsius=max((each for each in celsius if each is not None), default=None),
        battery_celsius=_tenths(_field(battery, "temperature")),
        battery_percent=_percent(battery),
        plugged=_plugged(battery),
        thermal_status=int(status[1]) if status else None,
        free_bytes=free_bytes(printed.rpartition("\nroom\n")[2]),
    )


def free_bytes(printed: str) -> int | None:
    """The free room that ``df -kP`` printed: the number before the percentage."""
    found = re.search(r"\s(\d+)\s+\d+%\s+/", printed)
    return int(found[1]) * 1024 if found else None


def _between(printed: str, first: str, last: str) -> str:
    found = re.search(rf"^{first}$(.*?)^{last}$", printed, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


def _sensors(files: Mapping[str, str]) -> list[float]:
    """Temperatures of the kernel's sensors that feel the CPU."""
    found = []
    for path, content in files.items():
        folder, _, name = path.rpartition("/")
        is_zone, is_monitor = name == "temp", re.fullmatch(r"temp\d+_input", name)
        sensor = files.get(f"{folder}/type" if is_zone else f"{folder}/name", "")
        if (is_zone or is_monitor) and CPU_SENSOR.search(sensor):
            found += _celsius(content)
    return found


def _android_sensors(thermal: str) -> list[float]:
    """Temperatures of the CPU as Android has them now; remembered ones are only the second choice."""
    now = thermal.partition("Current temperatures from HAL")[2].partition("Current cooling devices")[0] or thermal
    return [
        degrees
        for value, kind in re.findall(r"Temperature\{mValue=([-\d.]+), mType=(-?\d+)", now)
        if kind == CPU_TYPE
        for degrees in _celsius(value)
    ]


def _celsius(text: str) -> list[float]:
    """One temperature, or none if it is implausible. Most sensors count in thousandths of a degree, some in degrees."""
    value = _first_number(text)
    if value is None:
        return []
    degrees = value / 1000 if abs(value) >= 1000 else value
    return [degrees] if PLAUSIBLE_CELSIUS[0] <= degrees <= PLAUSIBLE_CELSIUS[1] else []


def _field(battery: str, name: str) -> int | None:
    found = re.search(rf"^\s*{name}: (-?\d+)\s*$", battery, re.MULTILINE)
    return int(found[1]) if found else None


def _tenths(value: int | None) -> float | None:
    return None if value is None else value / 10


def _percent(battery: str) -> int | None:
    level, scale = _field(battery, "level"), _field(battery, "scale") or 100
    return None if level is None else round(100 * level / scale)


def _plugged(battery: str) -> bool | None:
    powered = re.findall(r"^\s*(?:AC|USB|Wireless|Dock) powered: (true|false)", battery, re.MULTILINE)
    return "true" in powered if powered else None


def _number(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"\d+", text) else None


def _first_number(text: str | None) -> float | None:
    found = re.match(r"\s*(-?\d+(?:\.\d+)?)", text or "")
    return float(found[1]) if found else None
