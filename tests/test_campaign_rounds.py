"""What rounds say of a limit: intervals on numbers whose truth is known."""

from __future__ import annotations

from math import exp

import numpy as np
import pytest

from hwnas.campaign.gate import Limit
from hwnas.campaign.rounds import LOOKS, Round, excess, least_disturbed
from hwnas.devices.device import Device
from hwnas.errors import UsageError

DEVICE = Device(name="test", drift_limit_percent=3.0)


def rounds(*ratios: float, reference_us: float = 100.0) -> list[Round]:
    return [Round((ratio * reference_us,), (reference_us,)) for ratio in ratios]


def test_the_interval_over_all_looks_holds_the_truth_as_often_as_it_says() -> None:
    """Who stops at the first look whose interval does not hold the truth, if any does not: in 5 % of the cases."""
    rng = np.random.default_rng(0)
    missed = 0
    for _ in range(400):
        now, before = np.exp(rng.normal(0.0, 0.02, LOOKS[-1])), np.exp(rng.normal(0.0, 0.02, 6))
        found = [excess(now[:look], before, exact=False) for look in LOOKS]
        missed += any(not each.low <= 0 <= each.high for each in found)
    assert missed <= 0.05 * 400


def test_an_exact_limit_and_a_measured_one_are_held_against_the_mean_of_the_rounds() -> None:
    now = [1.10, 1.11, 1.10, 1.11]
    exact, measured = excess(now, [1.0], exact=True), excess(now, [1.0, 1.01, 1.0, 1.01], exact=False)
    assert exact.percent()[0] == pytest.approx(10.5, abs=0.01)
    assert measured.percent()[0] == pytest.approx(9.95, abs=0.01)
    assert all(each.low < each.value < each.high for each in (exact, measured))


def test_an_earlier_measurement_of_one_round_is_as_uncertain_as_one_of_now() -> None:
    now = [1.10, 1.11, 1.10, 1.11]
    one, four = excess(now, [1.0], exact=False), excess(now, [1.0, 1.01, 1.0, 1.01], exact=False)
    assert one.high - one.low > four.high - four.low


def test_a_round_far_from_the_rest_decides_nothing() -> None:
    usual = [1.00, 1.01, 1.00, 1.01, 1.00]
    found, far = excess([*usual, 1.01], [1.0], exact=True), excess([*usual, 3.0], [1.0], exact=True)
    assert far == found


def test_rounds_that_agree_to_the_last_digit_still_have_an_interval() -> None:
    found = excess([1.1] * 4, [1.0], exact=True)
    assert found.low < found.value < found.high


def test_a_slow_machine_is_no_slow_model() -> None:
    """All of it takes twice as long, once in every round and once in some."""
    limit = Limit((1.0, 1.001, 0.999, 1.0), exact=False, by_reference=True, allowed_percent=4.0)
    slow = rounds(1.0, 1.001, 1.0, 1.001, reference_us=200.0)
    assert limit.excess(slow, DEVICE).high < 0
    budget = Limit((0.105,), exact=True, by_reference=False)
    mixed = rounds(1.0, 1.001, 1.0, 1.001, reference_us=100.0) + slow
    assert budget.excess(mixed, DEVICE).high < 0
    assert budget.excess(slow, DEVICE).low > 0  # it never was faster: that is how fast it is


def test_the_least_disturbed_rounds_are_enough_to_be_judged() -> None:
    quiet, slow = rounds(1.0, reference_us=100.0), rounds(1.0, 1.0, 1.0, 1.0, reference_us=150.0)
    assert len(least_disturbed(slow + quiet, 3.0)) == LOOKS[0]


def test_within_a_round_the_quieter_half_of_the_repetitions_counts() -> None:
    each = Round((100.0, 150.0, 101.0, 160.0), (50.0, 50.0, 90.0, 51.0))
    assert each.ms == pytest.approx(0.1005, rel=1e-3)
    assert each.ratio == pytest.approx(100.5 / 50.0, rel=1e-2)


@pytest.mark.parametrize("percent", [-1.0, float("nan"), 1e6])
def test_what_no_model_may_be_slower_by_is_refused(percent: float) -> None:
    with pytest.raises(UsageError, match="0 to 1000 %"):
        Limit((1.0,), exact=True, by_reference=True, allowed_percent=percent)


def test_what_is_allowed_is_allowed() -> None:
    limit = Limit((1.0,), exact=True, by_reference=True, allowed_percent=5.0)
    assert limit.excess(rounds(1.04, 1.041, 1.04, 1.041), DEVICE).high < 0
    found = limit.excess(rounds(1.08, 1.081, 1.08, 1.081), DEVICE)
    assert found.low > 0
    assert found.percent(5.0)[0] == pytest.approx(8.05, abs=0.01)
    assert exp(found.value) == pytest.approx(1.0805 / 1.05, rel=1e-4)
