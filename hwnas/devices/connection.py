"""Reaching a Device: the Transport that its file asks for, to the one phone or board that it is meant for."""

from __future__ import annotations

from pydantic import ValidationError

from hwnas.devices.device import Device
from hwnas.errors import UsageError
from hwnas.foreign import faults_of
from hwnas.transports.adb import Adb, adb_devices
from hwnas.transports.base import DeviceLost, Facts, Transport
from hwnas.transports.local import Local
from hwnas.transports.ssh import Ssh

READY = "device"
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
"""What each state of a phone other than `READY` means, and what to do."""


def open_transport(device: Device) -> Transport:
    """The way to the phone, board or machine that a Device stands for.

    Raises:
        UsageError: no phone is named and there are several (the message lists them), or no host is.
        DeviceLost: there is no phone, or it is not ready; the message says what to do.
        DeviceError: it is not of the Device's `hardware`, or does not answer to be asked.
    """
    folder = {} if device.folder is None else {"folder": device.folder}
    if device.transport == "local":
        return Local(**folder)
    transport: Transport
    if device.transport == "adb":
        transport = Adb(device.serial or only_phone(device.name), **folder)
    elif device.host is None:
        raise UsageError(
            f"the device file of {device.name} names no host to reach by ssh; copy it into devices/ of your folder and "
            'set host = "user@board" there, as in `ssh user@board`.'
        )
    else:
        transport = Ssh(device.host, **folder)
    if device.hardware:
        check_hardware(device, transport.facts(), transport.name)
    return transport


def device_at(transport: str, address: str) -> Device:
    """A Device of which nothing is known but its serial or host. Raises UsageError if it cannot be one."""
    where = {"adb": "serial", "ssh": "host"}[transport]
    try:
        return Device.model_validate({"name": "unnamed", "transport": transport, where: address})
    except ValidationError as error:
        raise UsageError(f"no device has this address: {faults_of(error, tuple(Device.model_fields))}.") from None


def only_phone(device_name: str) -> str:
    """The serial of the one phone that is connected. Raises UsageError if there are several, DeviceLost if none."""
    phones = adb_devices()
    ready = [phone for phone in phones if phone.state == READY]
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


def check_hardware(device: Device, facts: Facts, reached: str) -> None:
    """Refuse to measure another model under a Device's name. Raises UsageError."""
    if not device.is_for(facts.model):
        raise UsageError(
            f"{device.name} is for {' or '.join(device.hardware)}, but {reached} calls itself {facts.model!r}: its "
            "numbers would stand under a wrong name. Take the device file of that model, or write one with `hwnas "
            "devices add SERIAL`; if it is the same chip, add the model to `hardware`."
        )
