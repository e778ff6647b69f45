"""Profiles: the device file of a phone that is connected, from the phone's own report."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

from pydantic import ValidationError

from hwnas.devices.cores import clusters
from hwnas.devices.device import ANY_PHONE, Device, shipped_devices
from hwnas.errors import UsageError
from hwnas.files import write_atomically
from hwnas.foreign import faults_of
from hwnas.transports.base import Facts


def write_profile(serial: str, facts: Facts, name: str | None = None, folder: Path = Path("devices")) -> Path:
    """Write the device file of the phone `serial`, to be edited by its owner.

    Args:
        serial: As ``adb devices`` shows it.
        facts: as the phone reports them.
        name: its name as a device; None: after its model, such as ``pixel-8``.
        folder: Where the file goes, as ``NAME.toml``.

    Returns the file. Raises UsageError if it exists already, and HwnasError if it cannot be written.
    """
    name = name or _slug(facts.model) or _slug(serial) or "phone"
    text = profile_text(name, serial, facts)
    path = folder / f"{name}.toml"
    if path.exists():
        raise UsageError(
            f"there is a device file {path} already, and it stays as it is; choose another name with --name, or delete "
            "the file if it is not needed."
        )
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    return path


def profile_text(name: str, serial: str, facts: Facts) -> str:
    """The device file as TOML: that of any phone, comments and all, with this phone's fields in it.

    Raises UsageError for a name or serial that no device file may hold.
    """
    kinds = clusters(facts)
    model = facts.model if facts.model and facts.model.isprintable() and not facts.model.startswith("-") else None
    fields: dict[str, object] = {
        "name": name,
        "description": readable(" ".join(filter(None, (facts.manufacturer, facts.model, facts.soc)))) or "a phone",
        "serial": serial,
        "hardware": [model] if model else [],
        "cores": "big" if kinds else "any",
    }
    try:
        Device.model_validate({"transport": "adb"} | fields)
    except ValidationError as error:
        raise UsageError(
            f"no device file can be written for the phone {serial!r}: {faults_of(error, tuple(Device.model_fields))}."
        ) from None
    _, _, body = shipped_devices()[ANY_PHONE].read_text(encoding="utf-8").partition("\n\n")
    for field, value in fields.items():
        body = _with_field(body, field, value)
    about = {"Android": facts.os_version, "chip": facts.soc, "ABI": facts.abi, "kernel": facts.kernel}
    header = [f"# {readable(facts.model or 'A phone')}, as it reported itself to `hwnas devices add`."]
    header += [f"# {what}: {readable(value)}" for what, value in about.items() if value]
    header += [f"# cores, slowest first: {'; '.join(map(str, kinds)) or 'it does not tell how fast each of them is'}"]
    text = "\n".join(header) + "\n\n" + body
    tomllib.loads(text)
    return text


def toml_value(value: object) -> str:
    """A string, or a list of strings, in TOML's spelling: JSON's, but for characters that only TOML wants escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _with_field(text: str, field: str, value: object) -> str:
    """The text with another value in the line of `field`, which may be commented out; the comment after it stays."""
    line = re.compile(rf"^(?:# )?{field} = [^#\n]*(#.*)?$", re.MULTILINE)
    setting = f"{field} = {toml_value(value)}"
    return line.sub(lambda found: f"{setting:<27} {found[1]}" if found[1] else setting, text, count=1)


def _slug(text: str | None) -> str:
    """A name to type: ``Pixel 8 Pro`` -> ``pixel-8-pro``."""
    return re.sub(r"[^a-z0-9]+", "-", (text or "").lower()).strip("-")


def readable(text: str) -> str:
    """On one line of a comment or a terminal, whatever a device calls itself."""
    return "".join(character if character.isprintable() else " " for character in text).strip()
