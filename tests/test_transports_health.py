"""What phones and boards print about how they are, and what is understood of it."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas.devices.machine import machine_health
from hwnas.transports.base import Health
from hwnas.transports.health import free_bytes, health_script, parse_health

PHONE = """\
/sys/devices/system/cpu/cpu4/cpufreq/scaling_governor:sched_pixel
/sys/devices/system/cpu/cpu4/cpufreq/scaling_cur_freq:910000
/sys/devices/system/cpu/cpu4/cpufreq/scaling_max_freq:1999000
/proc/loadavg:3.12 2.80 2.55 1/3123 9876
/proc/uptime:86400.25 512345.10
battery
Current Battery Service state:
  AC powered: false
  USB powered: true
  Wireless powered: false
  Max charging current: 500000
  status: 2
  health: 2
  present: true
  level: 85
  scale: 100
  voltage: 4265
  temperature: 251
  technology: Li-ion
thermal
IsStatusOverride: false
ThermalEventListeners:
Thermal Status: 1
Cached temperatures:
\tTemperature{mValue=61.0, mType=0, mName=BIG, mStatus=1}
HAL Ready: true
Current temperatures from HAL:
\tTemperature{mValue=25.6, mType=0, mName=LITTLE, mStatus=0}
\tTemperature{mValue=47.9, mType=0, mName=BIG, mStatus=0}
\tTemperature{mValue=55.0, mType=1, mName=GPU, mStatus=0}
\tTemperature{mValue=25.1, mType=2, mName=battery, mStatus=0}
Current cooling devices from HAL:
\tCoolingDevice{mValue=0, mType=2, mName=thermal-cpufreq-0}

room
Filesystem       1024-blocks     Used Available Capacity Mounted on
/dev/block/dm-48   112654312 40000000  72654312      36% /data
"""

BOARD = """\
/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor:ondemand
/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq:1500000
/sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq:2400000
/sys/class/thermal/thermal_zone0/type:cpu-thermal
/sys/class/thermal/thermal_zone0/temp:51200
/sys/class/hwmon/hwmon0/name:cpu_thermal
/sys/class/hwmon/hwmon0/temp1_input:51250
/sys/class/hwmon/hwmon1/name:nvme
/sys/class/hwmon/hwmon1/temp1_input:70850
/proc/loadavg:0.08 0.03 0.01 1/161 1234
/proc/uptime:3600.50 14000.00
room
Filesystem     1024-blocks    Used Available Capacity Mounted on
/dev/mmcblk0p2    61204220 5012345  53660000       9% /
"""


def test_a_phone():
    assert parse_health(PHONE) == Health(
        governor="sched_pixel",
        frequency_khz=910_000,
        max_frequency_khz=1_999_000,
        temperature_celsius=47.9,
        battery_celsius=25.1,
        battery_percent=85,
        plugged=True,
        thermal_status=1,
        load_average=3.12,
        uptime_s=86400.25,
        free_bytes=72654312 * 1024,
    )


def test_a_board():
    assert parse_health(BOARD) == Health(
        governor="ondemand",
        frequency_khz=1_500_000,
        max_frequency_khz=2_400_000,
        temperature_celsius=51.25,
        battery_celsius=None,
        battery_percent=None,
        plugged=None,
        thermal_status=None,
        load_average=0.08,
        uptime_s=3600.5,
        free_bytes=53660000 * 1024,
    )


def test_what_a_device_does_not_tell_is_none():
    assert parse_health("") == Health(*[None] * 11)


@pytest.mark.parametrize(
    ("kind", "printed", "celsius"),
    [
        ("cpu-thermal", "51200", 51.2),
        ("soc_thermal", "51", 51.0),
        ("x86_pkg_temp", "38000", 38.0),
        ("BIG", "40123", 40.123),
        ("tsens_tz_sensor5", "44000", 44.0),
        ("cpu-0-0-usr", "-274000", None),
        ("cpu-thermal", "not a number", None),
        ("battery", "30000", None),
        ("soc", "96", None),  # the battery's state of charge in percent, and what is left of it
        ("socd", "4", None),
        ("soc-thermal", "45500", 45.5),
        ("bigbang", "30000", None),
    ],
)
def test_sensors(kind, printed, celsius):
    zone = "/sys/class/thermal/thermal_zone7"
    assert parse_health(f"{zone}/type:{kind}\n{zone}/temp:{printed}\n").temperature_celsius == celsius


def test_cached_temperatures_count_where_there_are_no_others():
    cached = PHONE.replace("Current temperatures from HAL:", "Temperature sensors:")
    assert parse_health(cached).temperature_celsius == 61.0


def test_an_unplugged_phone_with_another_scale():
    printed = PHONE.replace("USB powered: true", "USB powered: false").replace("scale: 100", "scale: 200")
    health = parse_health(printed)
    assert (health.plugged, health.battery_percent) == (False, 42)


@pytest.mark.parametrize(
    ("printed", "free"),
    [
        ("/dev/a long name 1 2 3 4% /x y", 3 * 1024),
        ("tmpfs 3072 0 3072 0% /data/local/tmp", 3072 * 1024),
        ("df: /nothing: No such file or directory", None),
    ],
)
def test_free_bytes(printed, free):
    assert free_bytes(printed) == free


@given(st.text())
def test_anything_may_be_printed(printed):
    assert isinstance(parse_health(printed), Health)
    assert isinstance(parse_health(PHONE.replace("251", printed)), Health)


def test_this_machine_and_a_device_behind_a_shell_read_the_same_cpu_sensors(tmp_path):
    """A laptop whose disk and battery are hotter than its CPU."""
    files = {
        "sys/class/hwmon/hwmon0/name": "nvme",
        "sys/class/hwmon/hwmon0/temp1_input": "70850",
        "sys/class/hwmon/hwmon1/name": "coretemp",
        "sys/class/hwmon/hwmon1/temp1_input": "48000",
        "sys/class/hwmon/hwmon1/temp2_input": "51000",
        "sys/class/thermal/thermal_zone0/type": "BAT0",
        "sys/class/thermal/thermal_zone0/temp": "66000",
        "sys/class/thermal/thermal_zone1/type": "x86_pkg_temp",
        "sys/class/thermal/thermal_zone1/temp": "49500",
        "sys/devices/system/cpu/cpu3/cpufreq/scaling_governor": "powersave",
        "sys/devices/system/cpu/cpu3/cpufreq/scaling_cur_freq": "1100000",
        "sys/devices/system/cpu/cpu3/cpufreq/scaling_max_freq": "4000000",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{content}\n")
    script = health_script([3], "/tmp").replace("/sys/", f"{tmp_path}/sys/")
    printed = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    there, here = parse_health(printed.replace(str(tmp_path), "")), machine_health(3, tmp_path)
    for health in (there, here):
        assert health.temperature_celsius == 51.0
        assert (health.governor, health.frequency_khz, health.max_frequency_khz) == ("powersave", 1_100_000, 4_000_000)
