"""`hwnas devices` on the terminal: phones and boards with how they are now, device files, runtimes, what is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from hwnas.devices.cores import clusters
from hwnas.devices.device import Device
from hwnas.devices.profile import readable
from hwnas.latency.tables.shipped import ShippedTable
from hwnas.report.console import key_value_table
from hwnas.runners.discovery import DiscoveredDevice, Discovery
from hwnas.runners.remote import READY


def device_tables(found: Discovery) -> Iterator[RenderableType]:
    """The tables to print, from top to bottom."""
    reached = [*found.phones, *found.boards]
    if answering := [each for each in reached if each.problem is None]:
        yield _answering_table(answering)
    for each in reached:
        yield from map(_remark, _remarks(each))
    yield from map(_remark, found.notes)
    yield _files_table(found.devices)
    yield from map(_remark, found.damaged.values())
    yield key_value_table("runtimes on this machine", found.runtimes)


def latency_models_table(shipped: Sequence[ShippedTable]) -> RenderableType:
    """The latency tables that come with hwnas, the better one of a device first."""
    title = "latency models that come with hwnas: they predict, and measure nothing; to measure, connect the phone"
    table = _table(title, "--latency", "--device", "from", "spaces", "off on known networks")
    for model in shipped:
        error = "not known" if model.error_percent is None else f"{model.error_percent:g} %"
        source = f"{model.publication}; {model.figures} figures"
        spaces = [*(f"{name} (exact)" for name in model.exact), *model.estimated]
        table.add_row(*map(Text, (model.name, model.device, source, ", ".join(spaces), error)))
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", min_width=60)
    for number, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=number == 0)
    return table


def _remark(text: str) -> Text:
    return Text(f"! {readable(text)}", style="yellow")


def _remarks(found: DiscoveredDevice) -> list[str]:
    """The reasons why a phone or board cannot be measured, or one of its runtimes cannot be used."""
    if found.problem is not None:
        return [f"{found.address} does not answer. {found.problem}"]
    return [f"{found.address}, {name}: {state}" for name, state in found.runtimes.items() if state != READY]


def _answering_table(answering: list[DiscoveredDevice]) -> Table:
    table = _table("phones and boards", "--device", "what it is", "cores", "now")
    for each in answering:
        names = (each.address, *each.devices) if each.transport == "adb" else each.devices or (each.address,)
        table.add_row(
            Text("\n".join(map(readable, names)), style="green"), Text(_what_it_is(each)), _cores(each), _now(each)
        )
    return table


def _what_it_is(found: DiscoveredDevice) -> str:
    """Model, system, chip and ABI, as far as it tells."""
    facts = found.facts
    if facts is None:
        return ""
    parts = (facts.model, facts.os_version, facts.soc, facts.abi or facts.architecture)
    return readable(", ".join(part for part in parts if part))


def _cores(found: DiscoveredDevice) -> Text:
    facts = found.facts
    if facts is None:
        return Text("")
    kinds = "\n".join(str(kind) for kind in clusters(facts))
    return Text(kinds or f"{len(facts.cores) or 'unknown'}, speeds unknown")


def _now(found: DiscoveredDevice) -> Text:
    health = found.health
    if health is None:
        return Text("")
    parts = {
        "CPU {:.0f} °C": health.temperature_celsius,
        "battery {} %": health.battery_percent,
        "battery {:.0f} °C": health.battery_celsius,
        "thermal status {}": health.thermal_status,
        "load {:.1f}": health.load_average,
    }
    return Text("\n".join(text.format(value) for text, value in parts.items() if value is not None))


def _files_table(devices: dict[str, Device]) -> Table:
    table = _table("device files", "--device", "reached by", "runtime", "cores", "what for")
    for name, device in devices.items():
        cores = device.cores if isinstance(device.cores, str) else ", ".join(map(str, device.cores))
        reached = " ".join(filter(None, (device.transport, device.serial or device.host)))
        table.add_row(*map(Text, (name, reached, device.runtime, cores, device.description)))
    return table
