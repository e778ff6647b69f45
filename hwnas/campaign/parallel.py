"""Campaigns on several devices in parallel, each in a process of its own.

Processes and not threads, because converting models is Python work that would delay the timing of another thread, and
because a runtime that crashes takes its process with it. The devices share nothing but this machine's processor, so a
campaign on this machine itself is better run alone.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeVar

from hwnas.campaign.progress import CampaignProgress
from hwnas.devices.device import Device, load_device
from hwnas.errors import HwnasError, UsageError

T = TypeVar("T")

LEAVE_S = 30.0
"""How long a campaign may take, after Ctrl-C, to end the programs on its device."""


def measure_in_parallel(
    devices: Sequence[Device | Path | str], work: Callable[..., T], progress: Callable[[str, CampaignProgress], None]
) -> dict[str, T | HwnasError]:
    """Measure on several devices; one failure does not stop the others.

    Args:
        devices: as `load_device` takes them, with names of their own.
        work: a campaign on one device, called with ``device`` and ``progress`` by name, such as
            ``functools.partial(hwnas.measure, space)``; it is sent to other processes, and so are its results.
        progress: told the device's name with each step of its campaign.

    Returns:
        The result of `work` for each device, by its name, or its error.

    Raises:
        UsageError: two devices have one name, or there is no such device.
    """
    loaded = [load_device(device) for device in devices]
    names = Counter(device.name for device in loaded)
    if repeated := [name for name, count in names.items() if count > 1]:
        raise UsageError(f"each device can be measured by one campaign only; named twice: {', '.join(repeated)}.")
    # spawned, not forked: PyTorch's threads do not survive a fork
    context = get_context("spawn")
    outcomes: dict[str, T | HwnasError] = {}
    ends: dict[Connection, str] = {}
    processes = []
    try:
        for device in loaded:
            here, there = context.Pipe(duplex=False)
            process = context.Process(target=_serve, args=(there, work, device), name=device.name)
            process.start()
            there.close()
            ends[here] = device.name
            processes.append(process)
        while ends:
            for end in wait(list(ends)):
                assert isinstance(end, Connection)
                _receive(end, ends, outcomes, progress)
    except BaseException:
        for process in processes:
            if process.pid is not None and process.is_alive():
                os.kill(process.pid, signal.SIGINT)
        raise
    finally:
        for process in processes:
            process.join(LEAVE_S)
            if process.is_alive():
                process.kill()
    return {device.name: outcomes[device.name] for device in loaded}


def _receive(
    end: Connection,
    ends: dict[Connection, str],
    outcomes: dict[str, Any],
    progress: Callable[[str, CampaignProgress], None],
) -> None:
    """Take one message from a campaign: a step, its result, or, without one, its end."""
    name = ends[end]
    try:
        kind, content = end.recv()
    except EOFError:
        if name not in outcomes:
            outcomes[name] = HwnasError(
                "its process ended without a result, most likely because a runtime crashed or memory ran out. Its "
                "measurements so far are kept: measure this device alone to see more."
            )
        del ends[end]
        return
    if kind == "progress":
        progress(name, content)
    else:
        outcomes[name] = content


def _serve(there: Connection, work: Callable[..., Any], device: Device) -> None:
    """The process of one device. If the one that listens is gone, telling it fails, and that ends the campaign."""
    os.setsid()  # Ctrl-C is for the process that listens, which then interrupts this one once
    try:
        there.send(("result", work(device=device, progress=lambda step: there.send(("progress", step)))))
    except HwnasError as error:
        there.send(("result", error))
    except (KeyboardInterrupt, BrokenPipeError):
        pass
