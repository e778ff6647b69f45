"""Phones and boards for tests, without phones and boards and without mocks: what a test gets by naming a fixture.

`android`: a phone that the plain ``adb`` command reaches as ``android.serial``. A real adbd, in namespaces of its own,
    that runs aarch64 programs through qemu. Each test runs twice: with GNU tools, and with Android's own shell and
    tools alone. See `tests/android/phone.py`: ``root`` (the phone's files as this machine sees them), ``kill()``,
    ``start()``, ``stop()``, ``resume()`` (its adbd is gone, is back, hangs, goes on), ``processes()`` (what runs
    there), ``set_property()``, ``set_temperature()``, ``set_battery()``, ``set_frequency()``,
    ``set_thermal_status()``, ``small_disk()``, ``adb()``.
`phone`: the same, with Android's own tools only: for tests that need not run twice.
`fake_phone`: ``fake_phone("unauthorized")`` is the serial of one more phone beside `phone`, with something wrong that a
    real adbd never has; the modes are in `tests/fake_adbd.py`.
`board`: a machine that plain ``ssh`` and ``scp`` reach as ``board.host``, with a real sshd, an ordinary user, the
    processor and the programs of this machine. See `tests/android/board.py`: ``home``, ``folder`` (an absolute path for
    hwnas's files there), ``ssh()``, and what a phone has but for its properties and Android's thermal status.

Every test gets them fresh: nothing runs there, no file is left, temperature and battery are fine. A part that this
system lacks skips the test and is named; with HWNAS_REQUIRE_DEVICES=1, as in .ci/run, it fails it instead.
`tests/android/install.sh` brings the parts.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TypeVar

import pytest

from tests.android.board import Board
from tests.android.machine import Machine, Missing
from tests.android.phone import USERLANDS, Phone

M = TypeVar("M", bound=Machine)


def lacking(reason: str) -> None:
    """Skip the test for what this system lacks; fail it where nothing may be lacking."""
    if os.environ.get("HWNAS_REQUIRE_DEVICES") == "1":
        pytest.fail(f"HWNAS_REQUIRE_DEVICES=1, but {reason}")
    pytest.skip(reason)


def _session(make: Callable[[], M]) -> Iterator[M]:
    try:
        machine = make()
    except Missing as missing:
        lacking(str(missing))
        raise
    with closing(machine):
        yield machine


def _fresh(machine: M, monkeypatch: pytest.MonkeyPatch) -> M:
    machine.reset()
    monkeypatch.delenv("ANDROID_SERIAL", raising=False)
    for name, value in machine.environment.items():
        monkeypatch.setenv(name, value)
    return machine


@pytest.fixture(scope="session", params=USERLANDS)
def _android(request: pytest.FixtureRequest) -> Iterator[Phone]:
    yield from _session(lambda: Phone(request.param))


@pytest.fixture(scope="session")
def _phone() -> Iterator[Phone]:
    yield from _session(Phone)


@pytest.fixture(scope="session")
def _board() -> Iterator[Board]:
    yield from _session(Board)


@pytest.fixture
def android(_android: Phone, monkeypatch: pytest.MonkeyPatch) -> Phone:
    """A phone with an adbd; the test runs with each userland."""
    return _fresh(_android, monkeypatch)


@pytest.fixture
def phone(_phone: Phone, monkeypatch: pytest.MonkeyPatch) -> Phone:
    """A phone with an adbd and Android's own tools."""
    return _fresh(_phone, monkeypatch)


@pytest.fixture
def board(_board: Board, monkeypatch: pytest.MonkeyPatch) -> Board:
    """A board with an sshd."""
    return _fresh(_board, monkeypatch)


@pytest.fixture
def fake_phone(phone: Phone) -> Callable[..., str]:
    """A function from what is to be wrong with a phone, such as ``unauthorized``, to the phone's serial."""
    return phone.fake
