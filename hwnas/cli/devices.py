"""The verb `devices`: what can be reached now, and the device file of a phone that is connected."""

from __future__ import annotations

from typing import Annotated

import typer

from hwnas.cli.options import Json
from hwnas.cli.output import print_json

devices = typer.Typer(rich_markup_mode="markdown")


@devices.callback(invoke_without_command=True)
def show(context: typer.Context, as_json: Json = False) -> None:
    """List the phones, boards and runtimes that can be used now, and what is wrong with the others.

    Also the latency models that come with hwnas: phones that networks are priced for, without having one.

    Example: `hwnas devices`

    For a phone that is connected, `hwnas devices add SERIAL` writes a device file.
    """
    if context.invoked_subcommand is not None:
        return
    from hwnas.latency.tables.shipped import shipped_tables
    from hwnas.report.console import CONSOLE
    from hwnas.report.devices_table import device_tables, latency_models_table
    from hwnas.runners.discovery import discover_devices

    found, shipped = discover_devices(), shipped_tables()
    if as_json:
        print_json(found.to_json() | {"latency_models": [model.to_json() for model in shipped]})
        return
    for part in device_tables(found):
        CONSOLE.print(part)
    CONSOLE.print(latency_models_table(shipped))


@devices.command()
def add(
    serial: Annotated[str, typer.Argument(help="Serial of the phone, as `hwnas devices` and `adb devices` show it.")],
    name: Annotated[str | None, typer.Option("--name", help="Name of the device [after its model].")] = None,
    as_json: Json = False,
) -> None:
    """Write devices/NAME.toml for a phone that is connected, from what the phone reports. An existing file stays.

    Example: `hwnas devices add 0A1B2C3D --name test-phone`
    """
    from hwnas.devices.connection import device_at, open_transport
    from hwnas.devices.device import load_device
    from hwnas.devices.profile import write_profile
    from hwnas.report.console import CONSOLE

    path = write_profile(serial, open_transport(device_at("adb", serial)).facts(), name)
    if as_json:
        print_json({"file": str(path), "device": load_device(path).model_dump()})
    else:
        CONSOLE.print(f"written: {path}. Measure with: hwnas measure --device {path.stem}", markup=False)
