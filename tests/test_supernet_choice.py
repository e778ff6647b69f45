"""Choices: one supernet holds chains and cells; what is selected, and the logits, belong to a decision's name."""

import dataclasses
import random

import pytest
import torch
from torch import nn

from hwnas.errors import HwnasError
from hwnas.latency.budget import Budget
from hwnas.latency.fitting.fit import fit
from hwnas.searches.dsnas import DSNASSettings, DSNASTrainer
from hwnas.searches.path_gradients import one_hot
from hwnas.searches.problem import SearchProblem
from hwnas.space import SearchSpace
from hwnas.spaces import get_space
from hwnas.spaces.nas_bench_201 import nas_bench_201
from hwnas.supernet.choice import Choice, choices_in, path_selections
from hwnas.supernet.mixed import gated, mixed
from hwnas.supernet.sampled import SampledNet
from hwnas.supernet.superkernel_net import SuperKernelNet
from hwnas.train.data import load_data
from tests.test_latency import made_table

CELLS = nas_bench_201(resolution=16, width=0.25, cells_per_stage=1)
CHAIN = get_space("tiny", resolution=16, width=0.25)
IMAGES = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def supernet(space: SearchSpace) -> SampledNet:
    torch.manual_seed(0)
    return SampledNet(space).eval()


def test_the_cells_of_a_supernet_share_the_logits_of_their_decisions_and_no_weights():
    net = supernet(CELLS)
    assert list(net.logits()) == [d.name for d in CELLS.decisions]
    assert len(net.alphas) == 6
    for name, places in net.choices().items():
        assert [choice.one_of.name for choice in places] == [name] * 3
        owned = [{id(p) for p in choice.parameters()} for choice in places]
        assert owned[0].isdisjoint(owned[1]) and owned[0]
    assert dict(net.weights()).keys().isdisjoint(dict(net.architecture_parameters()))
    assert len(dict(net.architecture_parameters())) == 6


@pytest.mark.parametrize("space", [CHAIN, CELLS], ids=lambda space: space.name)
@pytest.mark.parametrize("seed", range(4))
def test_a_path_is_the_child_that_inherits_it_bit_for_bit(space, seed):
    net = supernet(space)
    architecture = space.sample(random.Random(seed))
    child = net.inherit(architecture).eval()
    with torch.no_grad():
        assert torch.equal(net.run_path(IMAGES, space.indices(architecture)), child(IMAGES))


def test_edges_on_no_path_do_not_run_and_a_cell_without_a_path_gives_zeros():
    net = supernet(CELLS)
    ran = []
    for key, choice in net.nodes[1].edges.items():
        for block in choice:
            block.register_forward_hook(lambda *_, key=key: ran.append(key))
    net.run_path(IMAGES, [3, 3, 0, 3, 0, 3])  # 0-1, 0-2, 0-3 and 2-3 are there; nothing needs node 1
    assert ran == ["0-2", "0-3", "2-3"]
    x = torch.randn(2, 4, 16, 16)
    assert not net.nodes[1](x, path_selections(net.names, [0] * 6)).any()


@pytest.mark.parametrize("path", [[3, 2, 1, 4, 3, 1], [1, 3, 3, 2, 4, 3]])
def test_a_mixture_with_one_hot_weights_is_the_path_in_a_cell_too(path):
    """Where every edge is there: a mixture runs them all."""
    net = supernet(CELLS)
    with torch.no_grad():
        found = mixed(net, IMAGES, one_hot(net.alphas, path))
        torch.testing.assert_close(found, net.run_path(IMAGES, path), rtol=1e-4, atol=1e-5)


def test_a_gate_gathers_what_all_places_of_its_decision_are_worth():
    net, path = supernet(CELLS), [3, 2, 1, 4, 3, 1]
    gates = [torch.zeros(len(alpha), requires_grad=True) for alpha in net.alphas]
    gated(net, IMAGES, path, gates).square().sum().backward()
    weights = [z.requires_grad_(True) for z in one_hot(net.alphas, path)]
    mixed(net, IMAGES, weights).square().sum().backward()
    for ours, exact in zip(gates, weights, strict=True):
        torch.testing.assert_close(ours.grad, exact.grad, rtol=1e-3, atol=1e-3)


def test_superkernels_are_choices_too():
    net = SuperKernelNet(CHAIN)
    assert [choice.one_of.name for choice in choices_in(net)] == [d.name for d in CHAIN.decisions]
    assert len(dict(net.architecture_parameters())) + len(dict(net.weights())) == len(list(net.named_parameters()))


def test_choices_are_found_however_deep_they_stand():
    class Wrapper(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = nn.Sequential(inner)

    assert len(list(choices_in(Wrapper(supernet(CELLS))))) == 3 * 6
    assert all(isinstance(choice, Choice) for choice in choices_in(Wrapper(supernet(CELLS))))


def test_another_spaces_architecture_is_not_inherited():
    with pytest.raises(HwnasError, match="not one of space"):
        supernet(CELLS).inherit(CHAIN.decode([0] * 7))


@pytest.mark.parametrize("reward", ["loss", "gradient"])
def test_a_step_of_a_search_moves_the_shared_logits_of_cells(reward):
    data = load_data("digits", resolution=16, batch_size=32, limit_train=64, workers=0)
    predictor = fit(made_table(CELLS, networks=12))
    fastest, slowest = (predictor.predict(a).ms for a in predictor.extremes(CELLS))
    problem = SearchProblem(data, Budget((fastest + slowest) / 2, CELLS, predictor), epochs=2)
    settings = DSNASSettings(pretrain=0.0, search=1.0, reward=reward)
    trainer = DSNASTrainer(problem, dataclasses.replace(settings, compare_every=1))
    before = [alpha.detach().clone() for alpha in trainer.net.alphas]
    for _ in range(3):  # two paths of one step may agree in a decision
        figures = trainer.step(*next(iter(data.train_batches(0))))
    assert figures["expected_ms"] > 0
    moved = [not torch.equal(a, b) for a, b in zip(before, trainer.net.alphas, strict=True)]
    assert all(moved)
