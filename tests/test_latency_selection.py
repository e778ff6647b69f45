"""Choosing rows: known designs, what is known counts, and better than chance."""

import numpy as np
import pytest

from hwnas.errors import UsageError
from hwnas.latency.fitting.selection import most_informative


def test_one_row_of_each_direction_before_any_twice():
    features = np.repeat(np.eye(4), 3, axis=0)
    assert sorted(i // 3 for i in most_informative(features, 4)) == [0, 1, 2, 3]


def test_the_ends_of_a_line_are_measured_first():
    x = np.linspace(-1, 1, 21)
    bias = np.array([[1.0, 0.0]])  # measured in the middle before
    chosen = most_informative(np.column_stack([np.ones(21), x]), 2, known=bias, prior_std=np.ones(2))
    assert sorted(float(x[i]) for i in chosen) == [-1.0, 1.0]


def test_the_first_choice_is_the_one_that_brute_force_finds():
    features = np.random.default_rng(0).normal(size=(30, 5))
    noise = 0.3

    def mean_variance(i):
        covariance = np.linalg.inv(np.eye(5) + np.outer(features[i], features[i]) / noise**2)
        return np.einsum("ij,jk,ik->i", features, covariance, features).mean()

    best = min(range(30), key=mean_variance)
    assert most_informative(features, 1, prior_std=np.ones(5), noise=noise) == [best]


def test_a_direction_that_many_rows_share_comes_first():
    features = np.array([[1.0, 0.0]] * 9 + [[0.0, 1.0]])
    assert most_informative(features, 1, prior_std=np.ones(2))[0] < 9


def test_what_is_known_is_not_asked_again():
    features = np.repeat(np.eye(3), 2, axis=0)
    chosen = most_informative(features, 2, known=np.eye(3)[:1])
    assert sorted(i // 2 for i in chosen) == [1, 2]


def test_no_row_twice_and_no_more_than_there_are():
    features = np.ones((5, 1))
    assert sorted(most_informative(features, 9)) == [0, 1, 2, 3, 4]
    assert most_informative(features, 0) == []
    assert most_informative(np.empty((0, 3)), 2) == []


def test_equals_are_taken_in_an_order_that_the_seed_decides():
    features = np.ones((50, 1))
    assert most_informative(features, 5, seed=1) == most_informative(features, 5, seed=1)
    assert most_informative(features, 5, seed=1) != most_informative(features, 5, seed=2)


def test_units_of_a_column_do_not_matter():
    features = np.random.default_rng(0).normal(size=(60, 6))
    assert most_informative(features, 8) == most_informative(features * [1e6, 1, 1e-3, 1, 1, 40], 8)


def test_it_beats_random_rows_on_linear_data():
    """Mostly common rows, a few that alone show some of the weights: ten chosen rows against ten at random."""
    chosen_errors, random_errors = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        features = rng.normal(size=(200, 6)) * rng.choice([0.05, 1.0], size=(200, 6), p=[0.8, 0.2])
        truth = features @ rng.normal(size=6)
        measured = truth + rng.normal(0, 0.05, 200)
        for errors, rows in (
            (chosen_errors, most_informative(features, 10, prior_std=np.ones(6), seed=seed)),
            (random_errors, rng.permutation(200)[:10]),
        ):
            weights = np.linalg.solve(
                features[rows].T @ features[rows] + 0.01 * np.eye(6), features[rows].T @ measured[rows]
            )
            errors.append(np.abs(features @ weights - truth).mean())
    assert np.mean(chosen_errors) < 0.5 * np.mean(random_errors)


@pytest.mark.parametrize(
    ("features", "options"),
    [
        (np.ones(3), {}),
        (np.full((3, 1), np.nan), {}),
        (np.ones((3, 1)), {"noise": 0.0}),
    ],
)
def test_nonsense_is_refused(features, options):
    with pytest.raises(UsageError):
        most_informative(features, 1, **options)


def test_a_negative_count_is_refused():
    with pytest.raises(UsageError, match="count"):
        most_informative(np.ones((3, 1)), -1)
