"""What phones and boards print about themselves, and what is understood of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas.transports.base import Core, Facts
from hwnas.transports.facts import core_numbers, parse_facts

PIXEL_8 = """\
Linux
aarch64
5.15.137-android14-11-gbf4f9bc41c3b-ab11664771
property ro.product.model=Pixel 8
property ro.product.manufacturer=Google
property ro.soc.model=Tensor G3
property ro.board.platform=zuma
property ro.build.version.release=14
property ro.product.cpu.abi=arm64-v8a
/proc/meminfo:MemTotal:        7769020 kB
/proc/meminfo:MemFree:          201512 kB
/proc/cpuinfo:processor\t: 0
/proc/cpuinfo:CPU implementer\t: 0x41
/proc/cpuinfo:CPU part\t: 0xd46
/proc/cpuinfo:processor\t: 1
/proc/cpuinfo:CPU part\t: 0xd4d
present:0-8
online:0-7
cpu0/cpu_capacity:175
cpu4/cpu_capacity:606
cpu8/cpu_capacity:1024
cpu0/cpufreq/cpuinfo_max_freq:1704000
cpu4/cpufreq/cpuinfo_max_freq:2367000
cpu8/cpufreq/cpuinfo_max_freq:2914000
"""

RASPBERRY_PI_5 = """\
Linux
aarch64
6.6.31+rpt-rpi-2712
/etc/os-release:PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
/etc/os-release:NAME="Debian GNU/Linux"
/etc/os-release:ID=debian
/proc/meminfo:MemTotal:        8244912 kB
/proc/cpuinfo:processor\t: 0
/proc/cpuinfo:CPU part\t: 0xd0b
/proc/cpuinfo:Model\t\t: Raspberry Pi 5 Model B Rev 1.0
present:0-3
online:0-3
cpu0/cpufreq/cpuinfo_max_freq:2400000
cpu1/cpufreq/cpuinfo_max_freq:2400000
cpu2/cpufreq/cpuinfo_max_freq:2400000
cpu3/cpufreq/cpuinfo_max_freq:2400000
tree model=Raspberry Pi 5 Model B Rev 1.0 \n\
tree compatible=raspberrypi,5-model-b brcm,bcm2712 \n"""

PC = """\
Linux
x86_64
6.1.0
/proc/cpuinfo:model name\t: AMD EPYC
present:0
online:0
cpu0/cpu_capacity:1024
"""


def test_a_phone():
    facts = parse_facts(PIXEL_8)
    assert facts.kernel == "5.15.137-android14-11-gbf4f9bc41c3b-ab11664771"
    assert (facts.os_version, facts.abi, facts.model, facts.manufacturer, facts.soc, facts.cpu, facts.memory_kb) == (
        *("Android 14", "arm64-v8a", "Pixel 8", "Google", "Tensor G3", "CPU part 0xd46"),
        7_769_020,
    )
    assert len(facts.cores) == 9
    assert facts.cores[4] == Core(4, max_khz=2_367_000, capacity=606, online=True)
    assert facts.cores[8] == Core(8, max_khz=2_914_000, capacity=1024, online=False)


def test_a_board():
    assert parse_facts(RASPBERRY_PI_5) == Facts(
        system="Linux",
        architecture="aarch64",
        kernel="6.6.31+rpt-rpi-2712",
        os_version="Debian GNU/Linux 12 (bookworm)",
        abi=None,
        model="Raspberry Pi 5 Model B Rev 1.0",
        manufacturer=None,
        soc="bcm2712",
        cpu="CPU part 0xd0b",
        cores=tuple(Core(number, 2_400_000, None, True) for number in range(4)),
        memory_kb=8_244_912,
    )


def test_a_computer_has_the_name_of_its_cpu():
    facts = parse_facts(PC)
    assert (facts.model, facts.cpu, facts.soc, facts.memory_kb) == ("AMD EPYC", "AMD EPYC", None, None)
    assert facts.cores == (Core(0, None, 1024, True),)


def test_an_older_phone_tells_its_platform_instead_of_its_chip():
    assert parse_facts(PIXEL_8.replace("ro.soc.model=Tensor G3", "ro.soc.model=")).soc == "zuma"


def test_what_a_device_does_not_tell_is_none():
    assert parse_facts("") == Facts(*[None] * 9, cores=(), memory_kb=None)
    assert parse_facts("Linux\n").architecture is None


@pytest.mark.parametrize(
    ("ranges", "numbers"), [("0-3", (0, 1, 2, 3)), ("0", (0,)), ("0-1,4,6-7", (0, 1, 4, 6, 7)), ("", ())]
)
def test_core_numbers(ranges, numbers):
    assert core_numbers(ranges) == numbers


@given(st.text())
def test_anything_may_be_printed(printed):
    assert isinstance(parse_facts(printed), Facts)
    assert isinstance(parse_facts(PIXEL_8 + printed), Facts)
