"""Facts about a device, printed by one script, and parsed here."""

from __future__ import annotations

import re

from hwnas.transports.base import Core, Facts

CPU = "/sys/devices/system/cpu"

PROPERTIES = (
    "ro.product.model",
    "ro.product.manufacturer",
    "ro.soc.model",
    "ro.board.platform",
    "ro.build.version.release",
    "ro.product.cpu.abi",
)
"""The properties that Android's ``getprop`` is asked for."""

FACTS = f"""uname -s; uname -m; uname -r
if command -v getprop > /dev/null; then
for name in {" ".join(PROPERTIES)}; do echo "property $name=$(getprop $name)"; done
fi
grep -s . /dev/null /etc/os-release /proc/meminfo /proc/cpuinfo
grep -s Cpus_allowed_list: /dev/null /proc/self/status
cd {CPU} && grep -s . /dev/null present online cpu[0-9]*/cpu_capacity cpu[0-9]*/cpufreq/cpuinfo_max_freq
cd /proc/device-tree && for name in model compatible; do
[ -r $name ] && echo "tree $name=$(tr '\\0' ' ' < $name)"
done
exit 0"""
"""The script that prints all of it, without files that a device lacks or does not let us read."""


def parse_facts(printed: str) -> Facts:
    """The Facts that the script `FACTS` printed; None where nothing was printed."""
    lines = printed.splitlines()
    system, architecture, kernel = (line.strip() or None for line in [*lines[:3], "", "", ""][:3])
    properties = _named(lines, r"property ([\w.]+)=(.*)")
    tree = _named(lines, r"tree (\w+)=(.*)")
    release = _named(lines, r"/etc/os-release:(\w+)=(.*)")
    cpu = _cpu(_named(lines, r"/proc/cpuinfo:([^:]*?)\s*:(.*)"))
    memory = _named(lines, r"/proc/meminfo:(\w+):\s*(\d+) kB")
    android = properties.get("ro.build.version.release")
    status = _named(lines, r"/proc/self/status:(\w+):(.*)")
    compatible = tree.get("compatible", "").split()
    return Facts(
        system=system,
        architecture=architecture,
        kernel=kernel,
        os_version=f"Android {android}" if android else _unquoted(release.get("PRETTY_NAME")),
        abi=properties.get("ro.product.cpu.abi"),
        model=properties.get("ro.product.model") or tree.get("model") or cpu,
        manufacturer=properties.get("ro.product.manufacturer"),
        soc=properties.get("ro.soc.model")
        or properties.get("ro.board.platform")
        or (compatible[-1].rpartition(",")[2] if compatible else None),
        cpu=cpu,
        cores=_cores(lines),
        memory_kb=int(memory["MemTotal"]) if "MemTotal" in memory else None,
        allowed_cores=core_numbers(status["Cpus_allowed_list"]) if "Cpus_allowed_list" in status else None,
    )


def core_numbers(ranges: str) -> tuple[int, ...]:
    """The numbers that Linux writes as ``0-3,6``."""
    numbers: list[int] = []
    for part in re.findall(r"\d+(?:-\d+)?", ranges):
        first, _, last = part.partition("-")
        numbers += range(int(first), int(last or first) + 1)
    return tuple(numbers)


def _named(lines: list[str], pattern: str) -> dict[str, str]:
    """The first group of each line that matches, to the second; the first line of a name counts; empty ones do not."""
    found: dict[str, str] = {}
    for line in lines:
        match = re.fullmatch(pattern, line)
        if match and match[2].strip():
            found.setdefault(match[1], match[2].strip())
    return found


def _unquoted(text: str | None) -> str | None:
    return text.strip("\"'") if text else None


def _cpu(info: dict[str, str]) -> str | None:
    """The CPU's name; an ARM kernel may tell nothing but the number of its first core's design."""
    for key in ("model name", "Hardware", "Processor"):
        if key in info:
            return info[key]
    return f"CPU part {info['CPU part']}" if "CPU part" in info else None


def _cores(lines: list[str]) -> tuple[Core, ...]:
    lists = _named(lines, r"(present|online):(.*)")
    capacity = _named(lines, r"cpu(\d+)/cpu_capacity:(\d+)")
    max_khz = _named(lines, r"cpu(\d+)/cpufreq/cpuinfo_max_freq:(\d+)")
    numbers = core_numbers(lists.get("present", "")) or tuple(sorted(int(core) for core in {*capacity, *max_khz}))
    online = core_numbers(lists["online"]) if "online" in lists else numbers

    def number(values: dict[str, str], core: int) -> int | None:
        return int(values[str(core)]) if str(core) in values else None

    return tuple(Core(core, number(max_khz, core), number(capacity, core), core in online) for core in numbers)
