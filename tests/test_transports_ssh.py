"""How boards are named, and what `ssh` is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hwnas.errors import HwnasError, UsageError
from hwnas.transports.base import DeviceError, DeviceLost
from hwnas.transports.own_folder import MARKER, NAME
from hwnas.transports.ssh import Ssh


@pytest.mark.parametrize(
    "host", ["board", "pi@raspberrypi.local", "ssh://pi@10.0.0.5:2222", "pi@[fe80::1%eth0]", "b_1"]
)
def test_hosts(host):
    assert Ssh(host).name == f"ssh {host}"


@pytest.mark.parametrize(
    "host",
    [
        *("", " ", "-oProxyCommand=touch canary", "--", "pi@-oProxyCommand=touch", "ssh://-oProxyCommand=touch"),
        *("$(touch canary)", "`touch canary`", "a;touch canary", "a b", "a\n", "a'b", 'a"b', "a|b", "a&b", "a\\b", "ä"),
        *("\ud800", "a\0", "a\x7f", "*", "pi@host -v", "host,other"),
    ],
)
def test_what_is_no_host_is_refused(host):
    with pytest.raises(UsageError, match="is no host"):
        Ssh(host)


@pytest.mark.parametrize("folder", ["", "relative", "~/hwnas", "/", "/a/", "/a\nb", "/a\0b", "//"])
def test_what_is_no_folder_is_refused(folder):
    with pytest.raises(UsageError, match="absolute path"):
        Ssh("board", folder)


def test_a_hostile_folder_is_but_a_folder(board):
    folder = f"{board.folder}/'$(touch canary)' ; touch canary"
    transport = Ssh(board.host, folder)
    folder = f"{folder}/{NAME}"
    assert transport.run(["pwd"]).output == f"{folder}\n"
    transport.push(Path(__file__), "file")
    assert sorted(os.listdir(board.root / folder.lstrip("/"))) == [MARKER, "file"]
    transport.reconnect()
    assert transport.health().free_bytes > 0
    assert not list(board.home.glob("**/canary"))


def test_a_board_that_does_not_let_us_in(board):
    key = board.home.parent / "key"
    key.rename(key.with_name("put away"))
    try:
        with pytest.raises(DeviceError, match=r"does not let hwnas in: .*denied.*ssh-copy-id") as error:
            Ssh(board.host).reconnect(30)  # at once: waiting does not help
    finally:
        key.with_name("put away").rename(key)
    assert not isinstance(error.value, DeviceLost)


def test_one_connection_for_everything_and_nothing_of_it_stays(board):
    transport = Ssh(board.host)
    sockets = Path(transport._ssh[-1].partition("=")[2]).parent
    transport.run(["true"])
    assert os.listdir(sockets) == ["socket"]
    del transport
    assert not sockets.exists()


def test_greetings_of_the_board_are_no_output(board):
    (board.home / ".profile").write_text("echo Welcome; echo Warning >&2\n")
    transport = Ssh(board.host)
    done = transport.run(["sh", "-c", "echo out; echo err >&2"])
    assert (done.output, done.error) == ("out\n", "err\n")


def test_no_ssh_on_this_machine(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HwnasError, match="no program ssh on this machine; install OpenSSH"):
        Ssh("board").facts()
