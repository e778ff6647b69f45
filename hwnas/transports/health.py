"""Health: how a device is at this moment, read by one script, and understood here."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hwnas.transports.base import Health
from hwnas.transports.facts import CPU

CPU_SENSOR = re.compile(r"cpu|soc|tsens|pkg|package|k10temp|coretemp|zenpower|^(big|mid|little|ap)\b", re.IGNORECASE)
"""Names of the sensors that feel the CPU; phones have dozens of others, for the battery, the skin, the modem."""

PLAUSIBLE_CELSIUS = (-40.0, 150.0)
"""Sensors that are off print numbers far outside, such as -274000."""

CPU_TYPE = "0"
"""Android's number for a CPU's temperature in ``dumpsys thermalservice``."""


def room(folder: str) -> str:
    """The shell command that prints how much room there is where `folder`, a quoted path, is or will be."""
    nearest = 'while [ ! -d "$place" ]; do place=${place%/*}; [ "$place" ] || place=/; done'
    return f'place={folder}; {nearest}; df -kP "$place"'


def health_script(cores: Sequence[int], folder: str) -> str:
    """The script that prints the health; what a device lacks or does not let us read is left out.

    Args:
        cores: the first one's frequency is read.
        folder: a quoted path.
    """
    core = f"{CPU}/cpu{cores[0] if cores else 0}/cpufreq"
    return f"""grep -s . /dev/null {core}/scaling_governor {core}/scaling_cur_freq {core}/scaling_max_freq
grep -s . /dev/null /sys/class/thermal/thermal_zone*/type /sys/class/thermal/thermal_zone*/temp
grep -s . /dev/null /sys/class/hwmon/hwmon*/name /sys/class/hwmon/hwmon*/temp*_input
grep -s . /dev/null /proc/loadavg /proc/uptime
if command -v dumpsys > /dev/null; then
echo battery; timeout 5 dumpsys battery
echo thermal; timeout 5 dumpsys thermalservice
echo
fi
echo room; {room(folder)}
exit 0"""


def parse_health(printed: str) -> Health:
    """The Health that the script of `health_script` printed; None where nothing was printed."""
    files = dict(re.findall(r"^(/[^\s:]+):(.*)$", printed, re.MULTILINE))
    kernel = {path.rpartition("/")[2]: content.strip() for path, content in files.items()}
    battery = _between(printed, "battery", "thermal")
    thermal = _between(printed, "thermal", "room")
    status = re.search(r"Thermal Status: (\d+)", thermal)
    return Health(
        governor=kernel.get("scaling_governor") or None,
        frequency_khz=_number(kernel.get("scaling_cur_freq")),
        max_frequency_khz=_number(kernel.get("scaling_max_freq")),
        temperature_celsius=max([*_sensors(files), *_android_sensors(thermal)], default=None),
        battery_celsius=_tenths(_field(battery, "temperature")),
        battery_percent=_percent(battery),
        plugged=_plugged(battery),
        thermal_status=int(status[1]) if status else None,
        load_average=_first_number(kernel.get("loadavg")),
        uptime_s=_first_number(kernel.get("uptime")),
        free_bytes=free_bytes(printed.rpartition("\nroom\n")[2]),
    )


def free_bytes(printed: str) -> int | None:
    """The free room that ``df -kP`` printed: the number before the percentage."""
    found = re.search(r"\s(\d+)\s+\d+%\s+/", printed)
    return int(found[1]) * 1024 if found else None


def _between(printed: str, first: str, last: str) -> str:
    found = re.search(rf"^{first}$(.*?)^{last}$", printed, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


def _sensors(files: dict[str, str]) -> list[float]:
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
    """Temperatures of the CPU as Android has them now; what it remembers from before is only the second choice."""
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
