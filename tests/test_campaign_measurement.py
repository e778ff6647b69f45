"""Measurement: statistics on known answers, JSON, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas.campaign.measurement import Measurement
from hwnas.errors import HwnasError

REPETITIONS = st.lists(st.lists(st.floats(0.1, 1e7), min_size=1, max_size=30), min_size=1, max_size=4)


def test_one_repetition_known_answers() -> None:
    measurement = Measurement((tuple(1000.0 * n for n in range(1, 101)),))
    assert measurement.median_ms == pytest.approx(50.5)
    assert measurement.p5_ms == pytest.approx(5.5)
    assert measurement.p95_ms == pytest.approx(95.5)
    assert measurement.spread_percent == pytest.approx(100 * 90 / 50.5)
    assert measurement.between_visits_percent == 0
    assert measurement.runs == 100


def test_visits_weigh_the_same_however_many_runs_they_have() -> None:
    measurement = Measurement(((1000.0,) * 10, (2000.0,) * 1000))
    assert measurement.repetition_medians_ms == (1.0, 2.0)
    assert measurement.median_ms == 1.0
    assert measurement.between_visits_percent == pytest.approx(100)
    assert (measurement.p5_ms, measurement.p95_ms) == (1.0, 2.0)


def test_one_disturbed_repetition_of_three_does_not_move_the_median() -> None:
    calm = (1000.0,) * 50
    assert Measurement((calm, (9000.0,) * 50, calm)).median_ms == 1.0


def test_the_quieter_half_of_the_visits_counts() -> None:
    repetitions = tuple((1000.0 * ms,) * 5 for ms in (1.04, 1.02, 1.0, 1.03))
    assert Measurement(repetitions).median_ms == pytest.approx(1.01)
    assert Measurement((*repetitions, (9000.0,) * 5)).median_ms == pytest.approx(1.01)  # far off: it is not one of five
    assert Measurement(repetitions[:3]).median_ms == pytest.approx(1.01)  # two of three


def test_a_repetition_that_is_far_too_fast_does_not_count() -> None:
    repetitions = tuple((1000.0 * ms,) * 5 for ms in (1.04, 1.02, 0.2, 1.0, 1.03))
    assert Measurement(repetitions).median_ms == pytest.approx(1.01)


def test_halves_are_every_second_repetition() -> None:
    repetitions = tuple((us,) * 3 for us in (1000.0, 1010.0, 1004.0, 1014.0))
    assert Measurement(repetitions).halves_percent == pytest.approx(100 * 10 / 1002)
    assert Measurement(repetitions[:1]).halves_percent is None


@given(REPETITIONS)
def test_quantiles_are_ordered_and_within_the_runs(repetitions: list[list[float]]) -> None:
    measurement = Measurement(tuple(map(tuple, repetitions)))
    runs_ms = np.concatenate(repetitions) / 1000
    ordered = [runs_ms.min(), measurement.p5_ms, measurement.median_ms, measurement.p95_ms, runs_ms.max()]
    assert ordered == sorted(ordered)


@given(REPETITIONS, st.booleans(), st.none() | st.floats(-50, 50))
def test_json_and_back(repetitions: list[list[float]], noisy: bool, drift_percent: float | None) -> None:
    measurement = Measurement(tuple(map(tuple, repetitions)), drift_percent, noisy)
    data = json.loads(json.dumps(measurement.to_json()))
    assert Measurement.from_json(data) == measurement
    assert data["median_ms"] == measurement.median_ms and data["runs"] == measurement.runs


@pytest.mark.parametrize("runs_us", [(), ((),), ((1.0,), ()), ((0.0,),), ((-1.0,),), ((float("nan"),),)])
def test_what_is_no_measurement_is_refused(runs_us: tuple[tuple[float, ...], ...]) -> None:
    with pytest.raises(ValueError, match="Measurement"):
        Measurement(runs_us)


@pytest.mark.parametrize("data", [{}, {"runs_us": [[1.0]]}, {"runs_us": 3, "drift_percent": None, "noisy": False}])
def test_damaged_json_is_refused(data: dict) -> None:
    with pytest.raises(HwnasError, match="is damaged"):
        Measurement.from_json(data)
