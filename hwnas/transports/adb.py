"""Adb: phones, through the user's own `adb` program."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from hwnas.errors import HwnasError, UsageError
from hwnas.transports.base import DeviceLost
from hwnas.transports.client import ClientEnd, run_client
from hwnas.transports.file_transfer import FileTransfer
from hwnas.transports.own_folder import checked_folder, own_folder
from hwnas.transports.shell import cause

INSTALL = (
    "install the Android platform tools (Debian, Ubuntu: apt install adb; macOS: brew install android-platform-tools; "
    "or Google's SDK Platform-Tools) and have adb on the PATH."
)
STATES = "device|offline|unauthorized|authorizing|connecting|no permissions|recovery|sideload|rescue|bootloader|host"
"""adb's words for the states of a phone; for a pattern."""

PHONE_READY = "device"
"""The state of a phone that adb can work with."""

CURES = {
    "unauthorized": "it has not allowed this computer yet: unlock it and accept the question about USB debugging; if "
    "none appears, revoke the authorisations in its developer options and plug it in again",
    "authorizing": "it is being asked for permission: unlock it and accept the question about USB debugging",
    "connecting": "it has just been connected: wait a few seconds",
    "offline": "it does not talk to adb: plug it in again, or run `adb reconnect offline`",
    "no permissions": "this user may not use the USB device: install udev rules (Debian, Ubuntu: apt install "
    "android-sdk-platform-tools-common, then join the group plugdev), and plug it in again",
    "recovery": "it is in recovery mode: start Android with `adb reboot`",
    "sideload": "it waits for an update: start Android with `adb reboot`",
    "bootloader": "it is in its boot loader: start Android with `fastboot reboot`",
}
"""The meaning of each state of a phone other than `PHONE_READY`, and the cure."""

LIST_S = 15.0
"""How long `adb` may take to list phones; it starts its server first."""


FOLDER = "/data/local/tmp/hwnas"
"""Where the files lie on a phone unless its device file says otherwise."""


@dataclass(frozen=True)
class Phone:
    """One line of ``adb devices -l``."""

    serial: str
    state: str
    """``device`` if adb can work with it; ``unauthorized``, ``offline``, ``no permissions`` and others if not."""
    model: str | None
    """As adb has it: letters, digits and spaces."""


def adb_devices() -> list[Phone]:
    """Every phone that adb knows of, whatever its state. Raises HwnasError if there is no adb, or it does not work."""
    end = run_client([adb_program(), "devices", "-l"], LIST_S, INSTALL)
    if end.exit_code != 0:
        reason = cause(end.error) or cause(end.output) or "it gives no answer"
        raise HwnasError(f"adb cannot list the phones: {reason}. Try `adb kill-server`, then `adb devices`.")
    return parse_devices(end.output.decode("utf-8", "replace"))


def only_phone(device_name: str) -> str:
    """The serial of the one phone that is connected. Raises UsageError if there are several, DeviceLost if none."""
    phones = adb_devices()
    ready = [phone for phone in phones if phone.state == PHONE_READY]
    if len(ready) == 1:
        return ready[0].serial
    if ready:
        listed = ", ".join(f"{phone.serial} ({phone.model or 'model unknown'})" for phone in ready)
        raise UsageError(
            f"{device_name} is to be the only phone, but {len(ready)} are connected: {listed}. Name one with --device "
            "SERIAL, write a device file for it with `hwnas devices add SERIAL`, or unplug the others."
        )
    if phones:
        listed = "; ".join(f"{phone.serial}: {phone_problem(phone.state)}" for phone in phones)
        raise DeviceLost(f"no phone is ready for {device_name}. {listed}.")
    raise DeviceLost(
        f"no phone is connected for {device_name}. Switch on USB debugging in its developer options, plug it in and "
        "accept its question, or connect it by Wi-Fi (`adb pair`, then `adb connect`); `hwnas devices` shows when it "
        "answers."
    )


def phone_problem(state: str) -> str:
    """Why a phone in this state cannot be used, and what to do."""
    for beginning, meaning in CURES.items():
        if state.startswith(beginning):
            return f"{beginning}: {meaning}"
    return f"adb calls its state {state!r}: plug it in again, or restart it"


