"""Scripts between marks: what a real shell makes of them, and what a connection that is cut leaves of them."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.errors import HwnasError, UsageError
from hwnas.transports.base import DeviceError
from hwnas.transports.client import run_client
from hwnas.transports.shell import CHECKSUM, Ended, Script, cause, quoted
from tests.device_environment import lacking

SHELLS = ["dash", "mksh", "bash", "busybox"]


def shell(name: str) -> list[str]:
    command = ["busybox", "sh"] if name == "busybox" else [name]
    try:
        subprocess.run([*command, "-c", ":"], check=True)
    except FileNotFoundError:
        lacking(f"{name} is not installed here")
    return command


def ended(script: Script, *command: str) -> Ended | None:
    done = subprocess.run([*command, "-c", script.text], capture_output=True)
    return script.ended(done.stdout, done.stderr, "it")


@pytest.mark.parametrize("name", SHELLS)
def test_every_shell_runs_a_script(name):
    body = "echo out; echo err >&2\n(exit 5)"
    assert ended(Script(body, {"never": "true", "nor this": "cd /"}), *shell(name)) == Ended(5, b"out\n", b"err\n")
    assert ended(Script("exit 0"), *shell(name)) == Ended(0, b"", b"")
    assert ended(Script("kill -9 $$; true"), *shell(name)) is None
    with pytest.raises(DeviceError, match=r"it: no such luck \(.*cd.*\)\.$"):
        ended(
            Script("echo out", {"all is well": "true", "no such luck": "cd /no/such/folder", "": "touch x"}),
            *shell(name),
        )


@settings(max_examples=40)
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_a_quoted_word_is_one_word_and_no_command(text):
    done = subprocess.run(["sh", "-c", f"printf %s {quoted(text)}"], capture_output=True)
    assert (done.stdout, done.stderr) == (text.encode(), b"")


@given(st.binary(), st.binary(), st.integers(0, 255))
def test_what_stands_around_a_script_does_not_matter(noise, output, exit_code):
    script = Script("true")
    mark = script._mark.encode()
    printed = noise + mark + b"\n" + output + b"\n" + mark + b"=%d\n" % exit_code
    assert script.ended(printed + noise, noise + mark + b"\n" + output, "it") == Ended(exit_code, output, output)
    for cut in range(len(noise) + len(mark) + 1 + len(output), len(printed)):
        assert script.ended(printed[:cut], b"", "it") is None


def test_a_terminal_in_between():
    script = Script("true")
    mark = script._mark.encode()
    printed = b"\r\n".join([b"Welcome", mark, mark, b"one", b"two", b"", mark + b"=3", b""])
    assert script.ended(printed, b"", "it") == Ended(3, b"one\r\ntwo\r\n".replace(b"\r\n", b"\n"), b"")


@pytest.mark.parametrize("tool", ["sha256sum", "openssl", "shasum", None])
def test_checksums_with_whatever_there_is(tool, tmp_path):
    (tmp_path / "a file").write_bytes(b"abc")
    if tool:
        found = subprocess.run(["which", tool], capture_output=True, text=True).stdout.strip()
        if not found:
            lacking(f"{tool} is not installed here")
        (tmp_path / tool).symlink_to(found)
    script = f"PATH={quoted(str(tmp_path))}\n{CHECKSUM}\nchecksum {quoted(str(tmp_path / 'a file'))}"
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" if tool else "unknown"
    assert subprocess.run(["sh", "-c", script], capture_output=True, text=True).stdout == f"{known}\n"


@pytest.mark.parametrize(
    ("said", "named"),
    [
        (b"", ""),
        (b"one\ntwo.\n\n", "two"),
        (b"error: device unauthorized.\nCheck your phone.\n", "error: device unauthorized"),
    ],
)
def test_cause(said, named):
    assert cause(said) == named


class TestClient:
    def test_a_program_that_is_not_there(self):
        with pytest.raises(HwnasError, match="no program no-such-program on this machine; get it"):
            run_client(["no-such-program"], 5, "get it.")

    def test_everything_it_started_ends_with_it(self):
        end = run_client(["sh", "-c", "echo begun; sleep 4326 & sleep 4326"], 0.5, "")
        assert (end.exit_code, end.output) == (None, b"begun\n")
        assert subprocess.run(["pgrep", "-f", "^sleep 4326$"], capture_output=True).returncode == 1

    def test_something_in_the_background_does_not_delay_it(self):
        assert run_client(["sh", "-c", "sleep 4 & echo done"], 3, "").output == b"done\n"

    def test_too_long_an_argument(self):
        with pytest.raises(UsageError, match="too long"):
            run_client(["echo", "x" * 10_000_000], 5, "")
