"""Scores of networks that are not trained, against what their papers define."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hwnas.child import ChildNetwork
from hwnas.errors import UsageError
from hwnas.searches.training_free import SCORES, grad_norm, naswot, scored, scorer, synflow
from hwnas.spaces import get_space
from hwnas.spaces.nas_bench_201 import nas_bench_201

LABELS = torch.tensor([0, 1, 2, 1])


def images():
    return torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def test_naswot_is_the_determinant_of_how_many_rectifiers_agree():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Conv2d(5, 2, 3), nn.ReLU6(), nn.Flatten(), nn.Linear(32, 3))
    first = net[0](images())
    codes = torch.cat([(each > 0).flatten(1) for each in (first, net[2](net[1](first)))], dim=1)
    kernel = torch.tensor([[float((a == b).sum()) for b in codes] for a in codes])
    expected = float(torch.linalg.slogdet(kernel.double())[1])
    assert naswot(net, images(), LABELS) == pytest.approx(expected, rel=1e-9)


def test_images_that_switch_all_rectifiers_alike_have_the_least_score():
    net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU())
    assert naswot(net, images()[:1].expand(4, -1, -1, -1), LABELS) == -math.inf


def test_a_network_without_rectifiers_has_the_least_score():
    assert naswot(nn.Conv2d(3, 5, 3), images(), LABELS) == -math.inf


def test_naswot_counts_each_rectifier_once_however_it_is_called():
    torch.manual_seed(0)
    first = nn.Conv2d(3, 5, 3)

    class Functional(nn.Module):
        def forward(self, x):
            return F.relu(first(x))

    assert naswot(Functional(), images(), LABELS) == naswot(nn.Sequential(first, nn.ReLU()), images(), LABELS)


def test_synflow_is_the_flow_through_each_layer_and_leaves_the_network_alone():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 5, 1, bias=False), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 2, 1, bias=False))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    first, last = (net[k].weight.detach().double().abs().flatten(1) for k in (0, 3))
    flow = float((last @ first @ torch.ones(3, 64, dtype=torch.double)).sum())
    # every layer has the same flow (Tanaka et al., theorem 1), and there are two of them
    assert synflow(net, images(), LABELS) == pytest.approx(math.log(2 * flow), rel=1e-9)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_grad_norm_is_the_sum_of_the_norms_of_the_layers():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(180, 3))
    F.cross_entropy(net(images()), LABELS).backward()
    expected = net[0].weight.grad.norm() + net[3].weight.grad.norm()
    assert grad_norm(net, images(), LABELS) == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("name", SCORES)
def test_a_score_is_the_same_for_one_seed_and_leaves_the_random_state_alone(name):
    network = get_space("tiny", 8, 3).decode([1] * 7)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    found = [scored(network, SCORES[name], images(), LABELS, seed) for seed in (0, 0, 1)]
    assert torch.equal(torch.rand(1), expected)
    assert found[0] == found[1] != found[2]
    assert scorer(name, images(), LABELS)(network) == found[0]


def test_an_unknown_score_is_refused():
    with pytest.raises(UsageError, match="known: naswot, synflow, grad-norm"):
        scorer("luck", images(), LABELS)


def test_where_no_path_leads_through_synflow_is_the_least():
    closed = ChildNetwork(nas_bench_201(resolution=8, width=0.25, cells_per_stage=1).decode([0] * 6))
    assert synflow(closed, torch.zeros(1, 3, 8, 8), torch.zeros(1, dtype=torch.long)) == -math.inf
