"""The Bayesian linear model: closed forms against numbers, what is shrunk and what is found, outliers, intervals."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from hwnas.latency.fitting.bayes import EXACT, _moments, _moments_of_few, _solve, fit_weights

GROUPS = np.array([0, 0, 0, 1, 1, 1, 1])


def made_up(networks: int, noise: float = 0.02, seed: int = 0):
    """Networks of 5 to 50 ms: three terms that count, four that do not."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(1, 5, (networks, 7))
    ms = values[:, :3] @ [2.0, 1.0, 4.0]
    return values, ms * (1 + noise * rng.standard_normal(networks))


def test_the_posterior_is_the_minimum_of_the_penalised_squares_and_the_inverse_of_their_curvature():
    values, ms = made_up(12)
    rows, variances, noise_variance = values / ms[:, None], np.array([4.0, 0.1]), 0.01
    variance = variances[GROUPS]
    say = np.linspace(0.5, 1.5, 12)
    mean, covariance = _solve(rows, np.ones(12), GROUPS, say, variances, noise_variance)

    def negative_log_posterior(weights):
        return (say * (1 - rows @ weights) ** 2).sum() / (2 * noise_variance) + (weights**2 / variance).sum() / 2

    found = minimize(negative_log_posterior, np.zeros(7), method="BFGS", options={"gtol": 1e-8})
    np.testing.assert_allclose(mean, found.x, rtol=1e-4, atol=1e-6)
    curvature = (rows.T * say) @ rows / noise_variance + np.diag(1 / variance)
    np.testing.assert_allclose(covariance, np.linalg.inv(curvature), rtol=1e-8)


def test_the_variances_are_those_under_which_the_measurements_are_most_probable():
    values, ms = made_up(80)
    posterior = fit_weights(values, GROUPS, ms, np.zeros(7))
    rows = values / ms[:, None]

    def evidence(strong, noise):
        variance = np.where(GROUPS == 0, strong, posterior.variances[1])
        return multivariate_normal.logpdf(np.ones(80), np.zeros(80), (rows * variance) @ rows.T + noise * np.eye(80))

    best = evidence(posterior.variances[0], posterior.noise_variance)
    for factor in (0.5, 2):
        assert best > evidence(posterior.variances[0] * factor, posterior.noise_variance)
        assert best > evidence(posterior.variances[0], posterior.noise_variance * factor)


@pytest.mark.parametrize("noise_variance", [1e-8, 1e-4, 1.0])
@pytest.mark.parametrize("networks", [1, 6, 40])
def test_few_networks_are_fitted_through_their_own_covariance_to_the_same(networks, noise_variance):
    rng = np.random.default_rng(networks)
    rows, target = rng.uniform(0, 1, (networks, 50)), rng.normal(0, 0.1, networks)
    of = rows, target, np.arange(50) % 7
    given = rng.uniform(0.2, 5, networks), rng.uniform(1e-6, 2, 7), noise_variance
    for few, many in zip(_moments_of_few(*of)(*given), _moments(*of)(*given), strict=True):
        np.testing.assert_allclose(few, many, rtol=1e-5, atol=1e-9 * many.max())


def test_what_counts_is_found_and_what_does_not_is_shrunk():
    values, ms = made_up(200)
    posterior = fit_weights(values, GROUPS, ms, np.zeros(7))
    np.testing.assert_allclose(posterior.mean[:3], [2, 1, 4], atol=0.1)
    assert np.abs(posterior.mean[3:]).max() < 0.05
    assert posterior.variances[1] < 1e-3 * posterior.variances[0]
    assert posterior.noise_variance == pytest.approx(0.02**2, rel=0.3)


def test_a_fit_that_is_exact_for_any_device_ends():
    values, ms = made_up(20, noise=0)
    posterior = fit_weights(values, GROUPS, ms, np.zeros(7))
    assert EXACT / 10 < posterior.noise_variance < EXACT
    np.testing.assert_allclose(values @ posterior.mean, ms, rtol=1e-3)


def test_a_weight_without_evidence_stays_at_its_prior():
    values, ms = made_up(30)
    values = np.column_stack([values, np.zeros(30)])
    groups, prior = np.append(GROUPS, 2), np.append(np.zeros(7), 1.5)
    assert fit_weights(values, groups, ms, prior).mean[7] == 1.5


def test_more_networks_are_predicted_better():
    unseen, ms = made_up(1000, noise=0, seed=9)
    errors = []
    for networks in (6, 30, 300):
        posteriors = [fit_weights(*_with_groups(made_up(networks, seed=seed))) for seed in range(8)]
        errors.append(np.mean([np.abs(unseen @ posterior.mean / ms - 1).mean() for posterior in posteriors]))
    assert errors[0] > errors[1] > errors[2]


def _with_groups(data):
    values, ms = data
    return values, GROUPS, ms, np.zeros(7)


def test_heavy_tails_leave_stray_measurements_without_a_say():
    values, ms = made_up(100)
    stray = ms.copy()
    stray[::10] /= 4
    plain = fit_weights(values, GROUPS, stray, np.zeros(7))
    robust = fit_weights(values, GROUPS, stray, np.zeros(7), heavy_tails=True)
    error = [np.abs(values @ posterior.mean / ms - 1).mean() for posterior in (plain, robust)]
    assert error[1] < 0.03
    assert error[1] < error[0] / 4
    assert robust.sample_weight[::10].max() < robust.sample_weight[1::10].mean()


def test_going_on_from_a_fit_finds_the_same():
    values, ms = made_up(100)
    posterior = fit_weights(values, GROUPS, ms, np.zeros(7))
    again = fit_weights(values, GROUPS, ms, np.zeros(7), start=posterior)
    np.testing.assert_allclose(again.mean, posterior.mean, atol=1e-2)


def test_the_uncertainty_covers_what_it_says():
    """The true latency lies within 1.645 standard deviations of the weights' share nine times in ten."""
    inside = []
    for seed in range(40):
        posterior = fit_weights(*_with_groups(made_up(15, seed=seed)))
        values, true_ms = made_up(20, noise=0, seed=1000 + seed)
        ms = values @ posterior.mean
        deviation = np.sqrt(posterior.relative_variance(values, ms))
        inside += list(np.abs(true_ms / ms - 1) < 1.645 * deviation)
    assert 0.75 < np.mean(inside) < 0.97
