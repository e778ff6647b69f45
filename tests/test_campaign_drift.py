"""Drift: how far visits follow the reference, on campaigns whose drift is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hwnas.campaign.drift import Drift, fit_drift, slowdowns
from hwnas.campaign.repetitions import correct, visits_by_key

START: dict[str, Any] = {"start": {}}


def look(us: float, digest: str = "a") -> dict[str, Any]:
    return {"reference": digest, "runs_us": [us]}


def visit(key: str, us: float) -> dict[str, Any]:
    return {"entry": key, "label": key, "runs_us": [us]}


def drifting_campaign(share: float, noise: float, seed: int = 0) -> list[dict[str, Any]]:
    """40 entries of 1 to 4 ms, 4 visits each, on a machine that is up to 3 % slower and faster; a look every 3 visits.

    Entries go along with `share` of what the reference does."""
    rng = np.random.default_rng(seed)
    records: list[dict[str, Any]] = [START]
    for number, entry in enumerate(np.concatenate([rng.permutation(40) for _ in range(4)])):
        log_drift = 0.03 * np.sin(number / 9)
        if number % 3 == 0:
            records.append(look(500 * np.exp(log_drift + 0.002 * rng.standard_normal())))
        us = (1000 + 75 * entry) * np.exp(share * log_drift + noise * rng.standard_normal())
        records.append(visit(f"entry {entry}", float(us)))
    return [*records, look(500.0)]


@pytest.mark.parametrize("share", [0.3, 0.7, 1.0])
def test_the_share_that_entries_feel_is_found_and_taken_off(share: float) -> None:
    visits = visits_by_key(drifting_campaign(share, noise=0.003))
    corrected, drift = correct(visits)
    assert drift.coefficient == pytest.approx(share, abs=0.06)
    assert drift.spread_percent is not None and drift.corrected_spread_percent is not None
    assert drift.corrected_spread_percent < (0.75 if share == 0.3 else 0.4) * drift.spread_percent
    errors = [abs(v.median_us / (1000 + 75 * int(key.split()[1])) - 1) for key, made in corrected.items() for v in made]
    assert np.mean(errors) < 0.006
    assert [v.drift_percent for made in corrected.values() for v in made] == [
        v.drift_percent for made in visits.values() for v in made
    ]


def test_entries_that_do_not_follow_are_not_corrected() -> None:
    assert correct(visits_by_key(drifting_campaign(0.0, noise=0.01)))[1].coefficient < 0.1
    opposite, against = correct(visits_by_key(drifting_campaign(-1.0, noise=0.003)))
    assert against.coefficient == 0 and opposite == visits_by_key(drifting_campaign(-1.0, noise=0.003))


def test_entries_that_feel_more_than_the_reference_are_not_corrected_by_more_than_it_shows() -> None:
    assert correct(visits_by_key(drifting_campaign(2.0, noise=0.001)))[1].coefficient == 1.0


def test_a_stray_visit_does_not_decide_the_coefficient() -> None:
    records = drifting_campaign(1.0, noise=0.003)
    for record in records[5:150:29]:
        record["runs_us"] = [3 * run for run in record["runs_us"]] if "entry" in record else record["runs_us"]
    assert correct(visits_by_key(records))[1].coefficient == pytest.approx(1.0, abs=0.15)


def test_too_few_visits_tell_nothing() -> None:
    assert fit_drift({}, {}) == Drift()
    assert fit_drift({"a": [100.0]}, {"a": [1.02]}) == Drift()
    few = fit_drift({"a": [100.0, 102.0]}, {"a": [1.0, 1.02]})
    assert few.coefficient == 0 and few.spread_percent == pytest.approx(1.4, abs=0.1)


def test_between_looks_the_slowdown_is_interpolated_within_a_sitting() -> None:
    records = [START, look(100), visit("a", 1), look(104), START, visit("b", 1), look(96), visit("c", 1), START]
    found = slowdowns(records)
    assert found[2] == pytest.approx(1.02)
    assert found[5] == found[7] == pytest.approx(0.96)
    assert found[8] is None
