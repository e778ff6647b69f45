"""The Gaussian process against closed forms, brute force and numeric derivatives."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import check_grad

from hwnas.latency.fitting.gaussian_process import (
    GaussianProcess,
    Hyperparameters,
    _negative_log_likelihood,
    covariance,
)

EXPECTED = Hyperparameters(0.5, 0.2, 0.05, (2.0, 3.0))


def made(n=40, seed=0, noise=0.03):
    rng = np.random.default_rng(seed)
    linear, places = rng.normal(size=(n, 3)), rng.normal(size=(n, 2))
    targets = linear @ [0.4, -0.2, 0.0] + 0.3 * np.sin(places[:, 0]) + rng.normal(0, noise, n)
    return linear, places, targets


def test_without_a_smooth_part_it_is_bayesian_linear_regression():
    linear, places, targets = made()
    h = replace(EXPECTED, smooth=1e-9)
    process = GaussianProcess(linear, places, targets, h, np.ones(len(targets)))
    precision = linear.T @ linear / h.noise**2 + np.eye(3) / h.linear**2
    weights = np.linalg.solve(precision, linear.T @ targets / h.noise**2)
    new = np.random.default_rng(1).normal(size=(5, 3))
    mean, std = process.predict(new, np.zeros((5, 2)))
    np.testing.assert_allclose(mean, new @ weights, atol=1e-6)
    variance = np.einsum("ij,jk,ik->i", new, np.linalg.inv(precision), new) + h.noise**2
    np.testing.assert_allclose(std, np.sqrt(variance), rtol=1e-4)


def test_far_from_every_row_only_the_linear_part_speaks():
    linear, places, targets = made()
    process = GaussianProcess.fit(linear, places, targets, EXPECTED)
    mean, std = process.predict(np.zeros((1, 3)), np.full((1, 2), 1e3))
    assert mean[0] == pytest.approx(0, abs=1e-9)
    assert std[0] == pytest.approx(np.hypot(process.hyperparameters.smooth, process.hyperparameters.noise))


def test_leave_one_out_is_what_leaving_one_out_gives():
    linear, places, targets = made(12)
    sample_weight = np.linspace(0.3, 1.2, 12)
    errors, stds = GaussianProcess(linear, places, targets, EXPECTED, sample_weight).leave_one_out()
    for i in range(12):
        rest = np.arange(12) != i
        process = GaussianProcess(linear[rest], places[rest], targets[rest], EXPECTED, sample_weight[rest])
        mean, std = process.predict(linear[[i]], places[[i]])
        assert errors[i] == pytest.approx(targets[i] - mean[0])
        noise = EXPECTED.noise**2
        assert stds[i] ** 2 == pytest.approx(std[0] ** 2 - noise + noise / sample_weight[i], rel=1e-4)


def test_the_gradient_of_the_likelihood_is_its_derivative():
    linear, places, targets = made(15)
    data = (linear, places, targets, np.linspace(0.5, 1.2, 15))

    def value(log):
        return _negative_log_likelihood(*data, Hyperparameters.from_log(log))[0]

    def gradient(log):
        return _negative_log_likelihood(*data, Hyperparameters.from_log(log))[1]

    for log in (EXPECTED.log, EXPECTED.log + 0.3 * np.arange(5)):
        assert check_grad(value, gradient, log) < 1e-4 * np.abs(gradient(log)).max()


def test_fitting_finds_the_noise_and_beats_the_expected_setting():
    linear, places, targets = made(150, noise=0.03)
    process = GaussianProcess.fit(linear, places, targets, EXPECTED)
    assert process.hyperparameters.noise == pytest.approx(0.03, rel=0.3)
    new_linear, new_places, truth = made(300, seed=5, noise=0.0)
    error = np.abs(process.predict(new_linear, new_places)[0] - truth).mean()
    assert error < 0.02


def test_one_wild_row_is_not_trusted_and_bends_little():
    linear, places, targets = made(80)
    wild = targets.copy()
    wild[7] += 2.0
    clean, robust = (GaussianProcess.fit(linear, places, t, EXPECTED) for t in (targets, wild))
    assert robust.sample_weight[7] < 0.2 < 0.6 < np.median(robust.sample_weight)
    rest = np.arange(80) != 7
    moved = np.abs(robust.predict(linear[rest], places[rest])[0] - clean.predict(linear[rest], places[rest])[0])
    assert moved.mean() < 0.02


def test_covariances_are_symmetric_and_positive():
    linear, places, _ = made(30)
    matrix = covariance(linear, places, linear, places, EXPECTED)
    np.testing.assert_allclose(matrix, matrix.T)
    assert np.linalg.eigvalsh(matrix).min() > -1e-10
