"""An Android phone without the phone: Google's adbd, Android's folders, aarch64 programs through qemu."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys

import psutil

from tests.android.machine import PLACE, Machine, Missing, need, wait_until

USERLANDS = ("coreutils", "toybox")
PORT = 15555
ADBD = "/apex/adbd/usr/lib/android-sdk/platform-tools/adbd"
LONGEST_PLACE = 107 - len("/proc/4194304/root" + "/root/adb.sock")
"""Characters; a socket's name has at most 107 (unix(7))."""
LOADERS = {"x86_64": "/lib64/ld-linux-x86-64.so.2", "aarch64": "/lib/ld-linux-aarch64.so.1"}
PROPERTIES = {
    "ro.product.model": "Emulated Phone",
    "ro.product.manufacturer": "hwnas",
    "ro.product.device": "emulated",
    "ro.product.cpu.abi": "arm64-v8a",
    "ro.product.cpu.abilist": "arm64-v8a",
    "ro.build.version.release": "14",
    "ro.build.version.sdk": "34",
    "ro.soc.manufacturer": "hwnas",
    "ro.soc.model": "EM1",
    "ro.hardware": "emulated",
}


def adbd_command() -> list[str]:
    """What starts adbd on the phone with the libraries unpacked beside it, which no other program of it gets to see."""
    folders = [f"/apex/{path.relative_to(PLACE)}" for path in sorted((PLACE / "adbd/usr/lib").glob("*-linux-*"))]
    libraries = ":".join([*folders, *(f"{folder}/android" for folder in folders)])
    return [LOADERS[platform.machine()], "--library-path", libraries, ADBD]


class Phone(Machine):
    """A phone on a cable, with an adb server of its own; `environment` makes plain ``adb`` use that server.

    Args:
        userland: ``toybox`` has Android's own shell and tools (mksh, toybox) and nothing else, ``coreutils`` has
            dash and GNU tools.
    """

    serial = f"127.0.0.1:{PORT}"

    def __init__(self, userland: str = "toybox") -> None:
        need("adb", "adbd/.whole", "qemu-aarch64-static or qemu-aarch64", "unshare", "nsenter", "setpriv", "ip")
        if userland == "toybox":
            need("mksh", "toybox")
        if len(str(PLACE)) > LONGEST_PLACE:
            raise Missing(f"{PLACE} is too long a name: the socket of the adb server lies below it")
        super().__init__("phone.sh", (userland,), "net")
        if not any((self.inside / "proc/sys/fs/binfmt_misc").glob("qemu-aarch64*")):
            self.close()
            raise Missing("aarch64 programs do not run here: that takes Linux 6.7, or qemu registered for all of it")
        self.userland = userland
        own = PLACE / "root"
        self._own, self._chroot = self.inside / own.relative_to("/"), str(own / "phone")
        self.root = self._own / "phone"
        self.sys = self.root / "sys"
        self.dumpsys = self.root / "system/etc/dumpsys"
        self.home, self.disk = self.root / "data/local/tmp", f"{self._chroot}/data/local/tmp"
        self.environment = {"ADB_SERVER_SOCKET": f"localfilesystem:{self._own}/adb.sock"}
        self.spawn(
            self._own / "adb.log",
            *("env", "-i", f"HOME={own}/home", f"TMPDIR={own}/home", "ADB_LOCAL_TRANSPORT_MAX_PORT=5553"),
            *(shutil.which("adb") or "adb", "-L", f"localfilesystem:{own}/adb.sock", "nodaemon", "server"),
        )
        wait_until((self._own / "adb.sock").exists, "the adb server listens")
        self.kept.update(process.pid for process in self.programs())
        self._fakes: dict[str, list[psutil.Process]] = {}
        self._last_port = PORT
        self.calm()
        self.start()

    def calm(self) -> None:
        super().calm()
        self._properties: dict[str, str | None] = dict(PROPERTIES)
        self._write_properties()

    def reset(self) -> None:
        (self.root / "system/etc/svc.log").unlink(missing_ok=True)
        for serial, fakes in self._fakes.items():
            for process in fakes:
                process.kill()
            self.adb("disconnect", serial)
        self._fakes.clear()
        super().reset()

    def adb(self, *arguments: str, timeout_s: float = 20.0) -> subprocess.CompletedProcess[str]:
        """What the real adb client answers."""
        return subprocess.run(
            ["adb", *arguments], env=os.environ | self.environment, capture_output=True, text=True, timeout=timeout_s
        )

    def start(self) -> None:
        if not self.daemons():
            environment = (f"ADBD_PORT={PORT}", "PATH=/system/bin:/bin:/usr/bin", "HOME=/", "ANDROID_DATA=/data")
            chroot = ("/usr/sbin/chroot", self._chroot)
            self.spawn(self._own / "adbd.log", "env", "-i", *environment, *chroot, *adbd_command())
        wait_until(self._answers, "adbd answers adb")

    def _answers(self) -> bool:
        self.adb("connect", self.serial)
        return self.adb("-s", self.serial, "get-state").stdout.strip() == "device"

    def set_property(self, name: str, value: str | None) -> None:
        """What ``getprop NAME`` answers; None: it does not know it."""
        self._properties[name] = value
        self._write_properties()

    def _write_properties(self) -> None:
        known = {name: value for name, value in self._properties.items() if value is not None}
        (self.root / "system/build.prop").write_text("".join(f"{name}={value}\n" for name, value in known.items()))

    def fake(self, mode: str, after_bytes: int | None = None) -> str:
        """Plug in one more phone until the test ends: our own adbd, on this one's files. Returns its serial.

        Args:
            mode: What is wrong with it; see `tests/fake_adbd.py`.
            after_bytes: For the mode ``cut``.
        """
        self._last_port += 1
        serial, log = f"127.0.0.1:{self._last_port}", self._own / f"fake-{self._last_port}.log"
        before = {process.pid for process in self.programs()}
        options = [] if after_bytes is None else [str(after_bytes)]
        python = ("env", f"PYTHONPATH={PLACE.parent}", sys.executable, "-m", "tests.fake_adbd")
        self.spawn(log, *python, str(self._last_port), self._chroot, mode, *options)
        wait_until(lambda: log.stat().st_size, "the fake adbd listens")
        fakes = [process for process in self.programs() if process.pid not in before]
        self.kept.update(process.pid for process in fakes)
        self._fakes[serial] = fakes
        try:
            self.adb("connect", serial, timeout_s=10.0 if mode != "offline" else 0.1)
        except subprocess.TimeoutExpired:  # the client waits for a word of the silent phone; the server knows it by now
            wait_until(lambda: serial in self.adb("devices").stdout, "adb lists the fake phone")
        return serial

    def is_daemon(self, command: list[str]) -> bool:
        return ADBD in command
