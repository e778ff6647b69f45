"""Profiles written from what a phone reports: whatever it calls itself, the file says it and nothing else."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hwnas.devices.device import ANY_PHONE, Device, load_device, shipped_devices
from hwnas.devices.profile import profile_text, toml_value, write_profile
from hwnas.errors import HwnasError, UsageError
from hwnas.transports.base import Core, Facts

PIXEL_8 = Facts(
    system="Linux",
    architecture="aarch64",
    kernel="5.15.110",
    os_version="Android 14",
    abi="arm64-v8a",
    model="Pixel 8",
    manufacturer="Google",
    soc="Tensor G3",
    cpu=None,
    cores=tuple(Core(i, 1_704_000 if i < 4 else 2_367_000 if i < 8 else 2_914_000, None, True) for i in range(9)),
    memory_kb=8_000_000,
)
HOSTILE = [
    'a"\nthreads = 64\nx = "',
    "$(touch pwned)",
    "`id`; rm -rf /",
    "\\",
    "'''",
    '"""',
    "# comment",
    "\x00\x1b[31m\x7f\x85\u2028\u202e",
    "=",
    "[device]",
    "\\1\\g<0>",
    "*",
]


def test_a_known_phone(tmp_path):
    path = write_profile("0A1B2C3D", PIXEL_8, folder=tmp_path)
    assert path == tmp_path / "pixel-8.toml"
    device = load_device(path)
    template = load_device(shipped_devices()[ANY_PHONE])
    given = {"name": "pixel-8", "description": "Google Pixel 8 Tensor G3", "serial": "0A1B2C3D", "cores": "big"}
    assert device == template.model_copy(update=given | {"hardware": ("Pixel 8",)})
    text = path.read_text()
    assert "# cores, slowest first: 0-3 (1.70 GHz); 4-7 (2.37 GHz); 8 (2.91 GHz)\n" in text
    assert text.startswith("# Pixel 8, as it reported itself to `hwnas devices add`.\n# Android: Android 14\n")
    assert text.count("\nserial = ") == text.count("\nhardware = ") == text.count("\ncores = ") == 1
    assert "not tried on a real phone" not in text.lower()


def test_a_phone_that_tells_nothing(tmp_path):
    path = write_profile("127.0.0.1:5555", Facts(*[None] * 9, cores=(), memory_kb=None), folder=tmp_path)
    assert path.name == "127-0-0-1-5555.toml"
    device = load_device(path)
    assert (device.serial, device.cores, device.hardware) == ("127.0.0.1:5555", "any", ())
    assert "it does not tell how fast each of them is" in path.read_text()


def test_an_existing_file_stays(tmp_path):
    path = write_profile("0A1B2C3D", PIXEL_8, folder=tmp_path)
    path.write_text("mine")
    with pytest.raises(UsageError, match=r"pixel-8\.toml already, .* --name"):
        write_profile("0A1B2C3D", PIXEL_8, folder=tmp_path)
    assert path.read_text() == "mine"
    assert write_profile("0A1B2C3D", PIXEL_8, "second", tmp_path).name == "second.toml"


@pytest.mark.parametrize("name", ["../up", "a/b", "-x", "a\nb", ".hidden", ""])
def test_a_name_that_is_no_file_of_this_folder_is_refused(tmp_path, name):
    if name == "":  # as if none were given
        assert write_profile("0A1B", PIXEL_8, name, tmp_path / "devices").name == "pixel-8.toml"
        return
    with pytest.raises(HwnasError, match="name: "):
        write_profile("0A1B", PIXEL_8, name, tmp_path / "devices")
    assert not (tmp_path / "devices").exists()


texts = st.text() | st.sampled_from(HOSTILE)


@given(serial=texts, model=texts, soc=texts, android=texts)
@example(serial="0A1B", model=HOSTILE[0], soc=HOSTILE[0], android=HOSTILE[0])
def test_whatever_a_phone_calls_itself_the_file_holds_these_fields_and_nothing_more(serial, model, soc, android):
    facts = replace(PIXEL_8, model=model, soc=soc, os_version=android, manufacturer=soc)
    try:
        text = profile_text("phone", serial, facts)
    except UsageError:
        assert not serial or not serial.isprintable() or serial.startswith("-")
        return
    device = Device(**tomllib.loads(text))
    template = load_device(shipped_devices()[ANY_PHONE])
    assert device.serial == serial
    assert device.is_for(model)
    ours = {"name", "description", "serial", "hardware", "cores"}
    assert device.model_dump(exclude=ours) == template.model_dump(exclude=ours)


@given(st.text() | st.lists(st.text()))
def test_strings_survive_toml(value):
    assert tomllib.loads(f"x = {toml_value(value)}") == {"x": value}


@given(texts)
def test_the_device_file_of_any_serial_is_read_back_or_refused(serial):
    text = f'name = "x"\ntransport = "adb"\nserial = {toml_value(serial)}\n'
    fields = tomllib.loads(text)
    assert fields["serial"] == serial
    try:
        device = Device(**fields)
    except ValueError:
        assert not serial or not serial.isprintable() or serial.startswith("-")
    else:
        assert device.serial == serial


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_models_on_disk(tmp_path: Path, text: str):
    path = write_profile("0A1B", replace(PIXEL_8, model=text), folder=tmp_path)
    assert path.parent == tmp_path and [*tmp_path.iterdir()] == [path]
    assert load_device(path).threads == 1