def parse_devices(printed: str) -> list[Phone]:
    """The phones that ``adb devices -l`` printed."""
    phones = []
    for line in printed.partition("List of devices attached")[2].splitlines():
        # a serial may hold spaces, such as adb's own `adb-1A2B (2)._adb-tls-connect._tcp`
        found = re.match(rf"(?P<serial>\S.*?)\s+(?P<state>{STATES})(?=\s|$)(?P<rest>.*)", line) or re.match(
            r"(?P<serial>[^\s*]\S*)\s+(?P<state>\S+)(?P<rest>.*)", line
        )
        if found:
            model = re.search(r"\smodel:(\S+)", found["rest"])
            phones.append(Phone(found["serial"], found["state"], model[1].replace("_", " ") if model else None))
    return phones


def adb_program() -> str:
    """`adb` of the PATH, or else of the Android SDK that ANDROID_HOME names."""
    program = Path(os.environ.get("ANDROID_HOME") or "/") / "platform-tools" / "adb"
    return str(program) if program.is_file() and not shutil.which("adb") else "adb"


class Adb(FileTransfer):
    """The Transport to one phone."""

    kind = "adb"
    address_field = "serial"
    cure = (
        "Look whether `adb devices` lists it as `device`: plug it in again, unlock it, accept its question, or connect "
        "it by Wi-Fi again."
    )

    def __init__(self, serial: str, folder: str | None = None) -> None:
        """Name a phone; nothing is connected yet.

        Args:
            serial: as `adb devices` lists it, or HOST:PORT.
            folder: absolute path on the phone, below which a folder of their own is made for the files; programs
                cannot be run from /sdcard. None: `FOLDER`.

        Raises:
            UsageError: the serial or the folder cannot be one.
        """
        if not re.fullmatch(r"[^\x00-\x20\x7f\ud800-\udfff-][^\x00-\x1f\x7f\ud800-\udfff]*", serial):
            raise UsageError(f"{serial!r} is no serial of a phone; `adb devices` lists those there are.")
        self._folder = own_folder(checked_folder(folder or FOLDER))
        self.serial = serial
        self.name = f"adb {serial}"

    @classmethod
    def connect(cls, address: str | None, folder: str | None, device_name: str) -> Adb:
        """As `TransportKind.connect`: without a serial, the only phone that is connected."""
        return cls(address or only_phone(device_name), folder)

    @property
    def folder(self) -> str:
        """As `Transport.folder`."""
        return self._folder

    def _client(self, script: str, timeout_s: float, source: Path | None = None) -> ClientEnd:
        return self._adb("shell", script, timeout_s=timeout_s, source=source)

    def _send(self, source: Path, target: str, timeout_s: float) -> str:
        return self._reason(self._adb("push", str(source.absolute()), target, timeout_s=timeout_s), timeout_s)

    def _fetch(self, source: str, target: Path, timeout_s: float) -> str:
        return self._reason(self._adb("pull", source, str(target.absolute()), timeout_s=timeout_s), timeout_s)

    def _reason(self, end: ClientEnd, timeout_s: float) -> str:
        """Why a copy failed: version 29 of adb says it on the standard output, version 36 on the error output."""
        if end.exit_code is None:
            raise self._silent(timeout_s)
        if end.exit_code == 0:
            return ""
        said = cause(end.output + b"\n" + end.error)
        return said if "error:" in said else "adb gives no reason"  # else it is but the progress

    def _connect_again(self, timeout_s: float) -> None:
        if re.search(r":\d+$", self.serial):
            run_client([adb_program(), "disconnect", self.serial], timeout_s, INSTALL)
            run_client([adb_program(), "connect", self.serial], timeout_s, INSTALL)
        else:
            self._adb("reconnect", timeout_s=timeout_s)

    def _adb(self, *arguments: str, timeout_s: float, source: Path | None = None) -> ClientEnd:
        return run_client([adb_program(), "-s", self.serial, *arguments], timeout_s, INSTALL, source)
