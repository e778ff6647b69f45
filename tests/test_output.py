"""What is shown: text from outside is never markup nor a command to a terminal, and output that fails is one line."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.text import Text

from hwnas.files import json_text, read_json, write_json, write_page
from hwnas.report.console import SafeConsole, key_value_table
from hwnas.text import shown
from tests.commands import completed

HOSTILE = "[/red][bold] :smile: \x1b[2J\x1b]0;title\x07 \x9b31m \u202egnp.exe \udcff \x00\r\x7f"
WRITTEN_OUT = r"[/red][bold] :smile: \x1b[2J\x1b]0;title\x07 \x9b31m \u202egnp.exe \udcff \x00\x0d\x7f"

ROOT = Path(__file__).resolve().parent.parent


def printed(*what: object) -> str:
    file = io.StringIO()
    SafeConsole(file=file, width=200, force_terminal=True, color_system=None).print(*what)
    return file.getvalue()


def test_what_a_terminal_obeys_is_written_out():
    assert shown(HOSTILE).replace(r"\r", r"\x0d") == WRITTEN_OUT
    assert shown("tab\tand\nnewline, é, 日本, 👩‍🔬") == "tab\tand\nnewline, é, 日本, 👩‍🔬"


@pytest.mark.parametrize(
    "renderable",
    [
        HOSTILE,
        Text(HOSTILE),
        key_value_table(HOSTILE, {HOSTILE: HOSTILE}),
        key_value_table("a table", {"cell": Text(HOSTILE, "red")}),
    ],
    ids=["str", "Text", "table", "cell"],
)
def test_no_markup_and_no_control_code_from_outside_is_printed(renderable):
    text = printed(renderable)
    assert not set(text) & set(HOSTILE) - set(WRITTEN_OUT)
    assert "[/red][bold] :smile: \\x1b[2J" in text


def test_columns_are_as_wide_as_what_they_show():
    lines = printed(key_value_table("t", {"a": "\x1b\x1b\x1b", "b": "plain"})).splitlines()
    assert len({len(line) for line in lines[1:]}) == 1


def test_json_stays_json_whatever_is_in_it(tmp_path):
    data = {HOSTILE: [HOSTILE, "é"]}
    text = json_text(data)
    assert json.loads(text) == data
    text.encode()
    assert not set(text) & set(HOSTILE) - set(WRITTEN_OUT)
    write_json(tmp_path / "a.json", data)
    assert read_json(tmp_path / "a.json", "it") == data


def test_a_page_holds_no_control_code(tmp_path):
    write_page(tmp_path / "page.html", f"<title>{HOSTILE}</title>")
    assert shown(HOSTILE) in (tmp_path / "page.html").read_text()


def hwnas(*arguments: str, cwd: Path = ROOT, **options: object) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "hwnas.cli", *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, cwd=cwd, env=environment, **options)  # type: ignore[call-overload]


def test_output_that_cannot_be_written_is_one_line_and_exit_code_1(tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    with Path("/dev/full").open("wb") as full, os.fdopen(writing, "wb") as closed:
        started = [hwnas("inspect", str(file(tmp_path)), "--json", stdout=target) for target in (full, closed)]
        started.append(hwnas("--help", stdout=full))
    for process in started:
        told = process.communicate()[1].decode()
        assert process.returncode == 1
        assert told.startswith("error: ") and told.count("\n") == 1, told
        assert "No space left" in told or "Broken pipe" in told


def test_errors_of_every_kind_show_what_was_typed_safely():
    for arguments in (
        ("inspect", "lm[/x]\x1b[31m"),
        ("bench", "--\x1b[31m[/red]"),
        ("measure", "--device", "\x1b[/a]"),
    ):
        done = completed(*arguments)
        told = done.stderr
        assert (done.returncode, done.stdout) == (2, ""), told
        assert "\x1b" not in told and r"\x1b" in told and "Traceback" not in told


def file(folder: Path) -> Path:
    from tests.small_models import feature_net, model_bytes

    path = folder / "model.tflite"
    path.write_bytes(model_bytes(feature_net(), ".tflite"))
    return path


def test_what_is_logged_is_said_once_whatever_other_packages_set_up():
    code = (
        "import logging; from hwnas.cli.output import say_log; say_log(); logging.basicConfig(level=logging.INFO); "
        "logging.getLogger('hwnas.x').info('said here')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, (done.stdout + done.stderr).count("said here")) == (0, 1)
