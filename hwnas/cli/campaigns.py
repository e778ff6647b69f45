"""The work of `hwnas measure`: a campaign on one device or on several at once, its progress and its result."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from hwnas.cli.output import print_json
from hwnas.errors import HwnasError

if TYPE_CHECKING:
    from hwnas.campaign.progress import CampaignProgress
    from hwnas.devices.device import Device
    from hwnas.latency.measuring.known_networks import KnownTable
    from hwnas.latency.measuring.table_campaign import SpaceTable
    from hwnas.latency.measuring.until_accurate import Round, UntilAccurate
    from hwnas.space import SearchSpace

    Measured = SpaceTable | UntilAccurate | KnownTable


def measure_all(
    devices: list[Device],
    work: Callable[..., Measured],
    space: SearchSpace | None,
    goal_mape: float | None,
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """By device: what was measured, as JSON, and why it could not be. With one device the reason is raised."""
    from hwnas.campaign.parallel import measure_in_parallel
    from hwnas.report.progress import progress_bars

    started = time.perf_counter()
    found: Mapping[str, Measured | HwnasError]
    with progress_bars() as bars:
        watch = _Watch(bars)
        if len(devices) == 1:
            if goal_mape is not None:
                work = partial(work, on_round=watch.round)
            found = {devices[0].name: work(device=devices[0], progress=partial(watch.repetition, "measure"))}
        else:
            found = measure_in_parallel(devices, work, watch.repetition)
    seconds = time.perf_counter() - started
    results, failures = {}, {}
    for name, outcome in found.items():
        if isinstance(outcome, HwnasError):
            failures[name] = str(outcome)
        else:
            results[name] = _result(outcome, space, goal_mape) | {"seconds": seconds}
    return results, failures


def print_measured(
    devices: list[Device], results: dict[str, dict[str, Any]], failures: dict[str, str], what: str, as_json: bool
) -> None:
    """Print what `measure_all` found. Raises HwnasError if some of several devices could not be measured."""
    from hwnas.report.console import CONSOLE
    from hwnas.report.latency_tables import measured_table
    from hwnas.report.range_table import known_table

    if as_json:
        print_json(results[devices[0].name] if len(devices) == 1 else {"devices": results, "failed": failures})
    else:
        for name, result in results.items():
            CONSOLE.print(measured_table(f"measured {what} on {name}", result))
            if "known" in result:
                CONSOLE.print(known_table(result["known"]))
    if failures:
        told = "; ".join(f"{name}: {reason}" for name, reason in failures.items())
        raise HwnasError(f"{len(failures)} of {len(devices)} devices were not measured completely. {told}")


class _Watch:
    """The progress bars of campaigns: repetitions, and the error after each round where there are rounds."""

    def __init__(self, bars: Callable[[str, int, int, str], None]) -> None:
        self._bars, self._error = bars, ""

    def repetition(self, name: str, now: CampaignProgress) -> None:
        self._bars(name, now.done, now.total, self._error + now.text)

    def round(self, now: Round) -> None:
        self._error = f"error {now.mape:.1f} % with {now.blocks} blocks and {now.networks} networks; "


def _result(found: Measured, space: SearchSpace | None, goal_mape: float | None) -> dict[str, Any]:
    """The result of a campaign as JSON; with a space, also the latency of its networks."""
    from hwnas.latency.fitting.fit import fit as fit_table
    from hwnas.latency.measuring.known_networks import KnownTable
    from hwnas.latency.measuring.until_accurate import UntilAccurate

    rounds: dict[str, Any] = {}
    if isinstance(found, UntilAccurate):
        rounds = {
            "goal_mape": goal_mape,
            "mape": found.rounds[-1].mape,
            "reached": found.reached,
            "used_entries": found.used,
            "full_entries": found.full_entries,
            "rounds": [asdict(each) for each in found.rounds],
        }
    measured = found.measured if isinstance(found, UntilAccurate | KnownTable) else found
    result = rounds | {
        "table": str(measured.folder),
        "entries": measured.entries,
        "measured": measured.measured,
        "reused": measured.reused,
        "summary": measured.summary.to_json(),
    }
    if space is not None:
        predictor = fit_table(measured.table, space)
        fastest, slowest = (predictor.predict(architecture).ms for architecture in predictor.extremes(space))
        result |= {"fastest_ms": fastest, "slowest_ms": slowest}
    if isinstance(found, KnownTable):
        result |= {"known": [network.to_json() for network in found.networks], "failed": found.failures}
    return result
