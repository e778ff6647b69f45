"""Connection: from a Device to the Transport that its file asks for, to the one phone or board that it means."""

from __future__ import annotations

from pydantic import ValidationError

from hwnas.devices.device import Device
from hwnas.errors import HwnasError, UsageError
from hwnas.foreign import faults_of
from hwnas.transports.base import Facts, Transport
from hwnas.transports.registry import TRANSPORTS


def open_transport(device: Device) -> Transport:
    """The way to the phone, board or machine that a Device stands for.

    Raises:
        UsageError: no phone is named and there are several (the message lists them), or no host is.
        DeviceLost: there is no phone, or it is not ready; the message says what to do.
        DeviceError: it is not of the Device's `hardware`, or does not answer to be asked.
    """
    kind = TRANSPORTS[device.transport]
    transport = kind.connect(device.address, device.folder, device.name)
    if device.hardware and kind.address_field:
        check_hardware(device, transport.facts(), transport.name)
    return transport


def why_not_at_hand(device: Device) -> str | None:
    """Why nothing can be measured on a device now, for people; None: it answers."""
    try:
        open_transport(device)
    except HwnasError as error:
        return str(error)
    return None


def device_at(transport: str, address: str) -> Device:
    """A Device of which nothing is known but its serial or host. Raises UsageError if it cannot be one."""
    field = TRANSPORTS[transport].address_field
    assert field is not None, "a device of this kind has an address"
    try:
        return Device.model_validate({"name": "unnamed", "transport": transport, field: address})
    except ValidationError as error:
        raise UsageError(f"no device has this address: {faults_of(error, tuple(Device.model_fields))}.") from None


def check_hardware(device: Device, facts: Facts, transport_name: str) -> None:
    """Refuse to measure another model under a Device's name. Raises UsageError."""
    if not device.is_for(facts.model):
        raise UsageError(
            f"{device.name} is for {' or '.join(device.hardware)}, but {transport_name} calls itself {facts.model!r}: "
            "its numbers would stand under a wrong name. Take the device file of that model, or write one with `hwnas "
            "devices add SERIAL`; if it is the same chip, add the model to `hardware`."
        )
