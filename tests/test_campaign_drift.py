"""Drift: how far repetitions follow the reference, on campaigns whose drift is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hwnas.campaign.drift import Drift, fit_drift, slowdowns
from hwnas.campaign.journal import Record, ReferenceRecord, RepetitionRecord, StartRecord
from hwnas.campaign.repetitions import correct, repetitions_by_key

START = StartRecord({})


def reference(us: float) -> ReferenceRecord:
    return ReferenceRecord("a", (us,))


def entry(key: str, us: float) -> RepetitionRecord:
    return RepetitionRecord(entry=key, label=key, runs_us=(us,))


def drifting_campaign(share: float, noise: float, seed: int = 0) -> list[Record]:
    """40 entries of 1 to 4 ms, 4 repetitions each, on a machine that is up to 3 % slower and faster.

    The reference is measured every 3 repetitions; entries go along with `share` of its drift."""
    rng = np.random.default_rng(seed)
    records: list[Record] = [START]
    for number, block in enumerate(np.concatenate([rng.permutation(40) for _ in range(4)])):
        log_drift = 0.03 * np.sin(number / 9)
        if number % 3 == 0:
            records.append(reference(500 * np.exp(log_drift + 0.002 * rng.standard_normal())))
        us = (1000 + 75 * block) * np.exp(share * log_drift + noise * rng.standard_normal())
        records.append(entry(f"entry {block}", float(us)))
    return [*records, reference(500.0)]


@pytest.mark.parametrize("share", [0.3, 0.7, 1.0])
def test_the_share_that_entries_feel_is_found_and_taken_off(share: float) -> None:
    repetitions = repetitions_by_key(drifting_campaign(share, noise=0.003))
    corrected, drift = correct(repetitions)
    assert drift.coefficient == pytest.approx(share, abs=0.06)
    assert drift.spread_percent is not None and drift.corrected_spread_percent is not None
    assert drift.corrected_spread_percent < (0.75 if share == 0.3 else 0.4) * drift.spread_percent
    errors = [abs(v.median_us / (1000 + 75 * int(key.split()[1])) - 1) for key, made in corrected.items() for v in made]
    assert np.mean(errors) < 0.006
    assert [v.drift_percent for made in corrected.values() for v in made] == [
        v.drift_percent for made in repetitions.values() for v in made
    ]


def test_entries_that_do_not_follow_are_not_corrected() -> None:
    assert correct(repetitions_by_key(drifting_campaign(0.0, noise=0.01)))[1].coefficient < 0.1
    opposite, against = correct(repetitions_by_key(drifting_campaign(-1.0, noise=0.003)))
    assert against.coefficient == 0 and opposite == repetitions_by_key(drifting_campaign(-1.0, noise=0.003))


def test_entries_that_feel_more_than_the_reference_are_not_corrected_by_more_than_it_shows() -> None:
    assert correct(repetitions_by_key(drifting_campaign(2.0, noise=0.001)))[1].coefficient == 1.0


def test_a_stray_repetition_does_not_decide_the_coefficient() -> None:
    records = drifting_campaign(1.0, noise=0.003)
    for place in range(5, 150, 29):
        if isinstance(record := records[place], RepetitionRecord):
            records[place] = replace(record, runs_us=tuple(3 * run for run in record.runs_us))
    assert correct(repetitions_by_key(records))[1].coefficient == pytest.approx(1.0, abs=0.15)


def test_too_few_repetitions_tell_nothing() -> None:
    assert fit_drift({}, {}) == Drift()
    assert fit_drift({"a": [100.0]}, {"a": [1.02]}) == Drift()
    few = fit_drift({"a": [100.0, 102.0]}, {"a": [1.0, 1.02]})
    assert few.coefficient == 0 and few.spread_percent == pytest.approx(1.4, abs=0.1)


def test_between_references_the_slowdown_is_interpolated_within_a_process() -> None:
    records = [
        START,
        reference(100),
        entry("a", 1),
        reference(104),
        START,
        entry("b", 1),
        reference(96),
        entry("c", 1),
        START,
    ]
    found = slowdowns(records)
    assert found[2] == pytest.approx(1.02)
    assert found[5] == found[7] == pytest.approx(0.96)
    assert found[8] is None
