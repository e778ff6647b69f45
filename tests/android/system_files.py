"""The files in which Linux and Android tell how a machine is: cores, frequencies, temperature, battery."""

from __future__ import annotations

import os
from pathlib import Path

LITTLE_KHZ, BIG_KHZ = 1_800_000, 2_800_000


class SystemFiles:
    """/sys of a machine as plain files, which a test may also write or delete by itself."""

    sys: Path
    """The machine's /sys, as this machine sees it."""
    dumpsys: Path | None = None
    """What Android's ``dumpsys SERVICE`` answers: one file per service."""

    def calm(self) -> None:
        """Every file as on a cool phone with a full battery; the second half of the cores is big."""
        cores = range(os.cpu_count() or 1)
        for name in ("possible", "present", "online"):
            self._write(f"devices/system/cpu/{name}", f"0-{cores[-1]}" if len(cores) > 1 else "0")
        for core in cores:
            big = core >= len(cores) / 2
            khz = BIG_KHZ if big else LITTLE_KHZ
            self._write(f"devices/system/cpu/cpu{core}/cpu_capacity", 1024 if big else 400)
            self.set_frequency(core, governor="schedutil", hardware_khz=khz, max_khz=khz, khz=khz)
        self.set_temperature(35.0)
        self.set_battery(percent=90, celsius=28.0, plugged=True)
        self.set_thermal_status(0)

    def set_frequency(
        self,
        core: int,
        khz: int | None = None,
        max_khz: int | None = None,
        hardware_khz: int | None = None,
        governor: str | None = None,
    ) -> None:
        """At what speed a core runs, may run now, and could run; None leaves a value as it is."""
        files = {
            "scaling_cur_freq": khz,
            "scaling_max_freq": max_khz,
            "cpuinfo_max_freq": hardware_khz,
            "scaling_governor": governor,
        }
        for name, value in files.items():
            if value is not None:
                self._write(f"devices/system/cpu/cpu{core}/cpufreq/{name}", value)

    def set_temperature(self, celsius: float) -> None:
        """Of the CPU; a second sensor is another one's."""
        for zone, (kind, degrees) in enumerate((("cpu-thermal", celsius), ("wifi-thermal", 31.0))):
            self._write(f"class/thermal/thermal_zone{zone}/type", kind)
            self._write(f"class/thermal/thermal_zone{zone}/temp", round(degrees * 1000))

    def set_battery(self, percent: int, celsius: float = 28.0, plugged: bool = True) -> None:
        """Both where Linux shows a battery and in ``dumpsys battery``."""
        state = ("Charging", 2) if plugged else ("Discharging", 3)
        self._write("class/power_supply/battery/type", "Battery")
        self._write("class/power_supply/battery/capacity", percent)
        self._write("class/power_supply/battery/status", state[0])
        self._write("class/power_supply/battery/temp", round(celsius * 10))
        self._answer(
            "battery",
            "Current Battery Service state:",
            "  AC powered: false",
            f"  USB powered: {str(plugged).lower()}",
            "  Wireless powered: false",
            f"  status: {state[1]}",
            "  health: 2",
            "  present: true",
            f"  level: {percent}",
            "  scale: 100",
            "  voltage: 4000",
            f"  temperature: {round(celsius * 10)}",
            "  technology: Li-ion",
        )

    def set_thermal_status(self, status: int) -> None:
        """From 0 (none) to 6 (shutdown), in ``dumpsys thermalservice``."""
        self._answer(
            "thermalservice",
            "IsStatusOverride: false",
            f"Thermal Status: {status}",
            "Cached temperatures:",
            f"\tTemperature{{mValue=35.0, mType=0, mName=CPU, mStatus={status}}}",
            "HAL Ready: true",
        )

    def _write(self, name: str, value: object) -> None:
        path = self.sys / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")

    def _answer(self, service: str, *lines: str) -> None:
        if self.dumpsys is not None:
            self.dumpsys.mkdir(parents=True, exist_ok=True)
            (self.dumpsys / service).write_text("\n".join(lines) + "\n")
