"""RMSProp as TensorFlow defines it, its moving average, and schedules: against the formulas, worked out in numpy."""

import numpy as np
import pytest
import torch
from torch import nn

from hwnas.spaces import get_space
from hwnas.supernet.superkernel_net import SuperKernelNet
from hwnas.train.optim import RMSPropTF, exponential_moving_average, rmsprop_tf, staircase, warmup_cosine


def test_rmsprop_follows_tensorflows_formula_while_the_learning_rate_changes():
    rng = np.random.default_rng(0)
    w = rng.normal(size=5)
    parameter = nn.Parameter(torch.tensor(w))
    optimizer = RMSPropTF([parameter], lr=0.1, decay=0.9, momentum=0.8, eps=1e-3, weight_decay=0.01)
    square, momentum = np.ones(5), np.zeros(5)
    for lr in (0.1, 0.1, 0.02, 0.02):
        gradient = rng.normal(size=5)
        parameter.grad = torch.tensor(gradient)
        optimizer.param_groups[0]["lr"] = lr
        optimizer.step()
        g = gradient + 0.01 * w
        square = 0.9 * square + 0.1 * g**2
        momentum = 0.8 * momentum + lr * g / np.sqrt(square + 1e-3)
        w = w - momentum
        np.testing.assert_allclose(parameter.detach().numpy(), w, rtol=1e-12)


def test_the_first_step_is_one_that_torchs_own_rmsprop_does_not_make():
    """s starts at 1: a gradient of 1 moves by about lr, and torch's own, with s = 0 and alpha 0.9, by 3 times lr."""
    ours, torchs = (nn.Parameter(torch.zeros(1)) for _ in range(2))
    for parameter, optimizer in (
        (ours, RMSPropTF([ours], lr=0.1)),
        (torchs, torch.optim.RMSprop([torchs], lr=0.1, alpha=0.9, momentum=0.9, eps=1e-3)),
    ):
        parameter.grad = torch.ones(1)
        optimizer.step()
    assert ours.item() == pytest.approx(-0.1, rel=1e-3)
    assert torchs.item() == pytest.approx(-0.1 / 0.1**0.5, rel=0.01)


def test_parameters_without_a_gradient_stay():
    a, b = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = RMSPropTF([a, b], lr=0.1, weight_decay=0.1)
    a.grad = torch.ones(2)
    optimizer.step()
    assert torch.equal(b, torch.ones(2))
    assert not torch.equal(a, torch.ones(2))


def test_its_state_is_saved_and_restored():
    def after(steps_before_reload):
        parameter = nn.Parameter(torch.ones(3))
        optimizer = RMSPropTF([parameter], lr=0.1)
        for step in range(4):
            if step == steps_before_reload:
                state = optimizer.state_dict()
                optimizer = RMSPropTF([parameter], lr=0.5)
                optimizer.load_state_dict(state)
            parameter.grad = torch.full((3,), 0.3 * step)
            optimizer.step()
        return parameter.detach()

    assert torch.equal(after(None), after(2))


def test_12_everything_decays_but_batch_norm_thresholds_too():
    net = SuperKernelNet(get_space("tiny", resolution=16, width=0.25))
    decays = {id(p): g["weight_decay"] for g in rmsprop_tf(net, 0.1, 1e-5).param_groups for p in g["params"]}
    assert len(decays) == len(list(net.parameters()))
    norms = {id(p) for m in net.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()}
    assert all(decays[id(p)] == (0.0 if id(p) in norms else 1e-5) for p in net.parameters())
    assert all(decays[id(p)] == 1e-5 for _, p in net.architecture_parameters())


def test_the_average_ramps_up_as_tensorflows_does():
    net = nn.BatchNorm1d(1)
    average = exponential_moving_average(net, 0.25)
    expected = {"weight": 1.0, "running_mean": 0.0}
    for n in range(1, 6):
        net.weight.data.fill_(n)
        net.running_mean.fill_(10 * n)
        net.num_batches_tracked.fill_(n)
        average.update_parameters(net)
        kept = min(0.25, (1 + n) / (10 + n))
        expected["weight"] = kept * expected["weight"] + (1 - kept) * n
        expected["running_mean"] = kept * expected["running_mean"] + (1 - kept) * 10 * n
        assert average.module.weight.item() == pytest.approx(expected["weight"])
        assert average.module.running_mean.item() == pytest.approx(expected["running_mean"])
        assert average.module.num_batches_tracked == n
    assert kept == 0.25
    assert net.weight.item() == 5


def test_the_average_goes_on_from_its_state():
    net = nn.Linear(1, 1)
    averages = [exponential_moving_average(net, 0.9999) for _ in range(2)]
    net.weight.data.fill_(3.0)
    averages[0].update_parameters(net)
    averages[1].load_state_dict(averages[0].state_dict())
    net.weight.data.fill_(7.0)
    for average in averages:
        average.update_parameters(net)
    assert torch.equal(averages[0].module.weight, averages[1].module.weight)


def test_the_staircase_falls_by_3_percent_every_2_4_epochs():
    optimizer = RMSPropTF([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = staircase(optimizer, steps_per_epoch=10)
    rates = []
    for _ in range(50):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[0] == rates[23] == 1.0
    assert rates[24] == pytest.approx(0.97)
    assert rates[48] == pytest.approx(0.97**2)


def test_warm_up_rises_and_the_cosine_ends_near_0():
    optimizer = RMSPropTF([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = warmup_cosine(optimizer, warmup_steps=5, total_steps=50)
    rates = []
    for _ in range(50):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[0] < 0.01
    assert max(rates) == pytest.approx(rates[5]) == pytest.approx(1.0)
    assert rates[-1] < 0.01
